"""`predict` into a folder: what is written when, and going on after a stop."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import soundfile

import pytorch.event_finder
from pytorch.predict import predict
from tests.settings_for_tests import LABELS
from tests.small_checkpoint import RATE, small_checkpoint, small_sounds
from utils.dataset.tables import read_strong_table
from utils.system.command_line import INTERRUPTED
from utils.system.errors import SedError

NAMES = ["a.wav", "b.wav", "c.wav", "d.wav", "sub/e.wav"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    return small_checkpoint(tmp_path_factory.mktemp("model") / "model.pth")


@pytest.fixture
def recordings(tmp_path) -> Path:
    for name, sound in zip(NAMES, small_sounds(len(NAMES)), strict=True):
        path = tmp_path / "recordings" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, sound, RATE)
    return tmp_path / "recordings"


def arguments(checkpoint: Path, **changes: object) -> SimpleNamespace:
    return SimpleNamespace(
        **{
            "checkpoint_path": checkpoint,
            "workspace": None,
            "run": "best",
            "audio": [],
            "output_dir": None,
            "format": ("csv",),
            "probabilities": False,
            "page": False,
            "live": None,
            "sample_rate": None,
            "weights": "student",
            "tuned": False,
            "cuda": False,
            "precision": "fp32",
        }
        | changes
    )


class Stoppable:
    """Stands for `detect_in_streams`: notes what is asked of it, and stops as Ctrl-C would."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[str] = []
        self.stop_after: int | None = None
        self._detect = pytorch.event_finder.detect_in_streams
        monkeypatch.setattr(pytorch.event_finder, "detect_in_streams", self)

    def __call__(self, detector, streams):
        self.asked = [stream.path.name for stream in streams]
        done = 0
        for step in self._detect(detector, streams):
            yield step
            done += step is not None
            if done == self.stop_after:
                raise KeyboardInterrupt


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_ctrl_c_loses_no_finished_recording_and_the_same_command_goes_on(
    checkpoint, recordings, tmp_path, monkeypatch, capsys
):
    options = {"audio": [recordings], "format": ("csv", "audacity", "raven")}
    assert predict(arguments(checkpoint, output_dir=tmp_path / "whole", **options)) == 0
    stoppable = Stoppable(monkeypatch)
    stoppable.stop_after = 2
    again = arguments(checkpoint, output_dir=tmp_path / "stopped", **options)
    capsys.readouterr()
    assert predict(again) == INTERRUPTED
    assert "2 of 5 recordings are finished" in capsys.readouterr().out
    assert {"a.wav.txt", "b.wav.selections.txt"} < contents(tmp_path / "stopped").keys()
    table = read_strong_table(tmp_path / "stopped/events.csv", LABELS, names_with_folders=True)
    assert [clip.name for clip in table] == NAMES[:2]
    assert sum(len(clip.events) for clip in table) > 2

    stoppable.stop_after = None
    assert predict(again) == 0
    assert stoppable.asked == ["c.wav", "d.wav", "e.wav"]
    output = capsys.readouterr().out
    assert "2 of 5 recordings were finished before" in output
    assert "has events of an earlier call" not in output
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")
    assert predict(again) == 0
    assert "stopped has events of an earlier call: those of all recordings" in capsys.readouterr().out
    assert len(stoppable.asked) == 5, "what is finished as a whole is done anew"


def test_another_choice_of_files_starts_over(checkpoint, recordings, tmp_path, monkeypatch):
    stoppable = Stoppable(monkeypatch)
    stoppable.stop_after = 4
    options = {"audio": [recordings], "output_dir": tmp_path / "events"}
    assert predict(arguments(checkpoint, **options)) == INTERRUPTED
    stoppable.stop_after = None
    assert predict(arguments(checkpoint, probabilities=True, **options)) == 0
    assert len(stoppable.asked) == 5
    assert len(list((tmp_path / "events").rglob("*.probabilities.csv"))) == 5


def test_a_stop_before_the_first_recording_ends_leaves_nothing_broken(
    checkpoint, recordings, tmp_path, monkeypatch
):
    stoppable = Stoppable(monkeypatch)
    stoppable.stop_after = 0
    options = {"audio": [recordings], "output_dir": tmp_path / "events", "format": ("csv", "json")}
    assert predict(arguments(checkpoint, **options)) == INTERRUPTED
    stoppable.stop_after = None
    assert predict(arguments(checkpoint, **options)) == 0
    assert sorted(contents(tmp_path / "events")) == ["events.csv", "events.json"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "there is nothing to detect events in"),
        ({"audio": [Path("a.wav")], "sample_rate": 8000}, "--sample_rate is for --live only"),
        ({"audio": [Path("a.wav")], "page": True}, "name a folder for them with --output_dir"),
        ({"live": "-"}, "add --sample_rate"),
        ({"live": "-", "sample_rate": 8000, "audio": [Path("a.wav")]}, "--live prints the events of one"),
        ({"live": "microphone", "output_dir": Path("events")}, "--live prints the events of one"),
    ],
)
def test_options_that_do_not_go_together_are_refused(checkpoint, changes, message):
    with pytest.raises(SedError, match=message):
        predict(arguments(checkpoint, **changes))
