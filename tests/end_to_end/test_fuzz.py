"""Whatever stands in tables and whatever a model says: only the project's own error is raised.

The slow run tries 10 000 examples of each (`bash tests/run.sh --slow`), the ordinary one a few hundred.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pytorch.score import score
from tests.settings_for_tests import LABELS, SETTINGS, rule_named, same_for_all
from utils.dataset.tables import read_durations, read_strong_table, read_unlabelled_table, read_weak_table
from utils.events.post_processing import POST_PROCESSINGS
from utils.events.probabilities import Probabilities
from utils.system.errors import SedError

FRAMES_PER_SECOND = SETTINGS.features.frames_per_second

CELLS = st.one_of(
    st.sampled_from(["", "a.wav", "b.wav", "Dog", "Cat", "Dog,Cat", "0", "1.5", "10", "nan", "-1", "1e400"]),
    st.sampled_from(
        ["../a.wav", "/a.wav", " Dog ", "Dog\x00", "\ufeff", "inf", "٣", "1_0", '"Dog"', "event_label"]
    ),
    st.text(max_size=6),
)
SEPARATORS = st.sampled_from(["\t", "\t", "\t", ",", "\t\t", " "])
LINE_ENDS = st.sampled_from(["\n", "\n", "\r\n", "\r", "\n\n", "\x0b"])
HEADERS = st.sampled_from(
    [
        ["filename", "onset", "offset", "event_label"],
        ["filename", "event_labels"],
        ["filename"],
        ["filename", "duration"],
        ["event_label", "offset", "onset", "filename"],
        ["filename", "filename", "onset", "offset", "event_label"],
        [],
    ]
)


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """Tables that are nearly right, and sometimes anything at all."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    separator, line_end = draw(SEPARATORS), draw(LINE_ENDS)
    rows = [draw(HEADERS), *draw(st.lists(st.lists(CELLS, max_size=5), max_size=6))]
    text = line_end.join(separator.join(row) for row in rows)
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1"]))
    return text.encode(encoding, "replace")


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@given(content=tables())
def test_any_table_is_read_or_refused_with_its_path(folder, content):
    path = folder / "table.csv"
    path.write_bytes(content)
    for read in (
        lambda: read_strong_table(path, LABELS),
        lambda: read_weak_table(path, LABELS),
        lambda: read_unlabelled_table(path),
        lambda: read_durations(path),
    ):
        try:
            result = read()
        except SedError as error:
            assert str(path) in str(error)
            continue
        names = list(result) if isinstance(result, dict) else [clip.name for clip in result]
        assert all(name and "/" not in name and name not in (".", "..") for name in names)
        for clip in [] if isinstance(result, dict) else result:
            assert all(0 <= event.onset < event.offset < np.inf for event in clip.events or ())


@given(reference=tables(), submission=tables(), durations=st.none() | tables())
def test_any_tables_are_scored_or_refused(folder, reference, submission, durations):
    contents = {"reference": reference, "submission": submission, "durations": durations}
    paths = {"scores_dir": None}
    for name, content in contents.items():
        paths[f"{name}_csv"] = None if content is None else folder / f"{name}.csv"
        if content is not None:
            paths[f"{name}_csv"].write_bytes(content)
    try:
        score(argparse.Namespace(**paths))
    except SedError as error:
        assert str(folder) in str(error)


EVENT_ROWS = st.lists(
    st.tuples(
        st.sampled_from(["a.wav", "b.wav"]),
        st.floats(0, 10, width=16),
        st.floats(0.0625, 5, width=16),
        st.sampled_from(LABELS[:3]),
    ),
    max_size=5,
    unique=True,
)


@given(reference=EVENT_ROWS, submission=EVENT_ROWS)
def test_any_right_tables_are_scored(folder, reference, submission):
    assume(reference)
    paths = {"durations_csv": None, "scores_dir": None}
    for name, rows in (("reference", reference), ("submission", submission)):
        lines = [f"{clip}\t{onset}\t{onset + length}\t{label}" for clip, onset, length, label in rows]
        paths[f"{name}_csv"] = folder / f"{name}.csv"
        paths[f"{name}_csv"].write_text("\n".join(["filename\tonset\toffset\tevent_label", *lines]))
    score(argparse.Namespace(**paths))


PROBABILITIES = st.one_of(
    st.floats(0, 1, width=32), st.sampled_from([0.0, 0.5, 0.9, 1.0]), st.floats(width=32)
)


@given(
    framewise=arrays.arrays(
        np.float32, st.tuples(st.integers(1, 40), st.just(len(LABELS))), elements=PROBABILITIES
    ),
    clipwise=arrays.arrays(np.float32, len(LABELS), elements=PROBABILITIES),
    name=st.sampled_from(sorted(POST_PROCESSINGS)),
    stride_frames=st.sampled_from([1, 8, 16]),
    rest=st.integers(0, 15),
)
def test_any_probabilities_become_sound_events(framewise, clipwise, name, stride_frames, rest):
    """Also NaN, infinite and negative ones: an event lies in the clip, and those of a class do not touch."""
    frames = len(framewise) * stride_frames + min(rest, stride_frames - 1)
    post_processing = same_for_all(rule_named(name), frames_per_second=FRAMES_PER_SECOND)
    events = post_processing.events(Probabilities(framewise, clipwise, stride_frames, frames))
    seconds = frames / FRAMES_PER_SECOND
    assert all(0 <= event.onset < event.offset <= seconds for event in events)
    for label in LABELS:
        of_class = sorted((e.onset, e.offset) for e in events if e.label == label)
        assert all(before[1] < after[0] for before, after in zip(of_class, of_class[1:], strict=False))
