"""Settings of the demonstration: small enough for a laptop's processor, as in `bash runme.sh`."""

clip_seconds = 4.0  # s; the demonstration's clips are that short
sample_rate = 16000  # Hz
window_size = 512  # samples: 32 ms
hop_size = 500  # samples: 32 frames a second
mel_bins = 32
mel_max_frequency = 8000  # Hz
recipe_iterations, recipe_batch_size = 300, 12
iterations, batch_size = 135, 8
mean_teacher_iterations, mean_teacher_batch_size = 620, 16
learning_rate = 0.003  # higher, as the runs are short ...
teacher_decay = 0.97  # ... and so is the teacher's memory
evaluation_interval = 75  # iterations
visualized_clips = 3  # by each experiment; a figure takes half a second
