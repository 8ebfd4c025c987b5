"""PSDS of drawn clips against PSDS computed anew for each draw."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings

from tests.scoring.test_bootstrap import clips_drawn
from tests.scoring.test_psds import EDGES, LABELS, OUTPUT_SECONDS, OUTPUTS, clips_and_scores, package_psds
from tests.settings_for_tests import SETTINGS
from utils.dataset.tables import Clip, Event
from utils.scoring import psds_bootstrap
from utils.scoring.bootstrap import resample_clips
from utils.scoring.psds import PsdsScenario, intersect, scores_of_clips
from utils.scoring.psds_bootstrap import fewest_in_blocks, resample_psds

SCENARIOS = [PsdsScenario(0.7), PsdsScenario(0.1, 0.3, 0.5), PsdsScenario(0.6, 0.3, 0.5)]
SCORING = replace(SETTINGS.scoring, bootstrap_resamples=4)


def plain_resampled(clips, scores, scenario, scoring, often) -> float:
    """PSDS of the drawn clips, by the package."""
    drawn = np.repeat(scores, often.astype(int), axis=0)
    return package_psds(
        clips_drawn(clips, often),
        drawn,
        scenario,
        instability_cost=scoring.psds_instability_cost,
        max_false_positive_rate=scoring.psds_max_false_positive_rate,
    )


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("most", [100.0, 3000.0])
@settings(max_examples=25, deadline=None)
@given(drawn=clips_and_scores())
def test_resampled_psds_is_that_of_the_drawn_clips(scenario, most, drawn):
    clips, scores = drawn
    assume(any(clip.events for clip in clips))
    scoring = replace(SCORING, psds_max_false_positive_rate=most)
    durations = [OUTPUTS * OUTPUT_SECONDS] * len(clips)
    of_clips = scores_of_clips(scores, EDGES, durations)
    found = intersect(clips, of_clips, scenario, labels=LABELS, durations=durations)
    draws = np.concatenate([np.ones((1, len(clips))), resample_clips(len(clips), scoring)])
    # In blocks of three changes, curves end where they need not go on; ordinary blocks hold all these.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(psds_bootstrap, "BLOCK", 3)
        values = resample_psds(found, draws, scoring)
    for value, often in zip(values, draws, strict=True):
        expected = plain_resampled(clips, scores, scenario, scoring, often)
        assert value == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_resampled_psds_of_many_clips_is_that_of_the_drawn_clips():
    """Names in another order than the clips, clips of different lengths, and curves of several blocks."""
    generator = np.random.default_rng(0)
    clips, scores = [], generator.random((60, OUTPUTS, len(LABELS))).astype(np.float32)
    for index in range(60):
        label = generator.integers(len(LABELS))
        first, length = generator.integers(0, 8), generator.integers(2, 6)
        scores[index, first : first + length, label] += 0.7
        event = Event(first * OUTPUT_SECONDS, (first + length) * OUTPUT_SECONDS, LABELS[label])
        clips.append(Clip(f"{60 - index:02d}.wav", None, (event,)))
    scoring = replace(SCORING, bootstrap_resamples=5)
    durations = [OUTPUTS * OUTPUT_SECONDS] * len(clips)
    of_clips = scores_of_clips(scores, EDGES, durations)
    draws = resample_clips(len(clips), scoring)
    for scenario in SCENARIOS:
        found = intersect(clips, of_clips, scenario, labels=LABELS, durations=durations)
        expected = [plain_resampled(clips, scores, scenario, scoring, often) for often in draws]
        assert min(expected) > 0.05
        np.testing.assert_allclose(resample_psds(found, draws, scoring), expected, atol=1e-9)


def test_draws_without_reference_events_have_no_psds():
    clips = [Clip("a.wav", None, (Event(0.0, 1.0, "Dog"),)), Clip("b.wav", None, ())]
    of_clips = scores_of_clips(np.zeros((2, OUTPUTS, len(LABELS))), EDGES, [2.0, 2.0])
    found = intersect(clips, of_clips, SCENARIOS[1], labels=LABELS, durations=[2.0, 2.0])
    values = resample_psds(found, np.array([[0.0, 2.0], [1.0, 1.0]]), SETTINGS.scoring)
    assert np.isnan(values[0])
    assert values[1] == 0
    eventless = intersect(clips[1:], of_clips[1:], SCENARIOS[0], labels=LABELS, durations=[2.0])
    assert np.isnan(resample_psds(eventless, np.ones((3, 1)), SETTINGS.scoring)).all()


def test_fewest_in_blocks_equals_plain_counting(monkeypatch):
    monkeypatch.setattr(psds_bootstrap, "BLOCK", 4)
    generator = np.random.default_rng(3)
    clip, changes = generator.integers(0, 5, 30), generator.integers(-1, 2, 30).astype(float)
    expected = np.full((5, 8), np.inf)
    counts = np.zeros(5)
    for index in range(30):
        expected[:, index // 4] = np.minimum(expected[:, index // 4], counts)
        counts[clip[index]] += changes[index]
        expected[:, index // 4] = np.minimum(expected[:, index // 4], counts)
    np.testing.assert_array_equal(fewest_in_blocks(clip, changes, 5), expected)
