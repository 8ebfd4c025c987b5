"""Benchmarks, run by hand: `python -m tests.benchmarks.training`. No test depends on a timing."""
