"""Annotation files as people have them: what is read out of them, and what is refused with its place."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.events.event_files import write_audacity, write_raven
from utils.events.scored_events import ScoredEvent
from utils.importing.annotations import AnnotationFile, ReadingOptions, parse_time, read_annotations

AUDACITY = "1.500000\t2.250000\tRobin\n\\\t1000.000000\t2000.000000\n30.000000\t41.500000\tGreat tit\n"
RAVEN = (
    "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\tBegin File\t"
    "File Offset (s)\tAnnotation\n"
    "1\tWaveform 1\t1\t61.5\t62.25\t0\t8000\tb.wav\t1.5\tRobin\n"
    "1\tSpectrogram 1\t1\t61.5\t62.25\t100\t8000\tb.wav\t1.5\tRobin\n"
)
TABLE = "file;start;end;label\n{rows}"


def read(tmp_path, content: str | bytes, name: str = "a.txt", **options: object) -> AnnotationFile:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    file = read_annotations(path, ReadingOptions(**options))
    assert isinstance(file, AnnotationFile), file
    return file


def events(file: AnnotationFile) -> list[tuple]:
    assert file.problems == []
    return [(one.recording, one.onset, one.offset, one.label) for one in file.annotations]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("62.5", 62.5),
        ("62,5", 62.5),
        ("1,500000", 1.5),
        (" 62.5 s", 62.5),
        (".5", 0.5),
        ("1e-3", 0.001),
        ("1:02.5", 62.5),
        ("01:02,5", 62.5),
        ("0:01:02", 62.0),
        ("2:00:00.25", 7200.25),
    ],
)
def test_times_are_read_in_all_their_forms(text, seconds):
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "one", "1:75", "1:2:3:4", "1,234.5", "1 234", "nan", "inf", "1_0", "٣"])
def test_no_other_text_is_a_time(text):
    assert parse_time(text) is None


@given(st.integers(0, 100 * 3600 * 1000))
def test_time_on_the_clock_equals_its_seconds(milliseconds):
    minutes, rest = divmod(milliseconds, 60_000)
    clock = f"{minutes // 60}:{minutes % 60:02d}:{rest / 1000:06.3f}"
    assert parse_time(clock) == pytest.approx(milliseconds / 1000, abs=1e-9)
    assert parse_time(clock.replace(".", ",")) == parse_time(clock)


@pytest.mark.parametrize("text", [AUDACITY, AUDACITY.replace(".", ","), AUDACITY.replace("\n", "\r\n")])
def test_audacity_labels_are_read_without_their_frequencies(tmp_path, text):
    assert events(read(tmp_path, text)) == [(None, 1.5, 2.25, "Robin"), (None, 30.0, 41.5, "Great tit")]


def test_raven_rows_count_from_the_start_of_their_own_file(tmp_path):
    file = read(tmp_path, RAVEN)
    assert file.kind == "Raven selection table"
    assert set(events(file)) == {("b.wav", 1.5, 2.25, "Robin")}


def test_raven_table_of_one_recording_and_with_decimal_commas(tmp_path):
    header = "Selection\tBegin Time (s)\tEnd Time (s)\tSpecies\n"
    assert events(read(tmp_path, header + "1\t1,5\t2,25\tRobin\n")) == [(None, 1.5, 2.25, "Robin")]


@pytest.mark.parametrize(
    "text",
    [
        TABLE.format(rows='"a.wav";0:01,5;"2,25";"Robin"\n'),
        'file,start,end,label\na.wav,"1,5","2,25",Robin\n',
        "filename\tonset\toffset\tevent_label\na.wav\t1.5\t2.25\tRobin\n",
        "sep=;\nFile Name;Onset (s);Duration;Event label\na.wav;1.5;0.75;Robin\n",
        "Label,Start_ms,End_ms,Audio file\n Robin , 1500, 2250, a.wav\n",
        "\ufeffpath|begin_time_s|end_time_s|class\r\na.wav|1.5|2.25|Robin\r\n",
    ],
    ids=["semicolons", "commas", "tabs", "Excel", "milliseconds", "bars"],
)
def test_tables_of_all_dialects_read_alike(tmp_path, text):
    assert events(read(tmp_path, text, "table.csv")) == [("a.wav", 1.5, 2.25, "Robin")]


@pytest.mark.parametrize(
    ("encoding", "name"), [("utf-8-sig", "UTF-8"), ("utf-16", "UTF-16"), ("cp1252", "Windows-1252")]
)
def test_encodings_of_spreadsheets_are_read_and_named(tmp_path, encoding, name):
    file = read(tmp_path, TABLE.format(rows="a.wav;1;2;Mönchsgrasmücke\n").encode(encoding), "table.csv")
    assert events(file) == [("a.wav", 1.0, 2.0, "Mönchsgrasmücke")]
    assert file.encoding == name


def test_labels_without_times_are_of_the_whole_recording(tmp_path):
    text = 'filename,labels\na.wav,"Robin, Wren"\nb.wav,\n'
    assert events(read(tmp_path, text, "weak.csv")) == [
        ("a.wav", None, None, "Robin"),
        ("a.wav", None, None, "Wren"),
        ("b.wav", None, None, None),
    ]


def test_headers_labels_and_lengths_can_be_given(tmp_path):
    text = "Datei;Beginn;Ende\na.wav;1;1\n"
    columns = {"filename": "Datei", "onset": "Beginn", "offset": "Ende"}
    file = read(
        tmp_path, text, columns=columns, default_label="bird", point_seconds=0.5, rename={"bird": "Bird"}
    )
    assert events(file) == [("a.wav", 1.0, 1.5, "Bird")]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("a.wav;one;2;Dog", "line 3: onset 'one' is not a time"),
        ("a.wav;-1;2;Dog", "line 3: onset '-1' is not a time"),
        ("a.wav;2;1;Dog", "line 3: the offset 1 s is not after the onset 2 s"),
        ("a.wav;1;1;Dog", "give labels of an instant a length with --point_seconds"),
        ("a.wav;1;2;", "line 3: an event without label"),
        ("a.wav;1;;Dog", "line 3: has only one of onset and offset"),
        (";1;2;Dog", "line 3: the file name is empty"),
        ("a.wav;1;2;Dog;5", "line 3: 5 cells, but the header has 4"),
    ],
)
def test_wrong_rows_are_problems_with_their_place_and_the_others_are_read(tmp_path, row, problem):
    file = read(tmp_path, TABLE.format(rows=f"b.wav;1;2;Cat\n{row}\nc.wav;1;2;Cat\n"), "table.csv")
    assert [one.recording for one in file.annotations] == ["b.wav", "c.wav"]
    (found,) = file.problems
    assert f"{tmp_path / 'table.csv'}, line 3: " in found
    assert problem in found


@pytest.mark.parametrize(
    ("unit", "seconds"),
    [
        ("", 2),
        (" (s)", 2),
        ("_sec", 2),
        (" (sec.)", 2),
        (" [ms]", 0.002),
        (" (min)", 120),
        (" (h)", 7200),
        (" (hh:mm:ss)", 2),
    ],
)
def test_times_are_in_the_unit_of_their_header(tmp_path, unit, seconds):
    file = read(tmp_path, f"file,start{unit},end{unit},label\na.wav,1,2,Dog\n", "a.csv")
    assert [annotation.offset for annotation in file.annotations] == [pytest.approx(seconds)]


def test_times_in_an_unknown_unit_are_a_problem(tmp_path):
    file = read(tmp_path, "file,start (samples),end (samples),label\na.wav,8000,9000,Dog\n", "a.csv")
    assert not file.annotations
    assert "a.csv: the unit of 'start (samples)' is unknown; give seconds, or" in file.problems[0]


def test_unit_of_a_duration_without_onsets_does_not_matter(tmp_path):
    file = read(tmp_path, "file,label,length (samples)\na.wav,Dog,9000\n", "a.csv")
    assert events(file) == [("a.wav", None, None, "Dog")]


@pytest.mark.parametrize("text", ["Recorded in May\n", "date,weather\n1 May,rain\n", b"\x00\x01\x02\xff" * 9])
def test_notes_beside_the_recordings_are_no_annotations(tmp_path, text):
    path = tmp_path / "notes.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert str(path) in read_annotations(path, ReadingOptions())


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200) | st.text('a1.,;:\t\n"\\ |-é', max_size=80).map(str.encode))
def test_no_content_whatever_raises_another_error(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(content)
    for prefix in (b"", b"filename;onset;offset;label\n"):
        path.write_bytes(prefix + content)
        file = read_annotations(path, ReadingOptions())
        if isinstance(file, AnnotationFile):
            for one in file.annotations:
                assert one.onset is None or 0 <= one.onset < one.offset


def test_events_that_predict_has_written_can_be_corrected_and_imported(tmp_path):
    detected = (ScoredEvent(0.5, 1.25, "Robin", 0.93), ScoredEvent(2.0, 3.0, "Great tit", 1.0))
    write_audacity(tmp_path / "a.wav.txt", detected)
    write_raven(tmp_path / "a.wav.selections.txt", detected, low_hz=50, high_hz=14000)
    for path in tmp_path.iterdir():
        file = read_annotations(path, ReadingOptions())
        assert events(file) == [(None, one.onset, one.offset, one.label) for one in detected]
