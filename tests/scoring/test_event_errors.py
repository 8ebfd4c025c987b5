"""What became of events: plain cases, sed_eval's counts, and the confusion against a slow count."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.settings_for_tests import COLLARS, SETTINGS
from utils.dataset.tables import Clip, Event
from utils.scoring.event_errors import (
    CORRECT,
    FALSE,
    MISSED,
    WRONG_BOUNDARY,
    JudgedClip,
    confusion,
    count_verdicts,
    judge_clip,
    judge_clips,
)
from utils.scoring.sed_eval_scores import score_events

LABELS = ["Dog", "Cat", "Speech"]

# Times on a coarse grid, so that events often are near each other, and never exactly a tolerance apart.
events = st.builds(
    lambda onset, length, label: Event(onset * 0.15, (onset + length) * 0.15, label),
    st.integers(0, 30),
    st.integers(1, 12),
    st.sampled_from(LABELS),
)
event_lists = st.lists(events, max_size=6).map(tuple)


def verdicts(reference: list[Event], predicted: list[Event]) -> tuple[list[str], list[str]]:
    clip = judge_clip("a.wav", reference, predicted, **COLLARS)
    return [judged.verdict for judged in clip.reference], [judged.verdict for judged in clip.predicted]


@pytest.mark.parametrize(
    ("predicted", "of_reference", "of_predicted"),
    [
        (Event(1.15, 2.85, "Dog"), CORRECT, CORRECT),
        (Event(1.0, 3.35, "Dog"), CORRECT, CORRECT),  # 20 % of 2 s, which is more than 0.2 s
        (Event(1.25, 3.0, "Dog"), WRONG_BOUNDARY, WRONG_BOUNDARY),
        (Event(1.0, 3.45, "Dog"), WRONG_BOUNDARY, WRONG_BOUNDARY),
        (Event(2.9, 9.0, "Dog"), WRONG_BOUNDARY, WRONG_BOUNDARY),
        (Event(3.0, 4.0, "Dog"), MISSED, FALSE),
        (Event(1.0, 3.0, "Cat"), MISSED, FALSE),
    ],
)
def test_verdicts_on_one_event(predicted, of_reference, of_predicted):
    assert verdicts([Event(1.0, 3.0, "Dog")], [predicted]) == ([of_reference], [of_predicted])


def test_without_a_counterpart_events_are_missed_or_false():
    assert verdicts([Event(0, 1, "Dog"), Event(2, 3, "Dog")], []) == ([MISSED, MISSED], [])
    assert verdicts([], [Event(0, 1, "Dog")]) == ([], [FALSE])
    assert verdicts([], []) == ([], [])


def test_one_event_is_matched_once():
    twice = [Event(1.0, 2.0, "Dog"), Event(1.1, 2.1, "Dog")]
    assert sorted(verdicts([Event(1.0, 2.0, "Dog")], twice)[1]) == [CORRECT, WRONG_BOUNDARY]


def test_as_many_events_as_possible_are_matched():
    # The first prediction fits both, the second only the first: in order, one would be left over.
    reference = [Event(1.0, 2.0, "Dog"), Event(1.3, 2.0, "Dog")]
    predicted = [Event(1.15, 2.0, "Dog"), Event(0.9, 2.0, "Dog")]
    assert verdicts(reference, predicted) == ([CORRECT, CORRECT], [CORRECT, CORRECT])


@given(event_lists, event_lists)
def test_correct_events_of_each_class_are_sed_evals_true_positives(reference, predicted):
    clip = judge_clip("a.wav", reference, predicted, **COLLARS)
    scores = score_events(
        [Clip("a.wav", events=reference)],
        [Clip("a.wav", events=predicted)],
        labels=LABELS,
        scoring=SETTINGS.scoring,
        show_progress=False,
    )
    if reference:
        assert clip.f1 == pytest.approx(scores.event.micro.f1)
    counts = count_verdicts(clip.reference, LABELS)
    for label in LABELS:
        there = sum(event.label == label for event in reference)
        assert sum(counts[label].values()) == there
        if there:
            assert counts[label][CORRECT] == pytest.approx(there * scores.event.classwise[label].recall)


def test_f1_of_a_clip_without_events_is_that_of_a_right_answer():
    assert judge_clip("a.wav", [], [], **COLLARS).f1 == 1
    assert judge_clip("a.wav", [], [Event(0, 1, "Dog")], **COLLARS).f1 == 0


def test_a_clip_that_the_submission_leaves_out_has_missed_events():
    reference = [Clip("a.wav", events=(Event(0, 1, "Dog"),)), Clip("b.wav", events=())]
    clips = judge_clips(reference, [Clip("c.wav", events=(Event(0, 1, "Dog"),))], **COLLARS)
    assert [clip.name for clip in clips] == ["a.wav", "b.wav"]
    assert [clip.f1 for clip in clips] == [0, 1]


def slow_confusion(clip: JudgedClip) -> dict[tuple[str, str], int]:
    """Pairs of missed and false events that share a millisecond, counted one by one."""
    missed = [j.event for j in clip.reference if j.verdict == MISSED]
    false = [j.event for j in clip.predicted if j.verdict == FALSE]

    def milliseconds(event: Event) -> set[int]:
        return set(range(round(1000 * event.onset), round(1000 * event.offset)))

    pairs = [(m, f) for m in missed for f in false if milliseconds(m) & milliseconds(f)]
    counts: dict[tuple[str, str], int] = {}
    named = [(m.label, f.label) for m, f in pairs]
    named += [(m.label, "nothing") for m in missed if all(m is not pair[0] for pair in pairs)]
    named += [("nothing", f.label) for f in false if all(f is not pair[1] for pair in pairs)]
    for pair in named:
        counts[pair] = counts.get(pair, 0) + 1
    return counts


@given(event_lists, event_lists)
def test_confusion_equals_a_slow_count(reference, predicted):
    clip = judge_clip("a.wav", reference, predicted, **COLLARS)
    matrix = confusion([clip], LABELS)
    names = [*LABELS, "nothing"]
    found = {(names[i], names[j]): n for i, row in enumerate(matrix.tolist()) for j, n in enumerate(row) if n}
    assert found == slow_confusion(clip)
