"""PSDS against a slow implementation by the definition, against known cases, and through the command."""

import json
import re
from itertools import pairwise

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.commands import run_well
from tests.settings_for_tests import LABELS as ALL_LABELS
from tests.settings_for_tests import SETTINGS, rule_named, same_for_all
from utils.audio.reading import clip_duration
from utils.dataset.tables import Clip, Event
from utils.events.probabilities import Probabilities
from utils.scoring.psds import (
    PsdsScenario,
    cut_edges,
    intersect,
    psds,
    psds_scenarios,
    scores_of_clips,
)
from utils.scoring.psds_bootstrap import score_and_resample_psds
from utils.system.errors import SedError

pytest.importorskip("sed_scores_eval", reason="needs requirements-psds.txt")
LABELS = ["Speech", "Dog", "Cat"]
OUTPUT_SECONDS = 0.125
OUTPUTS = 16  # of a clip
EDGES = np.arange(OUTPUTS + 1) * OUTPUT_SECONDS
MEDIAN_FILTER = same_for_all(rule_named("median_filter"))
PSDS1, PSDS2 = psds_scenarios(SETTINGS.scoring).values()
BETWEEN = PsdsScenario(0.6, 0.3, 0.5)  # where few clips give neither 0 nor 1
Interval = tuple[float, float]


def runs_at_or_above(scores: np.ndarray, threshold: float) -> list[Interval]:
    """Where the scores reach the threshold, in s."""
    runs: list[list[int]] = []
    for index, score in enumerate(scores):
        if score >= threshold:
            if runs and runs[-1][1] == index:
                runs[-1][1] = index + 1
            else:
                runs.append([index, index + 1])
    return [(first * OUTPUT_SECONDS, after * OUTPUT_SECONDS) for first, after in runs]


def overlap(one: Interval, others: list[Interval]) -> float:
    return sum(max(0.0, min(one[1], other[1]) - max(one[0], other[0])) for other in others)


def length(interval: Interval) -> float:
    return interval[1] - interval[0]


def operating_point(
    clips: list[dict[str, list[Interval]]],
    scores: np.ndarray,
    label: str,
    threshold: float,
    labels: list[str],
    scenario: PsdsScenario,
) -> tuple[float, float]:
    """Effective false positive rate (per hour) and true positive rate of one class at one threshold."""
    found, false_positives = 0, 0
    cross_triggers = {other: 0 for other in labels if other != label}
    for truth, of_clip in zip(clips, scores, strict=True):
        detections = runs_at_or_above(of_clip[:, LABELS.index(label)], threshold)
        relevant = [d for d in detections if overlap(d, truth[label]) >= scenario.tolerance * length(d)]
        found += sum(overlap(event, relevant) >= scenario.tolerance * length(event) for event in truth[label])
        for detection in detections:
            if detection in relevant:
                continue
            false_positives += 1
            for other in cross_triggers:
                fraction = overlap(detection, truth[other]) / length(detection)
                if scenario.cross_trigger_tolerance is not None:
                    cross_triggers[other] += fraction >= scenario.cross_trigger_tolerance
    hours = len(clips) * OUTPUTS * OUTPUT_SECONDS / 3600
    rate = false_positives / hours
    if cross_triggers:
        seconds = {other: sum(length(e) for truth in clips for e in truth[other]) for other in cross_triggers}
        by_other = [cross_triggers[other] / (seconds[other] / 3600) for other in cross_triggers]
        rate += scenario.cross_trigger_cost * float(np.mean(by_other))
    return rate, found / sum(len(truth[label]) for truth in clips)


def plain_psds(reference: list[Clip], scores: np.ndarray, scenario: PsdsScenario, most: float) -> float:
    """Every class at every threshold, then the area under mean minus deviation of the best so far."""
    labels = [label for label in LABELS if any(e.label == label for clip in reference for e in clip.events)]
    clips = [
        {label: [(e.onset, e.offset) for e in clip.events if e.label == label] for label in labels}
        for clip in reference
    ]
    points = {
        label: [
            operating_point(clips, scores, label, threshold, labels, scenario)
            for threshold in np.unique(scores[:, :, LABELS.index(label)])
        ]
        for label in labels
    }
    corners = sorted(
        {0.0, most} | {rate for of_class in points.values() for rate, _ in of_class if rate <= most}
    )
    area = 0.0
    for start, end in pairwise(corners):
        best = [max([found for rate, found in points[x] if rate <= start], default=0.0) for x in labels]
        area += (end - start) * max(float(np.mean(best) - np.std(best)), 0.0)
    return area / most


def events_of_mask(mask: list[bool], label: str) -> list[Event]:
    return [Event(onset, offset, label) for onset, offset in runs_at_or_above(np.array(mask), True)]


masks = st.lists(st.booleans(), min_size=OUTPUTS, max_size=OUTPUTS)
few_values = st.sampled_from([0.0, 0.2, 0.4, 0.5, 0.7, 0.9, 1.0])


@st.composite
def clips_and_scores(draw) -> tuple[list[Clip], np.ndarray]:
    """A few clips whose scores follow the truth in part, so that all rates are met."""
    count = draw(st.integers(1, 4))
    clips = []
    scores = np.empty((count, OUTPUTS, len(LABELS)), np.float32)
    for index in range(count):
        events: list[Event] = []
        for column, label in enumerate(LABELS):
            mask = draw(masks)
            events += events_of_mask(mask, label)
            noise = draw(st.lists(few_values, min_size=OUTPUTS, max_size=OUTPUTS))
            weight = draw(st.sampled_from([0.0, 0.5, 1.0]))
            scores[index, :, column] = weight * np.array(mask) + (1 - weight) * np.array(noise)
        clips.append(Clip(f"{index}.wav", None, tuple(events)))
    return clips, scores


def package_psds(clips: list[Clip], scores: np.ndarray, scenario: PsdsScenario, **options: float) -> float:
    """PSDS through the steps of the commands."""
    durations = [OUTPUTS * OUTPUT_SECONDS] * len(clips)
    of_clips = scores_of_clips(scores, EDGES, durations)
    return psds(intersect(clips, of_clips, scenario, labels=LABELS, durations=durations), **options)


@settings(max_examples=150, deadline=None)
@given(clips_and_scores(), st.sampled_from([PSDS1, PSDS2, BETWEEN]), st.sampled_from([100.0, 3000.0]))
def test_psds_equals_the_plain_computation(drawn, scenario, most):
    clips, scores = drawn
    if not any(clip.events for clip in clips):
        return
    value = package_psds(clips, scores, scenario, instability_cost=1.0, max_false_positive_rate=most)
    assert value == pytest.approx(plain_psds(clips, scores, scenario, most), abs=1e-9)


REFERENCE = [
    Clip("a.wav", None, (Event(0.25, 0.5, "Dog"), Event(0.75, 1.5, "Dog"))),
    Clip("b.wav", None, (Event(0.0, 1.0, "Cat"),)),
    Clip("eventless.wav", None, ()),
]


def perfect_scores() -> np.ndarray:
    scores = np.zeros((len(REFERENCE), OUTPUTS, len(ALL_LABELS)))
    for of_clip, clip in zip(scores, REFERENCE, strict=True):
        for event in clip.events:
            first, after = round(event.onset / OUTPUT_SECONDS), round(event.offset / OUTPUT_SECONDS)
            of_clip[first:after, ALL_LABELS.index(event.label)] = 1
    return scores


def score_psds(
    reference: list[Clip], scores: np.ndarray, durations: list[float], edges: np.ndarray = EDGES
) -> tuple[float, float]:
    """PSDS1 and PSDS2, through the steps of the commands."""
    clips = scores_of_clips(scores, edges, durations)
    options = {"labels": ALL_LABELS, "scoring": SETTINGS.scoring, "durations": durations}
    draws = np.ones((1, len(reference)))
    found = score_and_resample_psds(reference, clips, draws=draws, **options)
    return found["psds/psds1"].score, found["psds/psds2"].score


def both(reference: list[Clip], scores: np.ndarray) -> tuple[float, float]:
    durations = [2.0] * len(reference)
    return score_psds(reference, scores, durations)


def test_perfect_scores_give_1_and_silence_gives_0():
    assert both(REFERENCE, perfect_scores()) == (1, 1)
    assert both(REFERENCE, np.zeros((3, OUTPUTS, len(ALL_LABELS)))) == (0, 0)


def test_class_that_is_never_found_lowers_the_mean_and_costs_its_deviation():
    scores = perfect_scores()
    scores[:, :, ALL_LABELS.index("Cat")] = 0
    assert both(REFERENCE, scores) == (0, 0), "mean 0.5 minus deviation 0.5"


def test_late_detections_fit_psds2_but_not_psds1():
    """Half of each detection lies in its event: more than a tenth, less than 0.7."""
    scores = np.zeros((1, OUTPUTS, len(ALL_LABELS)))
    scores[0, 2:6, ALL_LABELS.index("Dog")] = 1
    assert both([Clip("a.wav", None, (Event(0.5, 1.0, "Dog"),))], scores) == (0, 1)


def test_touching_and_overlapping_events_of_a_class_are_one():
    parts = (Event(1.0, 1.5, "Dog"), Event(0.5, 1.0, "Dog"), Event(0.75, 1.25, "Dog"))
    scores = np.zeros((1, OUTPUTS, len(ALL_LABELS)))
    scores[0, 4:12, ALL_LABELS.index("Dog")] = 1
    assert both([Clip("a.wav", None, parts)], scores) == (1, 1)


def test_scores_beyond_the_recording_are_left_out():
    clip = Clip("a.wav", None, (Event(0.0, 0.25, "Dog"),))
    scores = np.zeros((1, OUTPUTS, len(ALL_LABELS)))
    scores[0, :2, ALL_LABELS.index("Dog")] = 1
    padded = scores.copy()
    padded[0, 10:, ALL_LABELS.index("Dog")] = 1
    values = [score_psds([clip], of_clip, [1.0])[0] for of_clip in (scores, padded)]
    assert values == [1, 1]


def test_last_output_that_reaches_further_counts_as_far():
    """Of 18 outputs' length, the model gives 16: the last one stands for the rest."""
    edges = np.append(EDGES[:-1], 18 * OUTPUT_SECONDS)
    clip = Clip("a.wav", None, (Event(15 * OUTPUT_SECONDS, 18 * OUTPUT_SECONDS, "Dog"),))
    scores = np.zeros((1, OUTPUTS, len(ALL_LABELS)))
    scores[0, -1, ALL_LABELS.index("Dog")] = 1
    result = [score_psds([clip], scores, [18 * OUTPUT_SECONDS], edges_of)[0] for edges_of in (edges, EDGES)]
    assert result == [1, 0], "without the rest, a third of the event is covered"


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 80), st.floats(0.01, 12.0))
def test_outputs_end_with_the_recording(outputs, duration):
    edges = cut_edges(np.arange(outputs + 1) * OUTPUT_SECONDS, duration)
    assert edges[0] == 0
    assert (np.diff(edges) > 0).all()
    assert edges[-1] == pytest.approx(min(duration, outputs * OUTPUT_SECONDS))


def test_reference_without_events_gives_nan():
    assert np.isnan(both([Clip("eventless.wav", None, ())], np.zeros((1, OUTPUTS, len(ALL_LABELS))))).all()


def test_duration_is_that_of_the_recording_but_not_beyond_the_clip(tmp_path):
    for seconds, expected in ((7.5, 7.5), (12, SETTINGS.features.clip_seconds)):
        soundfile.write(tmp_path / "clip.wav", np.zeros((round(8000 * seconds), 2)), 8000)
        assert clip_duration(tmp_path / "clip.wav", SETTINGS.features.clip_seconds) == expected
    with pytest.raises(SedError, match=r"nothing\.wav: cannot be read as audio"):
        clip_duration(tmp_path / "nothing.wav", SETTINGS.features.clip_seconds)


@settings(max_examples=100, deadline=None)
@given(st.lists(few_values, min_size=6, max_size=30), st.sampled_from([0.2, 0.4, 0.5, 0.7]))
def test_a_threshold_on_the_filtered_scores_finds_the_events_of_the_median_filter(values, threshold):
    outputs = np.zeros((1, len(values), len(ALL_LABELS)), np.float32)
    outputs[0, :, 0] = values
    probabilities = Probabilities(outputs, outputs.max(axis=1), 8, frames=8 * len(values))
    mask = MEDIAN_FILTER.frame_scores(probabilities)[0, :, 0] > 0.5
    found = runs_at_or_above(mask, True)
    events = MEDIAN_FILTER.events(probabilities[0])
    assert [(event.onset, event.offset) for event in events] == found


def test_double_threshold_leaves_the_scores_alone():
    outputs = np.random.default_rng(0).random((2, OUTPUTS, len(ALL_LABELS)))
    probabilities = Probabilities(outputs, outputs.max(axis=1), 8, frames=8 * OUTPUTS)
    scores = same_for_all(rule_named("double_threshold")).frame_scores(probabilities)
    np.testing.assert_array_equal(scores, outputs)


def inference(trained, *options: object, **environment: str) -> str:
    arguments = [*trained.run_arguments(), "--iteration", 2, *options]
    return run_well("pytorch/inference.py", "inference_validation", *arguments, **environment)


def test_inference_prints_psds_keeps_it_and_the_table_shows_it(trained):
    output = inference(trained)
    record = json.loads(trained.paths.inference_statistics.read_text().splitlines()[-1])
    scores = record["validation"]["psds"]
    for name in ("psds1", "psds2"):
        assert re.search(rf"^{name.upper()} +{100 * scores[name]:.2f} ", output, re.MULTILINE)
    assert 0 <= scores["psds1"] <= 1
    table = run_well("utils/plot_results.py", "table", "--workspace", trained.workspace.root)
    assert "PSDS1" in table
    header, row, *_ = trained.workspace.results_table.read_text().splitlines()
    cells = dict(zip(header.split("\t"), row.split("\t"), strict=True))
    for name in ("psds1", "psds2"):
        assert cells[name.upper()] == f"{100 * scores[name]:.1f}"
        low, high = record["validation"]["bootstrap"]["intervals"][f"psds/{name}"]
        assert low <= scores[name] <= high
        assert cells[f"{name.upper()} low"] == f"{100 * low:.1f}"


def test_without_the_package_inference_says_how_to_install_it_and_goes_on(trained, tmp_path):
    (tmp_path / "sed_scores_eval.py").write_text("raise ImportError('not installed')")
    output = inference(trained, PYTHONPATH=str(tmp_path))
    assert "Without PSDS" in output
    assert "pip install -r requirements-psds.txt" in output
    assert "F1 of each class" in output
    record = json.loads(trained.paths.inference_statistics.read_text().splitlines()[-1])
    assert "psds" not in record["validation"]
