"""A GPU that computes nothing, so that CUDA code paths are tested where there is no GPU."""
