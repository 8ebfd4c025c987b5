"""What is written to a table is what is read from it, whatever the recordings are called."""

import os
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.settings_for_tests import LABELS
from utils.audio.recordings import find_recordings, with_table_names
from utils.dataset.tables import (
    Clip,
    Event,
    cell_problem,
    read_rows,
    read_strong_table,
    read_weak_table,
    strong_clip,
    write_strong_table,
    write_table,
    write_weak_table,
)
from utils.system.errors import SedError
from utils.workspace.paths import result_of_recording

# Names as the system allows them: any bytes but 0 and "/", up to 255 of them.
FILE_NAMES = st.one_of(
    st.binary(min_size=1, max_size=20).map(os.fsdecode),
    st.text(st.sampled_from("\"'`,;\\ \t\n\r.aé\x0b\x1c\x85\u2028\ufeff#|%"), min_size=1, max_size=8),
    st.text(min_size=1, max_size=60),
).filter(lambda name: name not in (".", "..") and not set(name) & {"/", "\0"} and fits_the_system(name))


def fits_the_system(name: str) -> bool:
    try:
        return len(os.fsencode(name)) <= 255
    except UnicodeEncodeError:  # half of a surrogate pair that stands for no byte
        return False


def of_system(name: str) -> str:
    """The name as the system gives it back."""
    return os.fsdecode(os.fsencode(name))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("names")


@given(name=FILE_NAMES)
def test_any_file_name_comes_back_from_a_table_or_is_listed_with_its_reason(folder, name):
    name = of_system(f"{name}.wav")
    (folder / name).touch()
    recordings, unreadable = with_table_names(*find_recordings([folder / name]))
    (folder / name).unlink()
    assert len(recordings) + len(unreadable) == 1
    if unreadable:
        assert "its name cannot stand in a table" in unreadable[0].reason
        assert any(character in name for character in "\n\r\t") or name != name.strip() or not is_utf8(name)
        return
    assert recordings[0].name == name
    clips = [strong_clip(name, [Event(0.5, 1.5, LABELS[0])])]
    write_strong_table(folder / "table.csv", clips)
    assert read_strong_table(folder / "table.csv", LABELS, names_with_folders=True) == clips
    (folder / "table.csv").unlink()


def is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


@given(cells=st.lists(st.text(max_size=10), min_size=2, max_size=4))
def test_any_cells_that_a_table_can_hold_come_back(folder, cells):
    assume(any(cells) and not any(map(cell_problem, cells)))
    columns = [f"column {index}" for index in range(len(cells))]
    write_table(folder / "cells.csv", columns, [cells])
    (row,) = read_rows(folder / "cells.csv", columns)
    assert list(row.cells.values()) == cells


def test_weak_labels_of_a_clip_with_quotation_marks_come_back(tmp_path):
    clips = [Clip('the "best" clip.wav', frozenset(LABELS[:2]))]
    write_weak_table(tmp_path / "weak.csv", clips)
    assert read_weak_table(tmp_path / "weak.csv", LABELS) == clips


@pytest.mark.parametrize("seconds", ["86401", "9e9", "1e300"])
def test_times_of_more_than_a_day_are_refused(tmp_path, seconds):
    path = tmp_path / "events.csv"
    path.write_text(f"filename\tonset\toffset\tevent_label\na.wav\t1\t{seconds}\t{LABELS[0]}\n")
    with pytest.raises(SedError, match=r"events\.csv, line 2: offset .* is more than a day"):
        read_strong_table(path, LABELS)


@given(name=FILE_NAMES.filter(is_utf8), other=FILE_NAMES.filter(is_utf8))
def test_files_beside_long_names_fit_the_system_and_differ(folder, name, other):
    assume(name != other)
    paths = [result_of_recording(folder, one.ljust(254, "x"), ".probabilities.csv") for one in (name, other)]
    assert paths[0] != paths[1] or name.ljust(254, "x") == other.ljust(254, "x")
    assert all(fits_the_system(path.name) and path.name.endswith(".probabilities.csv") for path in paths)
    assert result_of_recording(folder, "a/b.wav", ".txt") == folder / "a/b.wav.txt"
