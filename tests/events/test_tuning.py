"""Tuned post-processing: matching against sed_eval, search against inference, and the file between them."""

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
from utils import config
from utils.dataset.tables import Clip, Event, read_strong_table
from utils.events.post_processing import DoubleThreshold, MedianFilter, detect_events, post_processing_named
from utils.events.tuning import (
    TRIALS,
    ClassOutputs,
    TunedClass,
    count_hits,
    event_f1,
    event_times,
    read_tuned,
    tune,
    write_tuned,
)
from utils.scoring.sed_eval_scores import score_events
from utils.system.errors import SedError

LABEL = config.labels[0]
REMEDY = "tune again"
STRIDE_FRAMES = 8
OUTPUTS = math.ceil(config.clip_frames / STRIDE_FRAMES)

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
    expected = score_events(reference, predicted, show_progress=False).event.classwise[LABEL].f1
    if math.isnan(expected):
        return
    f1 = event_f1(event_times(reference, LABEL), event_times(predicted, LABEL))
    assert f1 == pytest.approx(expected, abs=1e-12)


def test_an_event_that_fits_two_is_given_to_the_one_that_needs_it():
    """The first prediction fits both references, the second one only the first reference."""
    reference = clips_of([[(1.0, 2.0), (1.2, 2.2)]])
    predicted = clips_of([[(1.1, 2.1), (0.9, 1.9)]])
    assert count_hits(event_times(reference, LABEL), event_times(predicted, LABEL)) == 2


def random_outputs(seed: int, clips: int) -> ClassOutputs:
    """Rough curves that cross every threshold, up to the clips' very ends."""
    generator = np.random.default_rng(seed)
    walk = np.cumsum(generator.normal(0, 0.8, (clips, OUTPUTS)), axis=1)
    outputs = (1 / (1 + np.exp(-walk))).astype(np.float32)
    return ClassOutputs(outputs, generator.random(clips).astype(np.float32), STRIDE_FRAMES)


@pytest.mark.parametrize("name", TRIALS)
def test_events_of_each_trial_are_those_that_inference_finds(name):
    """All clips are searched at once; here they are taken one by one, by the function inference uses."""
    of_class = random_outputs(seed=1, clips=5)
    trials = list(TRIALS[name](of_class))
    found_some = 0
    for candidate, events in trials[:: max(len(trials) // 60, 1)]:
        post_processing = (candidate, *post_processing_named(name)[1:])
        expected = []
        for index, probability in enumerate(of_class.framewise()):
            framewise = np.zeros((config.clip_frames, config.classes_num), np.float32)
            framewise[:, 0] = probability
            clipwise = np.zeros(config.classes_num)
            clipwise[0] = of_class.clipwise[index]
            for event in detect_events(
                framewise, clipwise, post_processing=post_processing, stride_frames=STRIDE_FRAMES
            ):
                assert event.label == LABEL
                expected.append((index, event.onset, event.offset))
        assert list(zip(events.clips, events.onsets, events.offsets, strict=True)) == expected
        found_some += len(expected) > 0
    assert found_some > 20


def test_every_combination_is_tried_once():
    candidates = [candidate for candidate, _ in TRIALS["double_threshold"](random_outputs(2, 1))]
    assert len(set(candidates)) == len(candidates)
    assert all(candidate.low_threshold <= candidate.high_threshold for candidate in candidates)
    by_hand = sum(low <= high for low in config.tuned_low_thresholds for high in config.tuned_high_thresholds)
    others = (config.tuned_clip_thresholds, config.tuned_join_gaps, config.tuned_drop_lengths)
    assert len(candidates) == by_hand * math.prod(map(len, others))


def annotated(level: float) -> tuple[list[Clip], np.ndarray, np.ndarray]:
    """Clips with an event of the first class each, which the model hears at that probability."""
    clips, outputs = [], np.full((6, OUTPUTS, config.classes_num), 0.01, np.float32)
    for index in range(6):
        clips.append(Clip(f"{index}.wav", None, (Event(1.0 + index, 2.0 + index, LABEL),)))
        outputs[index, 8 * (index + 1) : 8 * (index + 2), 0] = level
    return clips, outputs, np.full((6, config.classes_num), 0.95)


@pytest.mark.parametrize("name", TRIALS)
def test_quiet_class_gets_a_low_threshold_and_classes_without_events_keep_the_configs(name):
    clips, outputs, clipwise = annotated(0.4)
    before = post_processing_named(name)
    tuned = tune(clips, outputs, clipwise, stride_frames=STRIDE_FRAMES, before=before)
    assert (tuned[0].events, tuned[0].f1_before, tuned[0].f1) == (6, 0, 1)
    threshold = "high_threshold" if name == "double_threshold" else "frame_threshold"
    assert asdict(tuned[0].post_processing)[threshold] < 0.4
    assert [of_class.post_processing for of_class in tuned[1:]] == list(before[1:])


def test_config_stays_where_nothing_is_better():
    clips, outputs, clipwise = annotated(0.95)
    before = post_processing_named("double_threshold")
    tuned = tune(clips, outputs, clipwise, stride_frames=STRIDE_FRAMES, before=before)
    assert (tuned[0].f1_before, tuned[0].f1) == (1, 1)
    assert tuned[0].post_processing == before[0]


def some_tuned() -> list[TunedClass]:
    return [
        TunedClass(label, 1, DoubleThreshold(high_threshold=0.9 - index / 20, join_gap=0.5), 0.5, 0.6)
        for index, label in enumerate(config.labels)
    ]


def test_what_is_written_is_read_again(tmp_path):
    path = tmp_path / "tuned.json"
    write_tuned(path, some_tuned(), "train_synthetic")
    read = read_tuned(path, post_processing_named("double_threshold"), REMEDY)
    assert read == tuple(of_class.post_processing for of_class in some_tuned())
    median = [replace(of_class, post_processing=MedianFilter(0.25, 9)) for of_class in some_tuned()]
    write_tuned(path, median, "train_synthetic")
    read = read_tuned(path, post_processing_named("median_filter"), REMEDY)
    assert read == (MedianFilter(0.25, 9),) * config.classes_num


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"post_processing": "median_filter"}, "is of median_filter"),
        ({"classes": {"a": {}, "b": {}}}, "the labels a, b, not of double_threshold"),
        ({"classes": 3}, "holds no tuned post-processing"),
        ({"values": {"high_threshold": 1.5}}, "high_threshold cannot be 1.5"),
        ({"values": {"high_threshold": "0.5"}}, "high_threshold cannot be '0.5'"),
        ({"values": {"join_gap": math.nan}}, "join_gap cannot be nan"),
        ({"values": {"drop_length": True}}, "drop_length cannot be True"),
        ({"values": {"other": 1}}, "must have clip_threshold, high_threshold"),
    ],
)
def test_broken_file_is_a_user_error(tmp_path, change, message):
    path = tmp_path / "tuned.json"
    write_tuned(path, some_tuned(), "train_synthetic")
    content = json.loads(path.read_text())
    if "values" in change:
        content["classes"][LABEL] |= change["values"]
    else:
        content |= change
    path.write_text(json.dumps(content))
    with pytest.raises(SedError, match=message) as error:
        read_tuned(path, post_processing_named("double_threshold"), REMEDY)
    assert str(path) in str(error.value)
    assert REMEDY in str(error.value)


@pytest.mark.parametrize("content", ["", "no JSON", "[]", "{}", "null"])
def test_file_that_holds_something_else_is_a_user_error(tmp_path, content):
    (tmp_path / "tuned.json").write_text(content)
    with pytest.raises(SedError, match="holds no tuned post-processing"):
        read_tuned(tmp_path / "tuned.json", post_processing_named("double_threshold"), REMEDY)


def test_filter_of_no_length_is_refused(tmp_path):
    path = tmp_path / "tuned.json"
    tuned = [replace(of_class, post_processing=MedianFilter(0.5, 0)) for of_class in some_tuned()]
    write_tuned(path, tuned, "train_synthetic")
    with pytest.raises(SedError, match="median_filter_outputs cannot be 0"):
        read_tuned(path, post_processing_named("median_filter"), REMEDY)


def test_tune_and_inference_with_what_it_chose(trained, tmp_path):
    workspace = copy_inputs(trained, tmp_path)
    for kind in ("checkpoints", "statistics"):
        source, copy = (root / kind / trained.run.folder for root in (trained.workspace.root, tmp_path))
        copy.mkdir(parents=True)
        for path in source.iterdir():
            (copy / path.name).write_bytes(path.read_bytes())
    arguments = [*trained.run_arguments(workspace=tmp_path), "--iteration", 2]
    inference = ("pytorch/inference.py", "inference_validation", *arguments)
    assert_user_error(run_command(*inference, "--tuned"), "was not tuned yet; run the command tune")

    output = run_well("pytorch/inference.py", "tune", *arguments)
    assert "Tuning audio num: 10 of train_synthetic" in output
    assert "The model was trained on these clips" not in output
    path: Path = workspace.tuned_post_processing(trained.run, 2)
    assert path.parent == workspace.checkpoint(trained.run, 2).parent
    assert workspace.saved_iterations(trained.run) == [2]
    content = json.loads(path.read_text())
    assert content["tuned_on"] == "train_synthetic"

    # Values that find what is there: the whole of each clip, for the first class only.
    everything = asdict(DoubleThreshold(0.0, 0.0, 0.0, 0.0, 0.0))
    nothing = asdict(DoubleThreshold(1.0, 1.0, 1.0, 0.0, 0.0))
    content["classes"] = {label: everything if label == LABEL else nothing for label in config.labels}
    path.write_text(json.dumps(content))
    output = run_well(*inference, "--tuned")
    events = read_strong_table(workspace.submission(trained.run, 2, tuned=True), config.labels)
    assert [clip.events for clip in events] == [(Event(0.0, config.clip_seconds, LABEL),)] * 5
    record = json.loads(workspace.inference_statistics(trained.run).read_text().splitlines()[-1])
    assert "tuned_validation" in record
    assert "validation" not in record
    table = run_well("utils/plot_results.py", "table", "--workspace", tmp_path)
    assert "Weak audio, clipwise loss (batch 4, seed 1234)  " in table
    assert "Weak audio, clipwise loss (batch 4, seed 1234), tuned" in table


def test_clips_that_scores_are_reported_of_are_refused(trained):
    arguments = [*trained.run_arguments(), "--iteration", 2, "--tune_on", "validation"]
    result = run_command("pytorch/inference.py", "tune", *arguments)
    assert result.returncode == 2
    assert "scores are reported of the validation clips, so tune on others" in result.stderr
    assert "Traceback" not in result.stderr


def test_clips_without_events_are_refused():
    with pytest.raises(ArgumentTypeError, match=r"'train_weak' \(choose from train_synthetic, which have ev"):
        tuning_data_type("train_weak")
