"""The features of the published PANNs of 32 kHz, for --initial_checkpoint; see appendixes/elsewhere.md."""

sample_rate = 32000  # Hz
window_size = 1024  # samples
hop_size = 320  # samples: 100 frames a second
mel_bins = 64
mel_min_frequency = 50  # Hz
mel_max_frequency = 14000  # Hz
log_floor = 1e-10
model_type = "Cnn_13layers_AvgPooling"  # has the convolutions of Cnn14
batch_size = 8  # clips; its 75 million weights and 1000 frames take much memory
learning_rate = 0.0001  # a tenth of that from random weights, so that what was learned is not lost
