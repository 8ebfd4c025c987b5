"""`check` as an audit: all that is wrong with a data set at once, and what to do about it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.commands import assert_user_error, run_command
from tests.settings_for_tests import LABELS
from tests.small import EXTRACT
from utils.dataset.check import print_report
from utils.dataset.summary import class_counts, count_table
from utils.dataset.tables import Clip, Event
from utils.settings.overrides import literal_values
from utils.system.errors import SedError

HEADER = "filename\tonset\toffset\tevent_label\n"
ROWS = "a.wav\t1\t2\tDog\nb.wav\t0\t4\tCat\nb.wav\t1\t1.5\tDog\n"
FILES = ("a.wav", "b.wav")


def make(folder: Path, *, rows: str | bytes = ROWS, files: tuple[str, ...] = FILES) -> Path:
    """A data set with one table of validation clips."""
    table = folder / "metadata/validation/validation.csv"
    table.parent.mkdir(parents=True)
    table.write_bytes(rows if isinstance(rows, bytes) else (HEADER + rows).encode())
    audio = folder / "audio/validation"
    audio.mkdir(parents=True)
    for name in files:
        soundfile.write(audio / name, np.zeros(5 * 8000), 8000)
    return folder


@dataclass(frozen=True)
class Checked:
    """What `check` prints, and the error it ends with, if any."""

    output: str
    error: str


@pytest.fixture
def check(capsys) -> Callable[..., Checked]:
    def run(folder: Path, labels: Sequence[str] = LABELS, clip_seconds: float = 10.0) -> Checked:
        error = ""
        try:
            print_report(folder, labels, clip_seconds)
        except SedError as raised:
            error = str(raised)
        return Checked(capsys.readouterr().out, error)

    return run


def test_events_and_seconds_of_each_class_are_shown(tmp_path, check):
    result = check(make(tmp_path))
    assert not result.error
    words = [line.split() for line in result.output.splitlines()]
    assert ["Dog", "2", "2", "1.5"] in words
    assert ["Cat", "1", "1", "4.0"] in words


def test_classes_without_validation_clips_are_named(tmp_path, check):
    result = check(make(tmp_path, rows="a.wav\t1\t2\tDog\n"), ["Dog", "Wolf"])
    assert "Not in the validation clips: Wolf" in result.output


def test_all_errors_are_listed_at_once(tmp_path):
    """As a user sees them."""
    rows = 'a.wav\t1\t2\tDoge\na.wav\t3\t4\tDoge\nb.wav\tone\t2\tDog\nb.wav\t2\t1\tDog\nb.wav\t1\t2\t"dog"\n'
    result = run_command("utils/metadata.py", "check", "--dataset_dir", make(tmp_path, rows=rows))
    assert_user_error(result, "4 problems, listed above; the first: ")
    table = tmp_path / "metadata/validation/validation.csv"
    for problem in (
        f"{table}, line 2: unknown label 'Doge' (did you mean Dog?); the labels in utils/config.py are",
        f"{table}, line 4: onset 'one' is not a time",
        f"{table}, line 5: the offset 1.0 s is not after",
        f"{table}, line 6: unknown label '\"dog\"' (did you mean Dog?)",
        "(and 1 more row)",
    ):
        assert problem in result.stdout
    assert "validation: 2 clips, 0 events, 2 clips without events" in result.stdout, "the rest is there"


@pytest.mark.parametrize("stated_bytes", [None, 0xFFFFFFFF])  # as it was, and as a stream has it
def test_recording_that_is_shorter_than_its_header_says_is_named(tmp_path, check, stated_bytes):
    folder = make(tmp_path)
    path = folder / "audio/validation/a.wav"
    content = bytearray(path.read_bytes())
    if stated_bytes:
        size = content.index(b"data") + 4
        content[size : size + 4] = stated_bytes.to_bytes(4, "little")
    path.write_bytes(content[: len(content) // 2])
    output = check(folder).output
    assert ("truncated: 1 (a.wav)" in output) == (stated_bytes is None)
    assert "durations: 2.5" in output


@pytest.mark.parametrize(
    ("settings", "source"),
    [("labels = ['Wolf']", "SED_CONFIG={}/task.py"), ("batch_size = 8", "utils/config.py")],
)
def test_labels_are_said_to_be_those_of_the_file_that_holds_them(
    tmp_path, check, monkeypatch, settings, source
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SED_CONFIG", "task.py")
    (tmp_path / "task.py").write_text(f"{settings}\n")
    result = check(make(tmp_path, rows="a.wav\t1\t2\tDog\n"), ["Wolf"])
    assert f"the labels in {source.format(tmp_path)} are Wolf" in result.error


def test_data_set_with_settings_of_its_own_is_not_read_without_them(tmp_path, check, monkeypatch):
    (make(tmp_path) / "settings.py").write_text("labels = ['Dog', 'Cat']\n")
    assert f"export SED_CONFIG={tmp_path / 'settings.py'}" in check(tmp_path).error
    monkeypatch.setenv("SED_CONFIG", str(tmp_path / "settings.py"))
    assert not check(tmp_path).error


def test_settings_of_a_data_set_are_not_run_as_a_program(tmp_path):
    """A data set may come from somebody else."""
    mark = tmp_path / "mark"
    path = make(tmp_path) / "settings.py"
    path.write_text(f"import pathlib\npathlib.Path({str(mark)!r}).touch()\n")
    result = run_command("utils/metadata.py", "check", "--dataset_dir", tmp_path, SED_CONFIG=str(path))
    assert_user_error(result, "line 1: the settings of a data set may hold nothing but name = value")
    assert not mark.exists()


def test_settings_of_a_data_set_are_names_and_values(tmp_path):
    path = tmp_path / "settings.py"
    path.write_text(
        '"""Of birds."""\nlabels = ["Wren"]  # one\nsample_rate = 16_000\nadam_betas = (0.5, -0.0)\n'
    )
    assert literal_values(path) == {"labels": ["Wren"], "sample_rate": 16000, "adam_betas": (0.5, 0.0)}
    for text in ("a = b = 1", "a = open('x')", "a += 1", "a: int = 1", "print(1)", "a = 2 ** 3"):
        path.write_text(text)
        with pytest.raises(SyntaxError, match="line 1: "):
            literal_values(path)


@pytest.mark.parametrize(
    ("listed", "there"),
    [("a.wav", "a.WAV"), ("a.wav", "a.flac"), ('"a.wav"', "a.wav"), ("caf\u00e9.wav", "cafe\u0301.wav")],
)
def test_near_misses_of_file_names_are_shown(tmp_path, check, listed, there):
    result = check(make(tmp_path, rows=f"{listed}\t1\t2\tDog\nb.wav\t1\t2\tDog\n", files=(there, "b.wav")))
    assert f"near misses: 1 ({there!r} is there for {listed!r})" in result.output


@pytest.mark.parametrize(("encoding", "name"), [("utf-16", "UTF-16"), ("cp1252", "Windows-1252")])
def test_other_encodings_are_named_with_what_to_do(tmp_path, check, encoding, name):
    error = check(make(tmp_path, rows=(HEADER + "à.wav\t1\t2\tDog\n").encode(encoding))).error
    assert f"it is not UTF-8, but seems to be {name}" in error
    assert f"iconv -f {name.upper()} -t UTF-8" in error


@pytest.mark.parametrize("text", ['"filename","onset","offset","event_label"\n', "filename;onset;offset\n"])
def test_tables_of_spreadsheets_are_led_to_the_import(tmp_path, check, text):
    error = check(make(tmp_path, rows=text.encode())).error
    assert "no column 'filename'" in error
    assert "import_annotations" in error


def test_nothing_found_is_an_error(tmp_path, check):
    error = check(make(tmp_path, files=())).error
    assert error == f"{tmp_path / 'audio'}: none of the recordings in the tables is there"


def extraction(place: Path, workspace: Path, clip_seconds: float) -> object:
    """Features of the validation clips with other settings."""
    (workspace / "task.py").write_text(f"clip_seconds = {clip_seconds}\n")
    arguments = ["--dataset_dir", place, "--workspace", workspace, "--data_type", "validation"]
    return run_command(*EXTRACT, *arguments, SED_CONFIG=str(workspace / "task.py"))


def test_events_after_the_clips_end_are_counted(tmp_path, check):
    place = make(tmp_path / "set", rows="a.wav\t3\t4\tDog\nb.wav\t0\t4\tCat\nb.wav\t1\t1.1\tDog\n")
    hint = "1 of 3 events begin and 1 end after the first 1.2 s (clip_seconds)"
    result = check(place, clip_seconds=1.2)
    assert hint in result.output
    assert not result.error
    assert f"validation: {hint}" in extraction(place, tmp_path, 1.2).stdout


def test_data_set_whose_events_are_all_after_the_clips_end_is_refused(tmp_path, check):
    """Else a model would be trained on no events without a word."""
    place = make(tmp_path / "set", rows="a.wav\t3\t4\tDog\nb.wav\t1\t1.1\tDog\n")
    hint = "2 of 2 events begin after the first 1 s (clip_seconds)"
    assert hint in check(place, clip_seconds=1.0).error
    assert_user_error(extraction(place, tmp_path, 1.0), hint, "import_annotations")


def test_events_after_the_recordings_end_are_named(tmp_path, check):
    result = check(make(tmp_path, rows="a.wav\t8\t9\tDog\nb.wav\t0\t1\tCat\n"))
    assert "with events after the recording's end: 1 (a.wav)" in result.output


def test_counts_of_all_subsets_stand_in_one_table():
    weak = [Clip("a.wav", frozenset(["Dog", "Cat"])), Clip("b.wav", frozenset(["Dog"]))]
    strong = [Clip("c.wav", frozenset(["Cat"]), (Event(0.0, 1.5, "Cat"), Event(2.0, 3.0, "Cat")))]
    unlabelled = [Clip("d.wav", None)]
    clips = {"train_weak": weak, "train_unlabel_in_domain": unlabelled, "validation": strong}
    counts = {name: class_counts(of_subset, ["Dog", "Cat"]) for name, of_subset in clips.items()}
    heading, titles, dog, cat = (line.split() for line in count_table(counts))
    assert heading == ["train_weak", "validation"]
    assert titles == ["clips", "clips", "events", "seconds"]
    assert dog == ["Dog", "2", "0", "0", "0.0"]
    assert cat == ["Cat", "1", "1", "2", "2.5"]
