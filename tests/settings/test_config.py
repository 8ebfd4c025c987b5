"""The settings: made of `utils/config.py` and the file that SED_CONFIG names, and checked."""

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.commands import PROJECT, assert_user_error, run_command
from tests.conftest import shared_path
from tests.settings_for_tests import SETTINGS
from utils import config
from utils.settings.group import differences, names_of
from utils.settings.groups import MEASURED_RECIPE, PUBLISHED_TRAINING, RecipeSettings, Settings
from utils.settings.overrides import apply_overrides, public_values
from utils.system.errors import SedError
from utils.workspace.run import Run

COMMAND = ("utils/metadata.py", "check", "--dataset_dir", "/nowhere")


def value_of(expression: str, config_path: Path) -> str:
    """The value of an expression in the settings of a new process."""
    program = f"from utils.config import SETTINGS as settings; print({expression})"
    return subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        env=os.environ | {"SED_CONFIG": str(config_path)},
    ).stdout.strip()


def test_each_value_of_the_config_is_a_setting_and_stands_in_one_group():
    names = Settings.names()
    assert sorted(names) == sorted(public_values(vars(config)))
    assert len(set(names)) == len(names)


def test_shipped_training_settings_are_the_published_ones():
    assert SETTINGS.training == PUBLISHED_TRAINING
    assert differences(SETTINGS.training, PUBLISHED_TRAINING) == []
    assert differences(SETTINGS.recipe, MEASURED_RECIPE) == []


def test_derived_values_follow_the_overrides(tmp_path):
    path = tmp_path / "task.py"
    path.write_text("import math\nlabels = ['a', 'b']\nhop_size = 320\nclip_seconds = math.floor(5.5)\n")
    names = ("classes_num", "frames_per_second", "clip_frames", "folder_name")
    derived = ", ".join(f"settings.features.{name}" for name in names)
    assert value_of(derived, path) == "2 100.0 500 logmel_100frames_64melbins"


def test_lists_and_tuples_whole_numbers_and_floats_are_taken_alike(tmp_path):
    path = tmp_path / "task.py"
    path.write_text("labels = ('a', 'b')\nadam_betas = [0, 0.9]\nmel_min_frequency = 20\n")
    values = "settings.features.labels, settings.training.adam_betas, settings.features.mel_min_frequency"
    assert value_of(values, path) == "('a', 'b') (0.0, 0.9) 20.0"


def test_the_homemix_labels_are_taken():
    assert value_of("settings.features.labels[3]", shared_path("homemix/config.py")) == "Bird"


def test_the_committed_homemix_settings_are_valid():
    assert value_of("settings.defaults.iterations", PROJECT / "appendixes/homemix_config.py") == "400"


WRONG_LINES = {
    # Names and types
    "mel_bin = 64": "unknown name 'mel_bin' (did you mean mel_bins?); the names are those in utils/config.py",
    "clip_frames = 640": "unknown name 'clip_frames'",
    "frames_per_second = 64": "unknown name 'frames_per_second'",
    "mel_bins = '64'": "mel_bins must be a whole number",
    "mel_bins = 64.0": "mel_bins must be a whole number",
    "iterations = True": "iterations must be a whole number",
    "learning_rate = None": "learning_rate must be a number",
    "gpu_repeatable = 1": "gpu_repeatable must be True or False",
    "model_type = 9": "model_type must be text",
    "loss_type = []": "loss_type must be text",
    "import no_such_module": "cannot be run as Python",
    # Features
    "labels = []": "labels must be a list of at least one value",
    "labels = 'Dog'": "labels must be a list of at least one value",
    "labels = ['a', 1]": "labels must be text, but is 1",
    "labels = ['a', 'a']": "labels must be distinct",
    "labels = ['a,b']": "'a,b' is not a valid label",
    "labels = ['a', '']": "'' is not a valid label",
    "labels = [' a']": "' a' is not a valid label",
    "labels = ['\\ud800']": "'\\ud800' is not a valid label",
    "adam_betas = (0.9, 0.99, 0.999)": "adam_betas must be 2 values, but is (0.9, 0.99, 0.999)",
    "sample_rate = 0": "sample_rate must be at least 1000",
    "clip_seconds = 0": "clip_seconds must be more than 0",
    "clip_seconds = float('nan')": "clip_seconds must be more than 0",
    "clip_seconds = 0.001": "clip_seconds 0.001 s is shorter than window_size or hop_size",
    "resampling_margin = -1": "resampling_margin must be at least 0",
    "window_size = 0": "window_size must be at least 1",
    "hop_size = -500": "hop_size must be at least 1",
    "mel_bins = 0": "mel_bins must be at least 1",
    "mel_min_frequency = 20000": "mel_min_frequency 20000 Hz must be below mel_max_frequency 14000 Hz",
    "mel_max_frequency = 2e4": "mel_min_frequency 50 Hz must be below mel_max_frequency 20000 Hz",
    "log_floor = 1e-38": "log_floor must be at least 1e-37",
    # Training
    "iterations = 0": "iterations must be at least 1",
    "batch_size = -3": "batch_size must be at least 1",
    "mean_teacher_batch_size = 0": "mean_teacher_batch_size must be at least 1",
    "mean_teacher_iterations = 0": "mean_teacher_iterations must be at least 1",
    "recipe_batch_size = -1": "recipe_batch_size must be at least 1",
    "recipe_iterations = 0": "recipe_iterations must be at least 1",
    "learning_rate = 0": "learning_rate must be more than 0",
    "learning_rate = float('inf')": "learning_rate must be more than 0",
    "learning_rate_decay = 1.1": "learning_rate_decay must be more than 0 and at most 1",
    "learning_rate_decay_interval = 0": "learning_rate_decay_interval must be at least 1",
    "adam_betas = (0.9, 1.0)": "adam_betas must be at least 0 and less than 1",
    "adam_betas = (0.9,)": "adam_betas must be 2 values",
    "adam_epsilon = 0.0": "adam_epsilon must be more than 0",
    "weight_decay = -0.1": "weight_decay must be at least 0",
    "seed = -1": "seed must be at least 0",
    "seed = 2**63": "seed must be at least 0 and less than",
    "gpu_data_fraction = 1.5": "gpu_data_fraction must be at least 0 and at most 1",
    "precision = 'fp16'": "precision must be one of auto, fp32, tf32, bf16, but is 'fp16'",
    "outputs_in_float32 = 'yes'": "outputs_in_float32 must be True or False",
    "teacher_decay = 1.0": "teacher_decay must be at least 0 and less than 1",
    "teacher_noise = -0.5": "teacher_noise must be at least 0",
    "consistency_weight = -1": "consistency_weight must be at least 0",
    "consistency_ramp_fraction = 2": "consistency_ramp_fraction must be at least 0 and at most 1",
    "consistency_ramp_steepness = -5": "consistency_ramp_steepness must be at least 0",
    "evaluation_interval = 0": "evaluation_interval must be at least 1, but is 0",
    "checkpoint_interval = 0": "checkpoint_interval must be at least 1",
    "log_interval = 0": "log_interval must be at least 1",
    "pace_iterations = 0": "pace_iterations must be at least 1",
    "evaluation_batch_size = 0": "evaluation_batch_size must be at least 1",
    "scoring_workers = 0": "scoring_workers must be at least 1",
    "train_eval_clips = 0": "train_eval_clips must be at least 1",
    "visualized_clips = 0": "visualized_clips must be at least 1",
    "report_clips = 0": "report_clips must be at least 1",
    "report_runs = 0": "report_runs must be at least 1",
    "mini_data_clips = 0": "mini_data_clips must be at least 1",
    "mini_data_seed = -1": "mini_data_seed must be at least 0",
    # Import
    "import_validation_fraction = 1.0": "import_validation_fraction must be more than 0 and less than 1",
    "import_overlap = -1": "import_overlap must be at least 0",
    "import_shortest_event = -0.1": "import_shortest_event must be at least 0",
    "import_eventless_fraction = 1.5": "import_eventless_fraction must be at least 0 and at most 1",
    "import_iterations = 0": "import_iterations must be at least 1",
    "import_batch_size = 0": "import_batch_size must be at least 1",
    # Events
    "cnn_post_processing = 'no_such'": "cnn_post_processing must be one of double_threshold, median_filter",
    "crnn_post_processing = ''": "crnn_post_processing must be one of double_threshold, median_filter",
    "clip_threshold = 1.1": "clip_threshold must be at least 0 and at most 1",
    "high_threshold = float('nan')": "high_threshold must be at least 0 and at most 1, but is nan",
    "low_threshold = 0.95": "low_threshold 0.95 must be at most high_threshold 0.9",
    "low_threshold = -0.1": "low_threshold must be at least 0",
    "join_gap = -0.25": "join_gap must be at least 0",
    "drop_length = -0.25": "drop_length must be at least 0",
    "frame_threshold = 2": "frame_threshold must be at least 0 and at most 1",
    "median_filter_outputs = 0": "median_filter_outputs must be at least 1",
    "recipe_post_processing = 'boxes'": "recipe_post_processing must be one of double_threshold",
    "box_step = 0": "box_step must be more than 0",
    "box_merge_difference = -0.1": "box_merge_difference must be at least 0 and at most 1",
    "box_merge_ratio = 0.5": "box_merge_ratio must be at least 1",
    "box_threshold = 2": "box_threshold must be at least 0 and at most 1",
    "tuned_box_steps = (0.0,)": "tuned_box_steps must be more than 0",
    "tuned_box_merge_ratios = ()": "tuned_box_merge_ratios must be a list of at least one value",
    "tuned_box_thresholds = (1.5,)": "tuned_box_thresholds must be at least 0 and at most 1",
    "recipe_learning_rate = 0": "recipe_learning_rate must be more than 0",
    "average_memory_fraction = 0": "average_memory_fraction must be more than 0 and at most 1",
    "clipwise_loss_weight = -1": "clipwise_loss_weight must be at least 0",
    "teacher_loss_weight = -1": "teacher_loss_weight must be at least 0",
    "teacher_ramp_fraction = 1.1": "teacher_ramp_fraction must be at least 0 and at most 1",
    "time_shift_deviation = -1": "time_shift_deviation must be at least 0",
    "added_sounds_fraction = 2": "added_sounds_fraction must be at least 0 and at most 1",
    "added_sound_gain = -1": "added_sound_gain must be at least 0",
    "mixup_probability = 2": "mixup_probability must be at least 0 and at most 1",
    "mixup_alpha = 0": "mixup_alpha must be more than 0",
    "added_sound_gain = '6 dB'": "added_sound_gain must be a number",
    "window_overlap = 1.0": "window_overlap must be at least 0 and less than 1",
    "tuned_clip_thresholds = ()": "tuned_clip_thresholds must be a list of at least one value",
    "tuned_high_thresholds = (0.5, 1.5)": "tuned_high_thresholds must be at least 0 and at most 1",
    "tuned_low_thresholds = 0.5": "tuned_low_thresholds must be a list",
    "tuned_join_gaps = (-1,)": "tuned_join_gaps must be at least 0",
    "tuned_drop_lengths = (-1,)": "tuned_drop_lengths must be at least 0",
    "tuned_frame_thresholds = ('a',)": "tuned_frame_thresholds must be a number",
    "tuned_median_filter_outputs = (1, 2.5)": "tuned_median_filter_outputs must be a whole number, but",
    # Page of a recording
    "recording_page_columns = 0": "recording_page_columns must be at least 1",
    "recording_page_sound_rate = 10000": "recording_page_sound_rate 10000 Hz is none of MP3: 8000, 11025",
    "recording_page_chunk_seconds = 0.5": "recording_page_chunk_seconds must be at least 1",
    "recording_page_sound_megabytes = -1": "recording_page_sound_megabytes must be at least 0",
    # Scores
    "onset_collar = -0.2": "onset_collar must be at least 0",
    "offset_collar_fraction = -1": "offset_collar_fraction must be at least 0",
    "segment_lengths = (0.0, 1.0)": "segment_lengths must be at least 0.001",
    "psds1_tolerance = 0": "psds1_tolerance must be more than 0 and at most 1",
    "psds2_tolerance = 1.5": "psds2_tolerance must be more than 0 and at most 1",
    "psds2_cross_trigger_tolerance = 0": "psds2_cross_trigger_tolerance must be more than 0",
    "psds2_cross_trigger_cost = -1": "psds2_cross_trigger_cost must be at least 0",
    "psds_instability_cost = -1": "psds_instability_cost must be at least 0",
    "psds_max_false_positive_rate = 0": "psds_max_false_positive_rate must be more than 0",
    "bootstrap_resamples = 0": "bootstrap_resamples must be at least 1",
    "bootstrap_seed = -1": "bootstrap_seed must be at least 0",
    "bootstrap_confidence = 1": "bootstrap_confidence must be more than 0 and less than 1",
}


@pytest.mark.parametrize("line", WRONG_LINES)
def test_wrong_setting_is_a_user_error_that_names_it(tmp_path, monkeypatch, capsys, line):
    """As the import of the config reports it to every command, without the time that a process takes."""
    path = tmp_path / "task.py"
    path.write_text(line)
    monkeypatch.setenv("SED_CONFIG", str(path))
    with pytest.raises(SystemExit) as end:
        apply_overrides(dict(vars(config)))
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: SED_CONFIG={path}: {WRONG_LINES[line]}")


@pytest.mark.parametrize(
    "line",
    [
        "mel_bin = 64",
        "mel_bins = '64'",
        "labels = []",
        "labels = ['\\ud800']",
        "import no_such_module",
        "evaluation_interval = 0",
        "batch_size = -3",
        "low_threshold = 0.95",
        "high_threshold = float('nan')",
        "cnn_post_processing = 'no_such'",
    ],
)
def test_command_ends_with_the_error_of_a_wrong_setting(tmp_path, line):
    path = tmp_path / "task.py"
    path.write_text(line)
    result = run_command(*COMMAND, SED_CONFIG=str(path))
    assert_user_error(result, f"error: SED_CONFIG={path}: ", WRONG_LINES[line])


def test_a_wrong_value_of_each_setting_is_tried():
    tried = {line.split(" = ")[0] for line in WRONG_LINES}
    assert set(Settings.names()) <= tried


@pytest.mark.parametrize("wrong", [None, {}, object(), b"1", 1j], ids=lambda wrong: type(wrong).__name__)
def test_no_setting_takes_a_value_of_a_foreign_type(wrong):
    for name in Settings.names():
        for value in (wrong, [wrong]):
            with pytest.raises(SedError, match=rf"^the file: {name} must be "):
                Settings.of(vars(config) | {name: value}, "the file")


@pytest.mark.parametrize(
    "wrong", [math.nan, math.inf, -math.inf, 10**400, -(10**400)], ids=["nan", "inf", "-inf", "huge", "-huge"]
)
def test_no_setting_takes_a_number_that_is_not_finite_or_no_float_can_hold(wrong):
    for name in Settings.names():
        value = [wrong] if isinstance(getattr(config, name), list | tuple) else wrong
        if isinstance(wrong, float) or isinstance(getattr(config, name), float | tuple):
            with pytest.raises(SedError, match=rf"^the file: {name} must be "):
                Settings.of(vars(config) | {name: value}, "the file")


def test_a_run_with_many_settings_of_its_own_has_a_folder_that_file_systems_take():
    names = names_of(RecipeSettings)
    folders = set()
    for factor in (0.9, 0.9000001):
        values = {name: factor * getattr(MEASURED_RECIPE, name) for name in names}
        run = Run("train_weak", "1", "Crnn", "recipe", 8, 1, training=replace(MEASURED_RECIPE, **values))
        assert max(len(part) for part in run.folder.parts) <= 255
        folders.add(run.folder)
    assert len(folders) == 2


def test_a_missing_setting_is_named():
    with pytest.raises(SedError, match=r"^the file: hop_size is missing$"):
        Settings.of({name: value for name, value in vars(config).items() if name != "hop_size"}, "the file")


def test_missing_override_file_is_a_user_error():
    assert_user_error(run_command(*COMMAND, SED_CONFIG="/no/such.py"), "/no/such.py", "no such file")
