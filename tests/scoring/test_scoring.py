"""Scores against sed_eval called directly, against published figures, and against plain counting."""

import math
from dataclasses import replace

import numpy as np
import pytest
import sed_eval
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.commands import run_well
from tests.conftest import shared_path
from tests.settings_for_tests import LABELS, SETTINGS
from utils.dataset.tables import Clip, Event, read_durations, read_strong_table, write_strong_table
from utils.scoring.sed_eval_scores import (
    DetectionScores,
    average_precisions,
    mean_average_precision,
    score_events,
)

TOLERANCE = 1e-12


def score(reference: list[Clip], submission: list[Clip], **options: object) -> DetectionScores:
    """Score with the settings."""
    return score_events(reference, submission, **{"labels": LABELS, "scoring": SETTINGS.scoring} | options)


def sed_eval_list(clips: list[Clip], name: str) -> list[dict]:
    events = {clip.name: clip.events for clip in clips}.get(name, ())
    return [
        {"filename": name, "event_onset": e.onset, "event_offset": e.offset, "event_label": e.label}
        for e in events
    ]


def assert_equals_sed_eval(ours, theirs) -> None:
    results = theirs.results()
    pairs = [(ours.micro, results["overall"]), (ours.macro, results["class_wise_average"])]
    pairs += [(ours.classwise[label], results["class_wise"][label]) for label in LABELS]
    for rates, of_sed_eval in pairs:
        for name in ("precision", "recall"):
            assert getattr(rates, name) == pytest.approx(of_sed_eval["f_measure"][name], abs=TOLERANCE)
        assert rates.f1 == pytest.approx(of_sed_eval["f_measure"]["f_measure"], abs=TOLERANCE)
        for name in ("error_rate", "deletion_rate", "insertion_rate"):
            assert getattr(rates, name) == pytest.approx(of_sed_eval["error_rate"][name], abs=TOLERANCE)


@pytest.mark.parametrize("with_durations", [False, True])
def test_scores_of_a_real_submission_equal_sed_eval_called_directly(with_durations):
    folder = shared_path("dcase2019/scoring")
    reference = read_strong_table(folder / "reference.csv", LABELS)
    submission = read_strong_table(folder / "submission.csv", LABELS)
    durations = read_durations(folder / "durations.csv") if with_durations else None
    scores = score(reference, submission, durations=durations)

    event = sed_eval.sound_event.EventBasedMetrics(list(LABELS), t_collar=0.2, percentage_of_length=0.2)
    segments = {s: sed_eval.sound_event.SegmentBasedMetrics(list(LABELS), s) for s in (0.2, 1.0)}
    for clip in reference:
        lists = sed_eval_list(reference, clip.name), sed_eval_list(submission, clip.name)
        event.evaluate(*lists)
        for metric in segments.values():
            metric.evaluate(*lists, durations[clip.name] if durations else None)
    assert scores.clips == 1168
    assert_equals_sed_eval(scores.event, event)
    assert_equals_sed_eval(scores.segment["0.2s"], segments[0.2])
    assert_equals_sed_eval(scores.segment["1s"], segments[1.0])


def test_score_prints_the_published_scores_of_a_real_submission():
    folder = shared_path("dcase2019/scoring")
    tables = ["--reference_csv", folder / "reference.csv", "--submission_csv", folder / "submission.csv"]
    lines = run_well("pytorch/inference.py", "score", *tables).splitlines()
    assert any(line.startswith("1168 clips, ") for line in lines)
    scores = [line.split("  ")[0:1] + line.split()[-7:] for line in lines if line.startswith("segment F1 1s")]
    assert [(name, of_name[0]) for name, *of_name in scores] == [
        ("segment F1 1s", "69.35"),
        ("segment F1 1s micro", "75.47"),
    ]


def clip(name: str, *events: tuple[float, float, str]) -> Clip:
    return Clip(name, frozenset(e[2] for e in events), tuple(Event(*e) for e in events))


REFERENCE = [
    clip("a.wav", (1.0, 2.0, "Dog"), (4.0, 8.0, "Speech")),
    clip("b.wav", (0.0, 3.0, "Cat")),
    clip("eventless.wav"),
]


def test_perfect_submission_scores_1():
    scores = score(REFERENCE, REFERENCE)
    for metric in (scores.event, *scores.segment.values()):
        assert metric.micro.f1 == metric.macro.f1 == 1
        assert metric.micro.error_rate == 0


def test_no_predictions_at_all_score_0():
    for submission in ([], [clip(c.name) for c in REFERENCE]):
        scores = score(REFERENCE, submission)
        for metric in (scores.event, *scores.segment.values()):
            assert metric.micro.f1 == metric.macro.f1 == 0
            assert metric.micro.deletion_rate == 1


def test_class_without_predictions_counts_as_0_in_the_macro_average():
    submission = [REFERENCE[0]]
    scores = score(REFERENCE, submission)
    assert scores.event.classwise["Cat"].f1 == 0
    assert scores.event.macro.f1 == pytest.approx(2 / 3)
    assert scores.segment["1s"].macro.f1 == pytest.approx(2 / 3)


def test_class_without_reference_is_left_out_of_the_macro_average():
    submission = [*REFERENCE, clip("eventless.wav", (0.0, 1.0, "Frying"))]
    scores = score(REFERENCE, submission)
    assert math.isnan(scores.event.classwise["Frying"].f1)
    assert scores.event.macro.f1 == 1
    assert scores.event.macro.error_rate < 10


def test_false_positive_in_an_eventless_clip_counts():
    submission = [*REFERENCE[:2], clip("eventless.wav", (0.0, 1.0, "Dog"))]
    scores = score(REFERENCE, submission)
    assert scores.clips == 3
    assert scores.event.micro.precision == pytest.approx(3 / 4)
    assert scores.event.classwise["Dog"].precision == pytest.approx(1 / 2)


def test_predictions_for_unlisted_clips_are_left_out():
    submission = [*REFERENCE, clip("stranger.wav", (0.0, 1.0, "Dog"))]
    assert score(REFERENCE, submission).event.micro.f1 == 1


def test_offset_tolerance_is_the_larger_of_collar_and_a_fifth_of_the_length():
    submission = [clip("a.wav", (1.0, 2.19, "Dog"), (4.0, 7.25, "Speech"))]
    scores = score(REFERENCE, submission)
    assert scores.event.classwise["Dog"].f1 == 1
    assert scores.event.classwise["Speech"].f1 == 1
    submission = [clip("a.wav", (1.0, 2.21, "Dog"), (4.0, 7.15, "Speech"))]
    scores = score(REFERENCE, submission)
    assert scores.event.classwise["Dog"].f1 == 0
    assert scores.event.classwise["Speech"].f1 == 0


def test_segment_counts_equal_plain_counting():
    submission = [clip("a.wav", (1.5, 3.5, "Dog")), clip("b.wav", (1.0, 2.0, "Cat"))]
    scores = score(REFERENCE, submission, scoring=replace(SETTINGS.scoring, segment_lengths=(1.0,)))
    # Dog: reference second 1, predicted 1, 2 and 3. Cat: reference 0 to 2, predicted 1. Speech: 4 to 7, none.
    assert scores.segment["1s"].micro.precision == pytest.approx(2 / 4)
    assert scores.segment["1s"].micro.recall == pytest.approx(2 / 8)


def test_reference_without_any_event_gives_nan_not_an_error():
    scores = score([clip("eventless.wav")], [clip("eventless.wav", (0.0, 1.0, "Dog"))])
    assert math.isnan(scores.event.micro.f1)
    assert math.isnan(scores.event.macro.f1)


def test_all_scores_survive_a_round_trip_through_the_tables(tmp_path):
    write_strong_table(tmp_path / "reference.csv", REFERENCE)
    assert read_strong_table(tmp_path / "reference.csv", LABELS) == REFERENCE


def plain_average_precision(target: list[bool], scores: list[float]) -> float:
    """Precision at each positive, found by counting; clips with equal scores are ranked together."""
    total = sum(target)
    result, last_recall = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        chosen = [t for t, s in zip(target, scores, strict=True) if s >= threshold]
        recall = sum(chosen) / total
        result += (recall - last_recall) * sum(chosen) / len(chosen)
        last_recall = recall
    return result


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.sampled_from([0.1, 0.2, 0.5, 0.9])), min_size=1, max_size=20))
def test_average_precision_equals_plain_counting(pairs):
    target, scores = [t for t, _ in pairs], [s for _, s in pairs]
    (result,) = average_precisions(np.array(target)[:, None], np.array(scores)[:, None])
    if any(target):
        assert result == pytest.approx(plain_average_precision(target, scores))
    else:
        assert math.isnan(result)


def test_class_without_positives_is_left_out_of_the_map():
    target = np.zeros((4, 10), bool)
    target[:2, 0] = target[2:, 1] = True
    probability = np.zeros((4, 10))
    probability[:2, 0] = 1
    assert mean_average_precision(target, probability) == pytest.approx((1 + 0.5) / 2)
    assert math.isnan(mean_average_precision(np.zeros((4, 10), bool), probability))
