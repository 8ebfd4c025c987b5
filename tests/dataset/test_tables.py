"""The tables: what is read, what is tolerated, and what is refused with file and line."""

import string
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.commands import assert_user_error, run_command, run_well
from tests.conftest import shared_path
from tests.settings_for_tests import SETTINGS
from utils.dataset.subsets import SUBSETS, listed_clips, read_challenge_labels, read_clips
from utils.dataset.tables import (
    Clip,
    Event,
    read_durations,
    read_strong_table,
    read_unlabelled_table,
    read_weak_table,
    write_strong_table,
    write_weak_table,
)
from utils.system.errors import SedError

LABELS = SETTINGS.features.labels
STRONG_HEADER = "filename\tonset\toffset\tevent_label\n"


@pytest.mark.parametrize(
    ("data_type", "clips", "events"),
    [
        ("train_weak", 1578, None),
        ("train_synthetic", 2045, 6032),
        ("train_unlabel_in_domain", 14412, None),
        ("validation", 1168, 4236),
    ],
)
def test_real_tables_give_the_known_counts(data_type, clips, events):
    read = read_clips(shared_path("dcase2019"), data_type, LABELS)
    assert len(read) == len({clip.name for clip in read}) == clips == SUBSETS[data_type].clips
    if events is not None:
        assert sum(len(clip.events) for clip in read) == events == SUBSETS[data_type].events


def test_real_validation_table_has_15_eventless_clips():
    clips = read_clips(shared_path("dcase2019"), "validation", LABELS)
    assert sum(not clip.events for clip in clips) == 15


def test_check_prints_the_counts_of_the_real_tables():
    result = run_command("utils/metadata.py", "check", "--dataset_dir", shared_path("dcase2019"))
    assert_user_error(result, "audio: none of the recordings in the tables is there")
    output = result.stdout
    for line in ("1578 clips", "2045 clips, 6032 events, 0 clips without events", "14412 clips"):
        assert f": {line}\n" in output
    assert "missing: 14412 (" in output
    assert "of the full challenge set: all 1168 clips, 0 of 1168 recordings, all 4236 events" in output


def test_default_labels_are_the_challenges_in_their_order():
    assert list(LABELS) == read_challenge_labels()


names = st.text(string.ascii_letters + string.digits + "-_.", min_size=1, max_size=12).filter(
    lambda name: name not in (".", "..")
)
thousandths = st.integers(0, 10_000)
events = st.builds(
    lambda onset, length, label: Event(onset / 1000, (onset + length) / 1000, label),
    thousandths,
    st.integers(1, 5000),
    st.sampled_from(LABELS),
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(names, st.lists(events, max_size=4, unique=True), max_size=5))
def test_strong_table_round_trip(tmp_path_factory, events_of_clips):
    clips = [
        Clip(name, frozenset(e.label for e in events), tuple(events))
        for name, events in sorted(events_of_clips.items())
    ]
    path = tmp_path_factory.mktemp("tables") / "table.tsv"
    write_strong_table(path, clips)
    assert read_strong_table(path, LABELS) == clips


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(names, st.sets(st.sampled_from(LABELS), min_size=1), max_size=5))
def test_weak_table_round_trip(tmp_path_factory, labels_of_clips):
    clips = [Clip(name, frozenset(labels)) for name, labels in sorted(labels_of_clips.items())]
    path = tmp_path_factory.mktemp("tables") / "table.csv"
    write_weak_table(path, clips)
    assert read_weak_table(path, LABELS) == clips


@settings(max_examples=300, deadline=None)
@given(st.text("a\t\n\r ,.0159-" + "Dogé\ufeff", max_size=80), st.booleans())
def test_any_text_is_read_or_refused_with_the_projects_own_error(tmp_path_factory, text, with_header):
    path = tmp_path_factory.mktemp("tables") / "table.csv"
    path.write_text((STRONG_HEADER if with_header else "") + text, encoding="utf-8", newline="")
    try:
        clips = read_strong_table(path, LABELS)
    except SedError as error:
        assert str(path) in str(error)
    else:
        assert all(0 <= event.onset < event.offset for clip in clips for event in clip.events)


def table(tmp_path, text: str):
    path = tmp_path / "table.csv"
    path.write_bytes(text.encode())
    return path


@pytest.mark.parametrize(
    "text",
    [
        STRONG_HEADER + "a.wav\t0.5\t1.5\tDog\nb.wav\t\t\t\n",
        STRONG_HEADER + "b.wav\na.wav\t0.5\t1.5\tDog",
        "\ufeff" + STRONG_HEADER + "a.wav\t0.5\t1.5\tDog\nb.wav\t\t\t\n",
        (STRONG_HEADER + "a.wav\t0.5\t1.5\tDog\nb.wav\t\t\t\n").replace("\n", "\r\n"),
        STRONG_HEADER + "\n a.wav \t 0.5\t1.5 \tDog  \n\nb.wav\t\t\t\n\n",
        "event_label\tfilename\tcomment\tonset\toffset\nDog\ta.wav\tloud\t0.5\t1.5\n\tb.wav\t\t\t\n",
    ],
    ids=["plain", "short row", "byte order mark", "Windows", "spaces and blank lines", "other columns"],
)
def test_tolerated_variants_of_a_strong_table_read_alike(tmp_path, text):
    expected = [
        Clip("a.wav", frozenset(["Dog"]), (Event(0.5, 1.5, "Dog"),)),
        Clip("b.wav", frozenset(), ()),
    ]
    assert read_strong_table(table(tmp_path, text), LABELS) == expected


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a.wav\t1\t2\tDoge", "line 3: unknown label 'Doge'"),
        ("a.wav\t2\t1\tDog", "line 3: the offset 1.0 s is not after the onset 2.0 s"),
        ("a.wav\t1\t1\tDog", "line 3: the offset"),
        ("a.wav\t-1\t1\tDog", "line 3: onset '-1' is not a time"),
        ("a.wav\tone\t2\tDog", "line 3: onset 'one' is not a time"),
        ("a.wav\t1\tnan\tDog", "line 3: offset 'nan' is not a time"),
        ("a.wav\t1\tinf\tDog", "line 3: offset 'inf' is not a time"),
        ("a.wav\t1\t2\t", "line 3: a label is empty"),
        ("\t1\t2\tDog", "line 3: the filename is empty"),
        ("a.wav\t1\t2\tDog\tmore", "line 3: 5 cells, but the header has 4"),
        ("a.wav\t1_0\t20\tDog", "line 3: onset '1_0' is not a time"),
        ("a.wav\t1\t2\tnan", "line 3: unknown label 'nan'"),
        ("first.wav\t0\t1.0\tCat", "line 3: duplicate row of 'first.wav'"),
        ("first.wav\t\t\t", "line 3: 'first.wav' is listed both with and without events"),
        ("../a.wav\t1\t2\tDog", "line 3: '../a.wav' is not a plain file name"),
        ("/etc/passwd\t1\t2\tDog", "line 3: '/etc/passwd' is not a plain file name"),
        ("..\t1\t2\tDog", "line 3: '..' is not a plain file name"),
    ],
)
def test_wrong_row_is_refused_with_file_and_line(tmp_path, row, message):
    path = table(tmp_path, STRONG_HEADER + "first.wav\t0\t1\tCat\n" + row + "\n")
    with pytest.raises(SedError) as error:
        read_strong_table(path, LABELS)
    assert f"{path}, {message}" in str(error.value)


@pytest.mark.parametrize(
    "text", ["", "filename,onset,offset,event_label\na.wav,0,1,Dog\n", "filename\tonset\tlabel\n"]
)
def test_missing_column_is_refused(tmp_path, text):
    with pytest.raises(SedError, match="line 1: no column '.*'; the header must have"):
        read_strong_table(table(tmp_path, text), LABELS)


def test_text_that_is_not_utf8_is_refused(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(b"filename\n\xff\xfe\x00.wav\n")
    with pytest.raises(SedError, match="cannot be read as a table"):
        read_unlabelled_table(path)


def test_clip_listed_twice_in_a_weak_table_is_refused(tmp_path):
    path = table(tmp_path, "filename\tevent_labels\na.wav\tDog\na.wav\tCat\n")
    with pytest.raises(SedError, match="line 3: 'a.wav' is listed twice"):
        read_weak_table(path, LABELS)


def test_weak_labels_are_split_at_commas(tmp_path):
    path = table(tmp_path, "filename\tevent_labels\na.wav\tDog, Cat\n")
    assert read_weak_table(path, LABELS) == [Clip("a.wav", frozenset(["Dog", "Cat"]))]


def test_two_durations_of_a_clip_are_refused(tmp_path):
    path = table(tmp_path, "filename\tduration\na.wav\t9.5\na.wav\t9.5\na.wav\t8\n")
    with pytest.raises(SedError, match=r"line 4: a\.wav has another duration above"):
        read_durations(path)


def test_durations_are_read(tmp_path):
    assert read_durations(table(tmp_path, "filename\tduration\na.wav\t9.5\n")) == {"a.wav": 9.5}


def test_tsv_tables_are_found(tmp_path):
    (tmp_path / "metadata/train").mkdir(parents=True)
    (tmp_path / "metadata/train/weak.tsv").write_text("filename\tevent_labels\na.wav\tDog\n")
    assert [clip.name for clip in read_clips(tmp_path, "train_weak", LABELS)] == ["a.wav"]


def test_missing_folder_and_table_say_which_path_was_expected(tmp_path):
    with pytest.raises(SedError, match="nowhere: there is no such data set folder"):
        read_clips(tmp_path / "nowhere", "train_weak", LABELS)
    with pytest.raises(SedError, match="metadata/train/weak.csv: there is no such table"):
        read_clips(tmp_path, "train_weak", LABELS)


def test_mini_data_is_always_the_same_few_clips_in_their_order(tiny_dataset):
    settings = replace(SETTINGS, defaults=replace(SETTINGS.defaults, mini_data_clips=3))
    clips = read_clips(tiny_dataset, "train_weak", LABELS)
    few = listed_clips(tiny_dataset, "train_weak", settings, mini_data=True)
    assert few == [clip for clip in clips if clip in few]
    assert len(few) == 3 < len(clips)
    assert few == listed_clips(tiny_dataset, "train_weak", settings, mini_data=True)
    assert listed_clips(tiny_dataset, "train_weak", SETTINGS, mini_data=True) == clips
    assert listed_clips(tiny_dataset, "train_weak", settings, mini_data=False) == clips


def test_check_counts_missing_unlisted_and_unreadable_files(tiny_dataset, tmp_path):
    for name in ("metadata", "audio/train"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "metadata/train").symlink_to(tiny_dataset / "metadata/train")
    (tmp_path / "audio/train/synthetic").symlink_to(tiny_dataset / "audio/train/synthetic")
    weak = tmp_path / "audio/train/weak"
    weak.mkdir()
    recordings = sorted((tiny_dataset / "audio/train/weak").iterdir())
    for recording in recordings[2:]:
        (weak / recording.name).symlink_to(recording)
    (weak / recordings[1].name).write_text("no audio")
    (weak / "unlisted.wav").write_text("")
    output = run_well("utils/metadata.py", "check", "--dataset_dir", tmp_path)
    assert f"missing: 1 ({recordings[0].name})" in output
    assert "unlisted: 1 (unlisted.wav)" in output
    assert f"unreadable: 1 ({recordings[1].name})" in output
    assert "train_synthetic: 10 clips" in output
    absent = "validation: no table metadata/validation/validation.csv, so there are no validation clips"
    assert absent in output.splitlines()


def test_check_of_a_folder_that_is_not_there_is_a_user_error():
    assert_user_error(run_command("utils/metadata.py", "check", "--dataset_dir", "/nowhere"), "/nowhere")


def test_check_with_an_unknown_label_names_table_line_and_label(tmp_path):
    (tmp_path / "metadata/train").mkdir(parents=True)
    (tmp_path / "metadata/train/weak.csv").write_text("filename\tevent_labels\na.wav\tDog,Wolf\n")
    result = run_command("utils/metadata.py", "check", "--dataset_dir", tmp_path)
    assert_user_error(result, "metadata/train/weak.csv, line 2: unknown label 'Wolf'")
