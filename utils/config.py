"""Every setting, once, with its unit and its reason; the networks' sizes are in `pytorch/models.py`.

Edit the values here, or leave this file alone and let the environment variable SED_CONFIG name a Python
file whose values replace those of this file.
"""

from utils.settings.overrides import apply_overrides

# --- Labels -----------------------------------------------------------------------------------------
# The order is the order of the model's outputs. These are the classes of DCASE 2019 Task 4.
labels = [
    "Speech",
    "Dog",
    "Cat",
    "Alarm_bell_ringing",
    "Dishes",
    "Frying",
    "Blender",
    "Running_water",
    "Vacuum_cleaner",
    "Electric_shaver_toothbrush",
]

# --- Audio and log-mel features ---------------------------------------------------------------------
sample_rate = 32000  # Hz; every recording is resampled to this
clip_seconds = 10.0  # s; shorter recordings are padded with zeros, longer ones are cut
resampling_margin = 1.0  # s read beyond the clip, so that resampling sees there what the recording has
window_size = 1024  # samples; length of the Hann window and of the FFT (32 ms)
hop_size = 500  # samples between frames; 32000 / 500 = 64 frames a second
mel_bins = 64  # mel bands
mel_min_frequency = 50  # Hz; lower edge of the lowest band
mel_max_frequency = 14000  # Hz; upper edge of the highest band, below the cut-off of lossy recordings
log_floor = 1e-10  # power; smaller mel powers count as this one, so silence is -100 dB

# --- Training ---------------------------------------------------------------------------------------
model_type = "Cnn_9layers_MaxPooling"  # the model behind the published results; see pytorch/models.py
loss_type = "clipwise_binary_crossentropy"  # see pytorch/losses.py
iterations = 5000  # optimizer steps
batch_size = 32  # clips; take fewer when memory runs out
learning_rate = 0.001  # of Adam at the first iteration
learning_rate_decay = 0.9  # the learning rate is multiplied by this ...
learning_rate_decay_interval = 200  # ... every so many iterations
adam_betas = (0.9, 0.999)  # decay of Adam's running averages
adam_epsilon = 1e-8  # added to Adam's denominator
weight_decay = 0.0
seed = 1234  # of the initial weights and of the shuffling
gpu_data_fraction = 0.3  # of the free GPU memory that a subset's features may take to be held there
gpu_repeatable = False  # whether the same seed gives the same weights on a GPU too, as on a processor; slower
precision = "auto"  # "auto": bfloat16 where it is computed in, else float32; "bf16"; "fp32"; "tf32" (GPUs)
# Whether the output layer computes in float32 where the rest is in bfloat16; the published system had no
# bfloat16. In it, a probability above 0.998 is 1 and gives no gradient, which on HomeMix keeps a model of
# weak clips from growing overconfident: event F1 is 4 points higher, on average (appendixes/results.md).
outputs_in_float32 = True

# Mean teacher; the values are those of the challenge's official baseline.
mean_teacher_batch_size = 24  # clips, for runme.sh: 6 weak, 12 unlabelled, 6 synthetic ones
mean_teacher_iterations = 26_300  # for runme.sh: the baseline's 100 passes over the 1578 weak clips
teacher_decay = 0.999  # highest share of its own weights that the teacher keeps at a step: it remembers
# 1 / (1 - teacher_decay) steps, of which a training should have some twenty times as many
teacher_noise = 0.5  # dB; standard deviation of the noise on the log-mel that the teacher sees
consistency_weight = 2.0  # of the consistency losses, once they are ramped up
consistency_ramp_fraction = 0.5  # of the iterations: how long the weight ramps up ...
consistency_ramp_steepness = 5.0  # ... as exp(-steepness * (1 - progress)²)

# The recipe, as measured on HomeMix (appendixes/results.md). Lengths are fractions of the run, so that only
# `iterations` changes with the size of the data.
recipe_batch_size = 48  # clips, for runme.sh: half of them with events, the rest weak and unlabelled ones
# For runme.sh: for the challenge's full set on a GPU; a small set needs 2000 of 24 clips
recipe_iterations = 10_000
recipe_learning_rate = 0.002  # of Adam, constant, as the weights' average is there
average_memory_fraction = 0.05  # of the iterations, that the moving average of the weights remembers
clipwise_loss_weight = 0.5  # of the clip probabilities' loss, where the frame probabilities' is 1
teacher_loss_weight = 1.0  # of the loss against the moving average's probabilities, once it is ramped up
teacher_ramp_fraction = 0.3  # of the iterations: how long it ramps up, as the baseline's consistency does
time_shift_deviation = 1.4  # s; clips are shifted in a circle by N(0, this)
added_sounds_fraction = 0.5  # of the iterations, the first ones: to each clip another one is added ...
added_sound_gain = 6.0  # dB; ... louder or softer by up to this. Then mixup, which keeps events apart:
mixup_probability = 0.5  # of batches whose clips are mixed in pairs ...
mixup_alpha = 0.2  # ... with weights of the Beta(alpha, alpha) distribution

evaluation_interval = 200  # iterations
checkpoint_interval = 1000  # iterations; the last iteration is always saved
log_interval = 20  # iterations between two points of the loss curve, and two lines of the log
pace_iterations = 3  # after so many, the log of a processor says how long the training will take
evaluation_batch_size = 32  # clips in one forward pass without gradients

scoring_workers = 8  # processes beside the training that score, at most; on few processors fewer
train_eval_clips = 500  # training clips that the training mAP is computed of, at most: it shows overfitting
visualized_clips = 10  # clips that inference draws a figure of, where --visualize gives no number
report_clips = 50  # clips in the results page, where --clips gives no number; one takes about 0.15 MB
report_runs = 6  # runs to choose from there, where --runs gives no number; each computes the clips anew

mini_data_clips = 10  # clips of a subset that --mini_data takes, to try the commands out
mini_data_seed = 1234  # of the choice of these clips

# --- Import of own recordings -------------------------------------------------------------------------
import_validation_fraction = 0.2  # of the events, to validate on
import_overlap = 0.0  # s that two neighbouring clips of a long recording share
import_shortest_event = 0.1  # s; a shorter piece of an event, cut off by its clip's end, teaches nothing
import_eventless_fraction = 1.0  # of the clips without events that are taken; they teach what is no event
import_iterations = 1000  # written into the data set's settings as recipe_iterations, and ...
import_batch_size = 16  # ... as recipe_batch_size: minutes on two cores with bfloat16, an hour without

# --- From frame probabilities to events -------------------------------------------------------------
cnn_post_processing = "double_threshold"  # of the CNNs; see utils/events/post_processing.py
crnn_post_processing = "median_filter"  # of Crnn, as in the official baseline
recipe_post_processing = "event_boxes"  # of Crnn_8layers_AttentionPooling

# double_threshold
clip_threshold = 0.5  # a class is looked at in a clip whose clip probability is above this
high_threshold = 0.9  # an event has at least one frame above this ...
low_threshold = 0.5  # ... and reaches as far as the frames stay at or above this
join_gap = 0.25  # s; events of one class with a gap of at most this between them are one event
drop_length = 0.25  # s; events of at most this length are dropped

# median_filter
frame_threshold = 0.5  # a class is active in a frame whose probability is above this
median_filter_outputs = 5  # length of the filter over active frames, in frames that the model gives out

# event_boxes
box_step = 0.3  # s before and after a place that are compared: onsets and offsets are where they differ most
# Neighbouring boxes are merged where the mean in the gap is less than this below that of the higher box ...
box_merge_difference = 0.0
box_merge_ratio = 4.5  # ... or where the latter is less than this times the gap's
box_threshold = 0.5  # events have a confidence above this

# The values that `inference.py tune` tries for each class, in all combinations.
tuned_clip_thresholds = (0.1, 0.3, 0.5, 0.7, 0.9)
tuned_high_thresholds = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
tuned_low_thresholds = (0.1, 0.2, 0.3, 0.5, 0.7, 0.9)  # not above the high threshold
tuned_join_gaps = (0.0, 0.125, 0.25, 0.5, 1.0)  # s
tuned_drop_lengths = (0.0, 0.125, 0.25, 0.5, 1.0)  # s
tuned_frame_thresholds = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
tuned_median_filter_outputs = (1, 3, 5, 7, 9, 11, 15, 21)  # frames that the model gives out
tuned_box_steps = (0.2, 0.3, 0.45)  # s
tuned_box_merge_ratios = (1.5, 3.0, 4.5, 8.0)
tuned_box_thresholds = (0.3, 0.4, 0.5, 0.6, 0.7)

# Recordings longer than a clip
window_overlap = 0.5  # of a clip: what two neighbouring windows share. With half, each moment but those near
# the recording's ends is covered by a window that reaches at least a quarter of a clip to both sides of it

# --- Scoring ----------------------------------------------------------------------------------------
onset_collar = 0.2  # s; tolerance of onsets and offsets in event-based scores
offset_collar_fraction = 0.2  # of the event's length; the offset's tolerance is the larger one of the two
segment_lengths = (0.2, 1.0)  # s; the system's own log used 0.2 s, the challenge 1 s

# PSDS; the values are those of the challenges since 2021.
psds1_tolerance = 0.7  # share of a detection in events, and of an event in detections, from which they fit
psds2_tolerance = 0.1  # the same of PSDS2, which asks for the class more than for the times ...
psds2_cross_trigger_tolerance = 0.3  # ... share of a false detection in another class's events ...
psds2_cross_trigger_cost = 0.5  # ... from which it costs so much more
psds_instability_cost = 1.0  # weight of the standard deviation over the classes, subtracted from their mean
psds_max_false_positive_rate = 100.0  # per hour and class (e_max): up to there the curve counts

# Intervals of scores: clips are drawn anew, as many and with replacement, to see what their choice changes.
bootstrap_resamples = 1000  # draws; with fewer, the ends of an interval are themselves uncertain
bootstrap_seed = 1234  # of the draws; runs with the same seed have the same draws, so they can be compared
bootstrap_confidence = 0.95  # fraction of the draws that an interval holds

# --- Page of a recording ----------------------------------------------------------------------------
recording_page_columns = 65536  # of its spectrogram, at most; 2 h have 8 a second, 10 s all frames
recording_page_sound_rate = 16000  # Hz of the MP3: what speech and most sounds need, at about 24 kbit/s
recording_page_chunk_seconds = 60.0  # s of an MP3; the browser loads one, not hours
recording_page_sound_megabytes = 32.0  # of the page, for sound: 2 h and a quarter; what comes later is mute

SETTINGS = apply_overrides(globals())  # these values or those of SED_CONFIG, checked, for the commands
