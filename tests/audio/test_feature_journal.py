"""What an extraction keeps of an earlier one that was stopped."""

import os

import numpy as np
import pytest

from utils.audio.feature_journal import FeatureJournal
from utils.audio.recordings import Unread

SHAPE = (4, 3)
CLIPS = [np.full(SHAPE, 1.0), Unread("b.wav", "is broken"), np.full(SHAPE, 3.0)]


def new_journal(folder) -> FeatureJournal:
    return FeatureJournal(folder, "stamp", SHAPE)


@pytest.fixture
def stopped(tmp_path):
    """The folder of a journal of three clips, one of which could not be read."""
    journal = new_journal(tmp_path / "journal")
    for clip in CLIPS:
        journal.add(clip)
    journal.close()
    return tmp_path / "journal"


def test_clips_of_an_earlier_process_are_there(stopped):
    journal = new_journal(stopped)
    assert journal.reasons == [None, "is broken", None]
    np.testing.assert_array_equal(list(journal.logmels()), [CLIPS[0], CLIPS[2]])


@pytest.mark.parametrize(
    ("file", "size", "reasons"),
    [
        ("logmel.float32", 2 * 48 - 1, [None, "is broken"]),
        ("logmel.float32", 0, []),
        ("clips.jsonl", len('null\n"is broken"\nnull'), [None, "is broken"]),
        ("clips.jsonl", len('null\n"is bro'), [None]),
    ],
)
def test_clips_that_are_not_whole_are_computed_again(stopped, file, size, reasons):
    os.truncate(stopped / file, size)
    journal = new_journal(stopped)
    assert journal.reasons == reasons
    journal.add(np.full(SHAPE, 7.0))
    np.testing.assert_array_equal(list(journal.logmels())[-1], np.full(SHAPE, 7.0))


def test_what_a_power_cut_left_of_the_list_ends_it(stopped):
    with (stopped / "clips.jsonl").open("r+b") as file:
        file.seek(len("null\n"))
        file.write(bytes(10))
    assert new_journal(stopped).reasons == [None]
