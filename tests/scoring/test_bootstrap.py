"""Intervals of scores: against plain loops that score the clips of each draw anew, and what they cover."""

import time
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import shared_path
from tests.settings_for_tests import LABELS, SETTINGS
from utils.dataset.tables import Clip, Event, read_strong_table
from utils.scoring.bootstrap import (
    Resampled,
    ResampledScores,
    f1_scores,
    fingerprint,
    resample_clips,
    resample_detection,
    resample_f1,
    resample_mean_average_precision,
)
from utils.scoring.sed_eval_scores import mean_average_precision, score_events
from utils.system.errors import MissingInputError

FEW = replace(SETTINGS.scoring, bootstrap_resamples=20)
THREE = ["Speech", "Dog", "Cat"]

events = st.builds(
    lambda onset, length, label: Event(onset * 0.15, (onset + length) * 0.15, label),
    st.integers(0, 30),
    st.integers(1, 12),
    st.sampled_from(THREE),
)
event_lists = st.lists(events, max_size=4, unique=True).map(tuple)


def clips_drawn(clips: list[Clip], often: np.ndarray) -> list[Clip]:
    """Each clip as often as it was drawn, under names that tell the copies apart."""
    return [
        replace(clip, name=f"{copy}_{clip.name}")
        for clip, count in zip(clips, often, strict=True)
        for copy in range(int(count))
    ]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(event_lists, event_lists), min_size=1, max_size=6))
def test_resampled_f1_is_that_of_the_drawn_clips(pairs):
    reference = [Clip(f"{index}.wav", None, true) for index, (true, _) in enumerate(pairs)]
    submission = [Clip(f"{index}.wav", None, found) for index, (_, found) in enumerate(pairs)]
    options = {"labels": THREE, "scoring": FEW, "show_progress": False}
    draws = resample_clips(len(reference), FEW)
    resampled = resample_detection(score_events(reference, submission, **options), draws)
    for index, often in enumerate(draws[:5]):
        plain = score_events(clips_drawn(reference, often), clips_drawn(submission, often), **options)
        for path, score in resampled.items():
            metric, average = path.removesuffix("/f1").rsplit("/", 1)
            of_metric = plain.event if metric == "event" else plain.segment[metric.split("/")[1]]
            expected = getattr(of_metric, average).f1
            assert score.draws[index] == pytest.approx(expected, abs=1e-12, nan_ok=True)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.tuples(st.booleans(), st.integers(0, 4)), min_size=3, max_size=3), min_size=1))
def test_resampled_map_is_that_of_the_drawn_clips(clips):
    """Probabilities of five values only, so that many clips are equal."""
    target, probability = np.moveaxis(np.array(clips), 2, 0)
    target = target.astype(bool)
    draws = resample_clips(len(clips), FEW)
    for often, found in zip(draws, resample_mean_average_precision(target, probability, draws), strict=True):
        drawn = np.repeat(np.arange(len(clips)), often.astype(int))
        expected = mean_average_precision(target[drawn], probability[drawn])
        assert found == pytest.approx(expected, abs=1e-12, nan_ok=True)


def test_draws_are_of_as_many_clips_and_the_same_each_time():
    draws = resample_clips(50, SETTINGS.scoring)
    assert draws.shape == (1000, 50)
    assert (draws.sum(axis=1) == 50).all()
    np.testing.assert_array_equal(draws, resample_clips(50, SETTINGS.scoring))
    other = replace(SETTINGS.scoring, bootstrap_seed=1)
    assert (draws != resample_clips(50, other)).any()
    # A clip is left out of a draw with probability (1 - 1/50)^50, and drawn once on average.
    assert (draws == 0).mean() == pytest.approx((1 - 1 / 50) ** 50, abs=0.01)
    np.testing.assert_allclose(draws.mean(axis=0), 1, atol=0.15)


def made_counts(generator: np.random.Generator, sets: int, clips: int) -> np.ndarray:
    """Counts of clips with one event of one of three classes each, found and falsely found at known rates."""
    label = generator.integers(0, 3, (sets, clips))
    reference = np.eye(3)[label]
    found = reference * (generator.random((sets, clips, 3)) < [0.3, 0.6, 0.8])
    false = generator.random((sets, clips, 3)) < 0.2
    return np.stack([found, found + false, reference], axis=3)


# Of a class: found 2 p / (found p + false 0.2 + reference 1/3) with p = 1/3 × 0.3, 0.6, 0.8.
F1_OF_THE_CLASSES = [2 * r / 3 / (r / 3 + 0.2 + 1 / 3) for r in (0.3, 0.6, 0.8)]
MICRO_F1 = 2 * (1.7 / 3) / (1.7 / 3 + 3 * 0.2 + 1)


def test_intervals_cover_the_true_score_as_often_as_they_say():
    sets, clips = 400, 150
    counts = made_counts(np.random.default_rng(0), sets, clips)
    draws = resample_clips(clips, replace(SETTINGS.scoring, bootstrap_resamples=300))
    covered = np.zeros(2)
    for of_set in counts:
        scores = zip(f1_scores(of_set.sum(axis=0)), resample_f1(of_set, draws), strict=True)
        ends = [Resampled(float(score), of_draws).interval(0.95) for score, of_draws in scores]
        truth = np.mean(F1_OF_THE_CLASSES), MICRO_F1
        covered += [low <= score <= high for (low, high), score in zip(ends, truth, strict=True)]
    # 400 sets: 0.95 within three standard deviations of 0.011, and a little for the finite number of clips.
    assert (covered / sets > 0.91).all()
    assert (covered / sets < 0.985).all()


def test_intervals_of_differences_cover_the_true_difference():
    """Two systems on the same clips, of which one misses what the other finds more often."""
    sets, clips = 300, 150
    generator = np.random.default_rng(1)
    first = made_counts(generator, sets, clips)
    second = first.copy()
    kept = generator.random(first.shape[:3]) < 0.8
    second[..., 0] *= kept
    second[..., 1] -= first[..., 0] * ~kept
    true_difference = 2 * (0.8 * 1.7 / 3) / (0.8 * 1.7 / 3 + 3 * 0.2 + 1) - MICRO_F1
    draws = resample_clips(clips, replace(SETTINGS.scoring, bootstrap_resamples=300))
    covered, widths = 0, []
    for one, other in zip(first, second, strict=True):
        micro, of_other = (
            Resampled(float(f1_scores(counts.sum(axis=0))[1]), resample_f1(counts, draws)[1])
            for counts in (one, other)
        )
        low, high = (of_other - micro).interval(0.95)
        covered += low <= true_difference <= high
        widths.append((high - low) / np.subtract(*micro.interval(0.95)[::-1]))
    assert 0.90 < covered / sets < 0.99
    assert np.mean(widths) < 0.8, "on the same clips, a difference is surer than the scores"


def test_an_interval_holds_the_middle_of_the_draws_centred_at_the_score():
    assert Resampled(500.0, np.arange(1001.0)).interval(0.9) == pytest.approx((50, 950))
    assert Resampled(7.0, np.array([1.0, np.nan, 3.0])).interval(0.5) == (6.5, 7.5)
    assert np.isnan(Resampled(np.nan, np.full(3, np.nan)).interval(0.95)).all()


def test_an_interval_of_a_score_does_not_leave_0_to_1():
    scores = {"event/macro/f1": Resampled(0.01, np.linspace(0, 0.2, 20))}
    found = ResampledScores("", "", FEW, scores | {"event/micro/f1": Resampled(1.0, np.ones(20))}).to_json()
    assert scores["event/macro/f1"].interval(0.95)[0] < 0
    low, high = found["intervals"]["event/macro/f1"]
    assert low == 0 < high
    assert found["intervals"]["event/micro/f1"] == [1, 1]
    assert (found["confidence"], found["resamples"], found["seed"]) == (0.95, 20, FEW.bootstrap_seed)


def test_a_thousand_draws_of_the_challenge_s_clips_take_less_than_two_seconds():
    folder = shared_path("dcase2019/scoring")
    reference, submission = (
        read_strong_table(folder / f"{name}.csv", LABELS) for name in ("reference", "submission")
    )
    scores = score_events(reference, submission, labels=LABELS, scoring=SETTINGS.scoring)
    start = time.process_time()
    resampled = resample_detection(scores, resample_clips(scores.clips, SETTINGS.scoring))
    generator = np.random.default_rng(0)
    target = generator.random((scores.clips, len(LABELS))) < 0.2
    probability = generator.random(target.shape)
    of_tags = resample_mean_average_precision(
        target, probability, resample_clips(scores.clips, SETTINGS.scoring)
    )
    resampled["mean_average_precision"] = Resampled(mean_average_precision(target, probability), of_tags)
    seconds = time.process_time() - start
    assert scores.clips == 1168
    assert seconds < 2
    for path, score in resampled.items():
        low, high = score.interval(0.95)
        assert low < score.score < high, path
        assert len(score.draws) == 1000


REFERENCE = [Clip("a.wav", None, (Event(1.0, 2.0, "Dog"),)), Clip("b.wav", None, ())]


def scores_to_keep() -> ResampledScores:
    values = {
        "event/macro/f1": Resampled(0.25, np.linspace(0, 1, 20)),
        "psds/psds1": Resampled(0, np.zeros(20)),
    }
    values["event/micro/f1"] = Resampled(np.nan, np.full(20, np.nan))
    return ResampledScores("training_id", fingerprint(REFERENCE), FEW, values)


def test_resampled_scores_are_read_as_they_were_written(tmp_path):
    kept = scores_to_keep()
    kept.write(tmp_path / "resampled.json")
    read = ResampledScores.read(tmp_path / "resampled.json")
    assert (read.training_id, read.clips, read.scoring) == (kept.training_id, kept.clips, kept.scoring)
    assert read.scores.keys() == kept.scores.keys()
    for path, score in kept.scores.items():
        assert read.scores[path].score == pytest.approx(score.score, abs=1e-6, nan_ok=True)
        np.testing.assert_allclose(read.scores[path].draws, score.draws, atol=1e-6)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"training_id": 1, "clips": 2, "scoring": {}, "scores": {}}']
)
def test_resampled_scores_that_are_not_valid_are_refused_with_their_path(tmp_path, text):
    path = tmp_path / "resampled.json"
    path.write_text(text)
    with pytest.raises(MissingInputError, match=r"resampled\.json: not valid resampled scores"):
        ResampledScores.read(path)
    with pytest.raises(MissingInputError, match=r"other\.json: there is no such file"):
        ResampledScores.read(tmp_path / "other.json")


def test_fingerprints_tell_clips_and_their_annotation_apart():
    changed = [Clip("a.wav", None, (Event(1.0, 2.5, "Dog"),)), REFERENCE[1]]
    prints = [fingerprint(clips) for clips in (REFERENCE, REFERENCE[::-1], changed, REFERENCE[:1])]
    assert len(set(prints)) == 4
    assert fingerprint(list(REFERENCE)) == prints[0]
