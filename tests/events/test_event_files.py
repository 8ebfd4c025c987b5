"""Detected events: their scores, their files, the summary, and going on after a stop."""

import json

import numpy as np
import pytest

from tests.settings_for_tests import LABELS, rule_named, same_for_all
from utils.audio.recordings import STANDARD_INPUT, AudioFile
from utils.dataset.tables import Event, read_strong_table
from utils.events.event_files import (
    DetectedEvents,
    label_of_audacity,
    summary_lines,
    write_audacity,
    write_csv,
    write_raven,
)
from utils.events.event_journal import EventJournal
from utils.events.post_processing import DoubleThreshold
from utils.events.probabilities import Probabilities
from utils.events.scored_events import ScoredEvent, events_within, with_scores
from utils.system.errors import SedError

DOG, CAT, SPEECH = "Dog", "Cat", "Speech"
EVENTS = (ScoredEvent(0.5, 1.25, DOG, 0.9312), ScoredEvent(2.0, 3.0, CAT, 1.0))


DOUBLE_THRESHOLD = same_for_all(DoubleThreshold(0.5, 0.9, 0.5, 0.0, 0.0), (DOG, CAT), 32)


def test_score_is_the_mean_of_the_frame_probabilities_of_the_event():
    """The yardstick takes each frame by itself; the last output of a clip may have fewer frames."""
    generator = np.random.default_rng(0)
    probabilities = Probabilities(generator.random((7, 2), np.float32), np.ones(2), 4, 26)
    for first, after in ((0, 4), (4, 12), (20, 26), (3, 11), (0, 26)):
        (event,) = with_scores([Event(first / 32, after / 32, CAT)], probabilities, DOUBLE_THRESHOLD)
        frames = probabilities.stretched()[first:after, 1]
        assert event.score == pytest.approx(frames.mean(), rel=1e-5)


@pytest.mark.parametrize("clipwise", [np.full(2, 0.9), np.linspace(0.5, 1, 80).reshape(40, 2)])
def test_score_of_a_box_is_its_confidence_and_events_are_in_time_order(clipwise):
    framewise = np.full((40, 2), 0.02, np.float32)
    framewise[20:30, 0], framewise[5:12, 1], framewise[25:40, 1] = 0.8, 0.9, 0.7
    probabilities = Probabilities(framewise, clipwise, 4, 160)
    boxes = same_for_all(rule_named("event_boxes"), (DOG, CAT), 32)
    scored = with_scores(boxes.events(probabilities), probabilities, boxes)
    assert [event.label for event in scored] == [CAT, DOG, CAT]
    expected = {}
    for of_class, label, frames, clip in zip(
        boxes.of_classes, (DOG, CAT), framewise.T, probabilities.clipwise.T, strict=True
    ):
        for (first, _), confidence in zip(*of_class.boxes(frames, clip, outputs_per_second=8), strict=True):
            expected[label, first / 8] = confidence
    for event in scored:
        assert event.score == pytest.approx(expected[event.label, event.onset], rel=1e-5)


def test_events_end_with_the_recording():
    events = [Event(0.25, 9.0, DOG), Event(0.5, 0.75, CAT), Event(1.5, 2.0, CAT)]
    assert events_within(events, 1.0) == (Event(0.25, 1.0, DOG), Event(0.5, 0.75, CAT))


def test_a_further_column_does_not_disturb_who_reads_the_table(tmp_path):
    detected = [DetectedEvents(AudioFile(tmp_path, "a.wav"), 10, EVENTS)]
    detected.append(DetectedEvents(AudioFile(tmp_path, "sub/b.wav"), 10, ()))
    write_csv(tmp_path / "events.csv", detected)
    header, first, *_ = (tmp_path / "events.csv").read_text().splitlines()
    assert header.split("\t") == ["filename", "onset", "offset", "event_label", "score"]
    assert first.split("\t")[-1] == "0.931"
    a, b = read_strong_table(tmp_path / "events.csv", LABELS, names_with_folders=True)
    assert a.events == (Event(0.5, 1.25, DOG), Event(2.0, 3.0, CAT))
    assert (b.name, b.events) == ("sub/b.wav", ())


def test_audacity_and_raven_tables_hold_times_label_and_score(tmp_path):
    write_audacity(tmp_path / "a.txt", EVENTS)
    lines = [line.split("\t") for line in (tmp_path / "a.txt").read_text().splitlines()]
    assert lines == [["0.500000", "1.250000", "Dog [0.93]"], ["2.000000", "3.000000", "Cat [1.00]"]]
    assert [label_of_audacity(text) for *_, text in lines] == [DOG, CAT]
    assert label_of_audacity("Dog [2]") == "Dog [2]"

    write_raven(tmp_path / "a.selections.txt", EVENTS, low_hz=50, high_hz=14000)
    header, *rows = [line.split("\t") for line in (tmp_path / "a.selections.txt").read_text().splitlines()]
    cells = [dict(zip(header, row, strict=True)) for row in rows]
    assert [one["Selection"] for one in cells] == ["1", "2"]
    assert (cells[0]["Begin Time (s)"], cells[0]["End Time (s)"]) == ("0.500000", "1.250000")
    assert (cells[0]["Low Freq (Hz)"], cells[0]["High Freq (Hz)"]) == ("50.0", "14000.0")
    assert [(one["Annotation"], one["Score"]) for one in cells] == [(DOG, "0.931"), (CAT, "1.000")]


def test_summary_counts_events_and_seconds_of_each_class():
    events = (*EVENTS, ScoredEvent(5.0, 5.5, DOG, 0.5))
    recording = DetectedEvents(AudioFile(None, "a"), 10.0, events)
    lines = [line.split() for line in summary_lines([recording, recording], (SPEECH, DOG, CAT))]
    assert " ".join(lines[0]) == "2 recordings, 20.0 s of audio"
    assert lines[1:] == [["events", "seconds"], [DOG, "4", "2.5"], [CAT, "2", "2.0"], ["all", "6", "4.5"]]
    nothing = DetectedEvents(AudioFile(None, "a"), 10.0, ())
    assert summary_lines([nothing], (DOG,)) == ["1 recording, 10.0 s of audio: no events"]


WORK = {"training_id": "x", "formats": ["csv"]}


@pytest.fixture
def recordings(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.wav").write_text(name)
    return [AudioFile(tmp_path / f"{name}.wav", f"{name}.wav") for name in "ab"]


def test_what_is_finished_is_known_to_the_next_process_also_after_a_kill(tmp_path, recordings):
    path = tmp_path / ".journal"
    with EventJournal(path, WORK) as journal:
        journal.add(DetectedEvents(recordings[0], 3.5, EVENTS))
        with pytest.raises(SedError, match="another process writes here"):
            EventJournal(path, WORK)
    with path.open("a") as file:
        file.write('[["/b.wav", 1, 1], 2.0, [[')  # killed while it wrote
    for _ in range(2):
        with EventJournal(path, WORK) as journal:
            assert journal.finished(recordings[0]) == DetectedEvents(recordings[0], 3.5, EVENTS)
            assert journal.finished(recordings[1]) is None
    with EventJournal(path, WORK) as journal:
        journal.add(DetectedEvents(recordings[1], 1.0, ()))
    with EventJournal(path, WORK) as journal:
        assert journal.finished(recordings[1]) == DetectedEvents(recordings[1], 1.0, ())
        journal.remove()
    assert not path.exists()


@pytest.mark.parametrize("damage", [bytes(20) + b"\xff\n", b"5\n"])
def test_lines_from_the_first_damaged_one_on_do_not_count(tmp_path, recordings, damage):
    path = tmp_path / ".journal"
    with EventJournal(path, WORK) as journal:
        journal.add(DetectedEvents(recordings[0], 3.5, EVENTS))
    with path.open("ab") as file:
        file.write(damage)  # by a power cut
    with EventJournal(path, WORK) as journal:
        assert journal.finished(recordings[0]) == DetectedEvents(recordings[0], 3.5, EVENTS)
        journal.add(DetectedEvents(recordings[1], 1.0, ()))
    with EventJournal(path, WORK) as journal:
        assert journal.finished(recordings[1]) == DetectedEvents(recordings[1], 1.0, ())


def test_recording_of_another_name_is_not_finished_as_its_files_have_that_name(tmp_path, recordings):
    renamed = AudioFile(recordings[0].path, "folder/a.wav")
    with EventJournal(tmp_path / ".journal", WORK) as journal:
        journal.add(DetectedEvents(recordings[0], 3.5, EVENTS))
    with EventJournal(tmp_path / ".journal", WORK) as journal:
        assert journal.finished(recordings[0]) is not None
        assert journal.finished(renamed) is None


def test_standard_input_is_never_finished_before(tmp_path):
    detected = DetectedEvents(AudioFile(STANDARD_INPUT, "stdin"), 3.5, EVENTS)
    for _ in range(2):
        with EventJournal(tmp_path / ".journal", WORK) as journal:
            assert journal.finished(detected.recording) is None
            journal.add(detected)


def test_other_work_or_a_changed_recording_starts_over(tmp_path, recordings):
    path = tmp_path / ".journal"
    with EventJournal(path, WORK) as journal:
        journal.add(DetectedEvents(recordings[0], 3.5, EVENTS))
        journal.add(DetectedEvents(recordings[1], 3.5, EVENTS))
    recordings[0].path.write_text("another sound")
    with EventJournal(path, WORK) as journal:
        assert journal.finished(recordings[0]) is None
        assert journal.finished(recordings[1]) is not None
    with EventJournal(path, WORK | {"training_id": "y"}) as journal:
        assert journal.finished(recordings[1]) is None
    assert json.loads(path.read_text()) == WORK | {"training_id": "y"}
