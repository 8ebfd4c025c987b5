"""Tuned post-processing: its F1 against sed_eval, search against inference, and the file between them."""

import json
import math
from argparse import ArgumentTypeError
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytorch.stage_arguments import tuning_data_type
from tests.commands import assert_user_error, run_command, run_well
from tests.conftest import copy_inputs
from tests.settings_for_tests import LABELS, SETTINGS, rule_named, same_for_all
from utils.dataset.tables import Clip, Event, read_strong_table
from utils.events.matching import EventTimes
from utils.events.post_processing import (
    ClassPostProcessing,
    DoubleThreshold,
    MedianFilter,
    PostProcessing,
)
from utils.events.probabilities import Probabilities
from utils.events.tuning import (
    TRIALS,
    Timeline,
    TunedClass,
    event_f1,
    read_tuned,
    times_of_label,
    tune,
    write_tuned,
)
from utils.scoring.sed_eval_scores import score_events
from utils.system.errors import MissingInputError
from utils.workspace.paths import tuned_beside
from utils.workspace.run import STUDENT, Variant

LABEL = LABELS[0]
TRAINING_ID = "2019-06-01 12:00:00"
STRIDE_FRAMES = 8
FRAMES_PER_SECOND = SETTINGS.features.frames_per_second
OUTPUTS = math.ceil(SETTINGS.features.clip_frames / STRIDE_FRAMES)
TUNING = SETTINGS.tuning

# Times on a coarse grid meet the collars exactly, and crowd so that one event fits several others.
times = st.integers(0, 60).map(lambda step: step / 20)
event_lists = st.lists(st.tuples(times, times).filter(lambda pair: pair[0] != pair[1]), max_size=6)


def clips_of(lists: list[list[tuple[float, float]]]) -> list[Clip]:
    return [
        Clip(f"{index}.wav", None, tuple(Event(min(pair), max(pair), LABEL) for pair in pairs))
        for index, pairs in enumerate(lists)
    ]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(event_lists, event_lists), min_size=1, max_size=4))
def test_f1_equals_that_of_sed_eval(pairs):
    reference, predicted = (clips_of(list(lists)) for lists in zip(*pairs, strict=True))
    expected = score_events(
        reference, predicted, labels=LABELS, scoring=SETTINGS.scoring, show_progress=False
    )
    expected = expected.event.classwise[LABEL].f1
    if math.isnan(expected):
        return
    f1 = event_f1(times_of_label(reference, LABEL), times_of_label(predicted, LABEL), SETTINGS.scoring)
    assert f1 == pytest.approx(expected, abs=1e-12)


def random_probabilities(seed: int, clips: int, stride: int, frames: int) -> Probabilities:
    """Rough curves of one class that cross every threshold, up to the clips' very ends."""
    generator = np.random.default_rng(seed)
    walk = np.cumsum(generator.normal(0, 0.8, (clips, frames // stride, 1)), axis=1)
    framewise = (1 / (1 + np.exp(-walk))).astype(np.float32)
    return Probabilities(framewise, generator.random((clips, 1)).astype(np.float32), stride, frames)


def trials_of(
    name: str, probabilities: Probabilities, before: ClassPostProcessing | None = None
) -> list[tuple[ClassPostProcessing, EventTimes]]:
    timeline = Timeline.of(
        probabilities, frames_per_second=FRAMES_PER_SECOND, longest_gap=max(TUNING.tuned_join_gaps)
    )
    before = before or rule_named(name)
    framewise, clipwise = probabilities.framewise[..., 0], probabilities.clipwise[:, 0]
    return list(TRIALS[name](before, framewise, clipwise, timeline, TUNING))


@pytest.mark.parametrize(("stride", "frames"), [(8, 640), (1, 640), (32, 640), (8, 500), (32, 500)])
@pytest.mark.parametrize("name", TRIALS)
def test_events_of_each_trial_are_those_that_inference_detects(name, stride, frames):
    """All clips are searched at once; here they are taken one by one, by the function inference uses."""
    probabilities = random_probabilities(1, 5, stride, frames)
    trials = trials_of(name, probabilities)
    found_some = 0
    for candidate, events in trials[:: max(len(trials) // 60, 1)]:
        expected = [
            (index, event.onset, event.offset)
            for index, of_clip in enumerate(probabilities)
            for event in same_for_all(candidate, [LABEL], FRAMES_PER_SECOND).events(of_clip)
        ]
        assert list(zip(events.group, events.onset, events.offset, strict=True)) == expected
        found_some += len(expected) > 0
    assert found_some > 20


def test_merge_difference_of_boxes_is_not_tuned_and_stays():
    before = replace(rule_named("event_boxes"), box_merge_difference=0.3)
    probabilities = random_probabilities(3, 2, STRIDE_FRAMES, SETTINGS.features.clip_frames)
    candidates = [candidate for candidate, _ in trials_of("event_boxes", probabilities, before)]
    assert {candidate.box_merge_difference for candidate in candidates} == {0.3}


def test_every_combination_is_tried_once():
    probabilities = random_probabilities(2, 1, STRIDE_FRAMES, SETTINGS.features.clip_frames)
    candidates = [candidate for candidate, _ in trials_of("double_threshold", probabilities)]
    assert len(set(candidates)) == len(candidates)
    assert all(candidate.low_threshold <= candidate.high_threshold for candidate in candidates)
    by_hand = sum(low <= high for low in TUNING.tuned_low_thresholds for high in TUNING.tuned_high_thresholds)
    others = (TUNING.tuned_clip_thresholds, TUNING.tuned_join_gaps, TUNING.tuned_drop_lengths)
    assert len(candidates) == by_hand * math.prod(map(len, others))


def annotated(level: float) -> tuple[list[Clip], Probabilities]:
    """Clips with an event of the first class each, to which the model gives that probability."""
    clips, framewise = [], np.full((6, OUTPUTS, len(LABELS)), 0.01, np.float32)
    for index in range(6):
        clips.append(Clip(f"{index}.wav", None, (Event(1.0 + index, 2.0 + index, LABEL),)))
        framewise[index, 8 * (index + 1) : 8 * (index + 2), 0] = level
    clipwise = np.full((6, len(LABELS)), 0.95)
    return clips, Probabilities(framewise, clipwise, STRIDE_FRAMES, SETTINGS.features.clip_frames)


def tuned_from(before: PostProcessing, clips: list[Clip], probabilities: Probabilities) -> list[TunedClass]:
    return tune(clips, probabilities, before, tuning=TUNING, scoring=SETTINGS.scoring)


@pytest.mark.parametrize("name", TRIALS)
def test_quiet_class_gets_a_low_threshold_and_classes_without_events_keep_the_settings(name):
    before = same_for_all(rule_named(name), frames_per_second=FRAMES_PER_SECOND)
    # The confidence of a box is the geometric mean with the clip probability, which is higher.
    threshold, probability, confidence = {
        "double_threshold": ("high_threshold", 0.4, 0.4),
        "median_filter": ("frame_threshold", 0.4, 0.4),
        "event_boxes": ("box_threshold", 0.2, 0.45),
    }[name]
    tuned = tuned_from(before, *annotated(probability))
    assert (tuned[0].events, tuned[0].f1_before, tuned[0].f1) == (6, 0, 1)
    assert asdict(tuned[0].post_processing)[threshold] < confidence
    assert [of_class.post_processing for of_class in tuned[1:]] == list(before.of_classes[1:])


def test_settings_stay_where_nothing_is_better():
    before = same_for_all(rule_named("double_threshold"), frames_per_second=FRAMES_PER_SECOND)
    tuned = tuned_from(before, *annotated(0.95))
    assert (tuned[0].f1_before, tuned[0].f1) == (1, 1)
    assert tuned[0].post_processing == before.of_classes[0]


def some_tuned() -> list[TunedClass]:
    of_settings = rule_named("double_threshold", join_gap=0.5, low_threshold=0.4)
    return [
        TunedClass(label, 1, replace(of_settings, high_threshold=0.9 - index / 20), 0.5, 0.6)
        for index, label in enumerate(LABELS)
    ]


def read(path: Path, name: str = "double_threshold", training_id: str = TRAINING_ID) -> PostProcessing:
    return read_tuned(path, same_for_all(rule_named(name)), SETTINGS.events, training_id)


def test_what_is_written_is_read_again(tmp_path):
    path = tmp_path / "tuned.json"
    write_tuned(path, some_tuned(), "train_synthetic", TRAINING_ID)
    assert read(path).of_classes == tuple(of_class.post_processing for of_class in some_tuned())
    median = [replace(of_class, post_processing=MedianFilter(0.25, 9)) for of_class in some_tuned()]
    write_tuned(path, median, "train_synthetic", TRAINING_ID)
    assert read(path, "median_filter").of_classes == (MedianFilter(0.25, 9),) * len(LABELS)


def test_missing_file_is_a_missing_input(tmp_path):
    with pytest.raises(MissingInputError, match=r"tuned\.json: the post-processing was not tuned yet"):
        read(tmp_path / "tuned.json")


def test_file_of_an_earlier_training_is_refused(tmp_path):
    """A run that is trained anew writes its checkpoints where those of the earlier training were."""
    path = tmp_path / "tuned.json"
    write_tuned(path, some_tuned(), "train_synthetic", "2019-05-31 12:00:00")
    with pytest.raises(MissingInputError, match="was tuned for an earlier training of this run") as error:
        read(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"post_processing": "median_filter"}, "is of median_filter"),
        ({"classes": {"a": {}, "b": {}}}, "the labels a, b, not of double_threshold"),
        ({"classes": 3}, "not a valid file of tuned post-processing"),
        ({"classes": [1, 2]}, "not a valid file of tuned post-processing"),
        ({"classes": dict.fromkeys(LABELS)}, f"{LABEL} must have clip_threshold, high_threshold"),
        ({"training_id": 3}, "was tuned for an earlier training"),
        ({"values": {"high_threshold": 1.5}}, f"{LABEL}: high_threshold must be at .* but is 1.5"),
        ({"values": {"high_threshold": "0.5"}}, "high_threshold must be a number, but is '0.5'"),
        ({"values": {"join_gap": math.nan}}, "join_gap must be at least 0 and at most 3600, but is nan"),
        ({"values": {"join_gap": 10**400}}, "join_gap must be at least 0 and at most 3600, but is 1000"),
        ({"values": {"join_gap": math.inf}}, "join_gap must be at least 0 and at most 3600, but is inf"),
        ({"values": {"drop_length": True}}, "drop_length must be a number, but is True"),
        ({"values": {"low_threshold": 0.95}}, "low_threshold 0.95 must be at most high_threshold 0.9"),
        ({"values": {"other": 1}}, "must have clip_threshold, high_threshold"),
        ({"values": {"cnn_post_processing": "median_filter"}}, "must have clip_threshold, high_threshold"),
        ({"values": {"low_threshold": None}}, "low_threshold must be a number, but is None"),
    ],
)
def test_broken_file_is_a_user_error(tmp_path, change, message):
    path = tmp_path / "tuned.json"
    write_tuned(path, some_tuned(), "train_synthetic", TRAINING_ID)
    content = json.loads(path.read_text())
    if "values" in change:
        content["classes"][LABEL] |= change["values"]
    else:
        content |= change
    path.write_text(json.dumps(content))
    with pytest.raises(MissingInputError, match=message) as error:
        read(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("key", ["training_id", "post_processing", "classes"])
def test_file_that_lacks_something_is_a_user_error(tmp_path, key):
    path = tmp_path / "tuned.json"
    write_tuned(path, some_tuned(), "train_synthetic", TRAINING_ID)
    content = json.loads(path.read_text())
    del content[key]
    path.write_text(json.dumps(content))
    with pytest.raises(MissingInputError, match="not a valid file of tuned post-processing"):
        read(path)


def test_class_that_lacks_a_value_is_a_user_error(tmp_path):
    path = tmp_path / "tuned.json"
    write_tuned(path, some_tuned(), "train_synthetic", TRAINING_ID)
    content = json.loads(path.read_text())
    del content["classes"][LABEL]["join_gap"]
    path.write_text(json.dumps(content))
    with pytest.raises(MissingInputError, match=f"{LABEL} must have clip_threshold, high_threshold"):
        read(path)


@pytest.mark.parametrize("content", ["", "no JSON", "[]", "{}", "null"])
def test_file_that_holds_something_else_is_a_user_error(tmp_path, content):
    (tmp_path / "tuned.json").write_text(content)
    with pytest.raises(MissingInputError, match="not a valid file of tuned post-processing"):
        read(tmp_path / "tuned.json")


def test_filter_of_no_length_is_refused(tmp_path):
    path = tmp_path / "tuned.json"
    tuned = [replace(of_class, post_processing=MedianFilter(0.5, 0)) for of_class in some_tuned()]
    write_tuned(path, tuned, "train_synthetic", TRAINING_ID)
    with pytest.raises(MissingInputError, match="median_filter_outputs must be at least 1 .* but is 0"):
        read(path, "median_filter")


def test_tune_and_inference_with_what_it_chose(trained, tmp_path):
    workspace = copy_inputs(trained, tmp_path)
    paths = workspace.run_paths(trained.run)
    checkpoint = paths.checkpoint(2)
    for copy in (checkpoint.parent, paths.statistics):
        copy.mkdir(parents=True)
        for path in (trained.workspace.root / copy.relative_to(tmp_path)).iterdir():
            (copy / path.name).write_bytes(path.read_bytes())
    arguments = [*trained.run_arguments(workspace=tmp_path), "--iteration", 2]
    inference = ("pytorch/inference.py", "inference_validation", *arguments)
    assert_user_error(
        run_command(*inference, "--tuned"),
        "was not tuned yet; make it with: pytorch/inference.py tune",
    )

    output = run_well("pytorch/inference.py", "tune", *arguments)
    assert "Tuning clips: 10 of train_synthetic" in output
    assert "The model was trained on these clips" not in output
    path = tuned_beside(checkpoint, STUDENT)
    assert path.parent == checkpoint.parent
    assert paths.saved_iterations() == [2]
    content = json.loads(path.read_text())
    assert content["tuned_on"] == "train_synthetic"

    # Values that find what is there: the whole of each clip, for the first class only.
    everything = asdict(DoubleThreshold(0.0, 0.0, 0.0, 0.0, 0.0))
    nothing = asdict(DoubleThreshold(1.0, 1.0, 1.0, 0.0, 0.0))
    content["classes"] = {label: everything if label == LABEL else nothing for label in LABELS}
    path.write_text(json.dumps(content))
    output = run_well(*inference, "--tuned")
    events = read_strong_table(paths.submission(2, Variant(tuned=True)), LABELS)
    assert [clip.events for clip in events] == [(Event(0.0, SETTINGS.features.clip_seconds, LABEL),)] * 5
    record = json.loads(paths.inference_statistics.read_text().splitlines()[-1])
    assert "tuned_validation" in record
    assert "validation" not in record
    path.write_text(json.dumps(content | {"training_id": "another"}))
    assert_user_error(run_command(*inference, "--tuned"), "was tuned for an earlier training of this run")
    table = run_well("utils/plot_results.py", "table", "--workspace", tmp_path)
    assert "1. Weak audio, clipwise loss  " in table
    assert "1:tuned. Weak audio, clipwise loss  " in table


def test_clips_that_scores_are_reported_of_are_refused(trained):
    arguments = [*trained.run_arguments(), "--iteration", 2, "--tune_on", "validation"]
    result = run_command("pytorch/inference.py", "tune", *arguments)
    assert result.returncode == 2
    assert "scores are reported of the validation clips, so tune on others" in result.stderr
    assert "Traceback" not in result.stderr


def test_clips_without_events_are_refused():
    with pytest.raises(ArgumentTypeError, match=r"'train_weak' \(choose from train_synthetic, which have ev"):
        tuning_data_type("train_weak")


@pytest.mark.parametrize("text", ["[" * 100_000, "null", "[1]", '{"training_id": 1}', "\x00", '"\ud800"'])
def test_file_that_is_not_of_tuned_post_processing_is_refused(tmp_path, text):
    path = tmp_path / "tuned.json"
    path.write_text(text, errors="surrogatepass")
    with pytest.raises(MissingInputError, match=r"tuned\.json: not a valid file of tuned post-processing"):
        read_tuned(path, same_for_all(rule_named("double_threshold")), SETTINGS.events, "now")
