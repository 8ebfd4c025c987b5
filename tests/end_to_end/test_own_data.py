"""The page about own classes and recordings, followed to the letter on recordings made here."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tests.commands import PROJECT, assert_user_error, run_command
from tests.end_to_end.test_readme import OWN_DATA, bash_blocks
from utils.dataset.tables import Clip, Event, read_strong_table, write_strong_table

pytestmark = pytest.mark.xdist_group("own_data")  # one process runs all these tests, as they share a run
LABELS = ["Blackbird", "Robin", "Wren"]
PITCHES = {"Blackbird": 800, "Robin": 2000, "Wren": 5000}  # Hz
RATE = 22050  # Hz, of the recordings
CLIP_SECONDS = 5


def song(seconds: float, events: list[Event], generator: np.random.Generator) -> np.ndarray:
    time = np.arange(int(seconds * RATE)) / RATE
    sound = 0.001 * generator.standard_normal(len(time))
    for event in events:
        is_on = (time >= event.onset) & (time < event.offset)
        sound += is_on * 0.3 * np.sin(2 * np.pi * PITCHES[event.label] * time)
    return sound


def make_subset(folder: Path, table: Path, count: int, generator: np.random.Generator) -> None:
    folder.mkdir(parents=True)
    clips = []
    for index in range(count):
        events = [Event(1.0, 1.5 + generator.uniform(0, 2), LABELS[index % 3])] if index else []
        clips.append(Clip(f"bird {index}.flac", events=tuple(events)))
        soundfile.write(folder / clips[-1].name, song(CLIP_SECONDS, events, generator), RATE)
    write_strong_table(table, clips)


@pytest.fixture(scope="module")
def followed(tmp_path_factory) -> Path:
    """The folder in which the page's commands ran; but with two iterations only."""
    folder = tmp_path_factory.mktemp("own_data")
    generator = np.random.default_rng(0)
    birds = folder / "birds"
    make_subset(birds / "audio/train/synthetic", birds / "metadata/train/synthetic.csv", 7, generator)
    make_subset(birds / "audio/validation", birds / "metadata/validation/validation.csv", 4, generator)
    (folder / "new_recordings").mkdir()
    soundfile.write(folder / "new_recordings/morning.ogg", song(23, [], generator), RATE)
    for name in ("utils", "pytorch", "metadata"):
        (folder / name).symlink_to(PROJECT / name)
    commands = "\n".join(bash_blocks(OWN_DATA))
    assert commands.count("python ") == 6
    for here, there in (("source .venv/bin/activate\n", ""), ("ITERATIONS=2000", "ITERATIONS=2")):
        assert commands.count(here) == 1
        commands = commands.replace(here, there)
    commands, runme = commands.split("DATASET_DIR=birds ")
    assert runme.strip() == "WORKSPACE=birds_workspace bash runme.sh"  # test_runme.py runs it
    result = subprocess.run(
        ["bash", "-e", "-c", commands],
        cwd=folder,
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


def test_own_classes_are_trained_and_detected(followed):
    (checkpoint,) = followed.rglob("md_2_iters.pth")
    features = torch.load(checkpoint, weights_only=True)["features"]
    assert list(features["labels"]) == LABELS
    assert (features["sample_rate"], features["clip_seconds"]) == (16000, 5.0)
    (detected,) = read_strong_table(followed / "detected/events.csv", LABELS)
    assert detected.name == "morning.ogg"
    assert (followed / "detected/morning.ogg.txt").is_file()


def test_own_classes_are_detected_without_the_settings_file(followed, tmp_path):
    (checkpoint,) = followed.rglob("md_2_iters.pth")
    place = [followed / "new_recordings", "--output_dir", tmp_path, "--probabilities"]
    result = run_command(
        "pytorch/inference.py", "predict", "--checkpoint_path", checkpoint, *place, SED_CONFIG=""
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "events.csv").read_bytes() == (followed / "detected/events.csv").read_bytes()
    lines = (tmp_path / "morning.ogg.probabilities.csv").read_text().splitlines()
    assert lines[0].split("\t") == ["time", *LABELS]
    assert len(lines) == 1 + 23 * 64


def test_workspace_has_one_scalar(followed, tmp_path):
    """Else a run would be standardized by one when it is trained and by another one later."""
    for kind in ("features", "scalars"):
        (tmp_path / kind).symlink_to(followed / "birds_workspace" / kind)
    command = ("utils/features.py", "calculate_scalar", "--workspace", tmp_path, "--data_type", "train_weak")
    result = run_command(*command, SED_CONFIG=str(followed / "birds.py"))
    assert_user_error(result, "synthetic.h5: the runs of this workspace standardize by", "--workspace")
