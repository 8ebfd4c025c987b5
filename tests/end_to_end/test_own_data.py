"""The page about own classes and recordings, followed to the letter on recordings made here."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tests.commands import PROJECT, assert_user_error, python_that_forks, run_command
from tests.end_to_end.test_readme import OWN_DATA, bash_blocks
from utils.dataset.tables import Event, read_strong_table

pytestmark = pytest.mark.xdist_group("own_data")  # one process runs all these tests, as they share a run
PITCHES = {"Blackbird": 800, "Robin": 2000, "Wren": 5000}  # Hz
LABELS = list(PITCHES)
RATE = 22050  # Hz, of the recordings


def song(seconds: float, events: list[Event], generator: np.random.Generator) -> np.ndarray:
    time = np.arange(int(seconds * RATE)) / RATE
    sound = 0.001 * generator.standard_normal(len(time))
    for event in events:
        is_on = (time >= event.onset) & (time < event.offset)
        sound += is_on * 0.3 * np.sin(2 * np.pi * PITCHES[event.label] * time)
    return sound


def make_field_recordings(folder: Path, generator: np.random.Generator) -> None:
    """Recordings with Audacity labels, as written where commas are decimal points; the first has 33 s."""
    for index in range(6):
        seconds = 33 if index == 0 else 5
        events = [
            Event(start + 0.5, start + 1.5 + generator.uniform(0, 2), LABELS[(index + start // 5) % 3])
            for start in range(0, seconds - 4, 5)
        ]
        place = folder / f"day {index % 2}"
        place.mkdir(parents=True, exist_ok=True)
        soundfile.write(place / f"bird {index}.flac", song(seconds, events, generator), RATE)
        lines = [f"{event.onset:.6f}\t{event.offset:.6f}\t{event.label}\n" for event in events]
        (place / f"bird {index}.txt").write_text("".join(lines).replace(".", ","))


@pytest.fixture(scope="module")
def followed(tmp_path_factory) -> Path:
    """The folder in which the page's commands ran; but with two iterations only."""
    folder = tmp_path_factory.mktemp("own_data")
    generator = np.random.default_rng(0)
    make_field_recordings(folder / "field_recordings", generator)
    (folder / "new_recordings").mkdir()
    soundfile.write(folder / "new_recordings/morning.ogg", song(23, [], generator), RATE)
    for name in ("utils", "pytorch", "metadata", "runme.sh"):
        (folder / name).symlink_to(PROJECT / name)
    commands = "\n".join(bash_blocks(OWN_DATA))
    assert commands.count("python ") == 7
    assert commands.count("DATASET_DIR=birds bash runme.sh") == 1
    for here, there in (
        ("source .venv/bin/activate\n", ""),
        ("--batch_size 16 --iterations 1000", "--batch_size 2 --iterations 1"),
    ):
        assert commands.count(here) == 1
        commands = commands.replace(here, there)
    with python_that_forks(tmp_path_factory.mktemp("bin")) as python_folder:
        result = subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", commands],
            cwd=folder,
            env=os.environ
            | {
                "PATH": f"{python_folder}:{os.environ['PATH']}",
                "PYTHON": str(python_folder / "python"),
                "ITERATIONS": "2",
                "RECIPE_BATCH_SIZE": "4",
                "VISUALIZE": "1",
                "OMP_NUM_THREADS": "1",
            },
            capture_output=True,
            text=True,
            timeout=300,
        )
    assert result.returncode == 0, result.stdout + result.stderr
    (folder / "output.txt").write_text(result.stdout)
    return folder


def checkpoint_of(followed: Path) -> Path:
    (checkpoint,) = followed.rglob("md_2_iters.pth")
    return checkpoint


def test_own_classes_are_trained_and_detected(followed):
    features = torch.load(checkpoint_of(followed), weights_only=True)["features"]
    assert list(features["labels"]) == LABELS
    assert (features["sample_rate"], features["clip_seconds"]) == (24000, 5.0)
    (detected,) = read_strong_table(followed / "detected/events.csv", LABELS)
    assert detected.name == "morning.ogg"
    assert (followed / "detected/morning.ogg.txt").is_file()


def test_the_long_recording_is_cut_and_all_events_are_there(followed):
    tables = (followed / "birds/metadata").rglob("*.csv")
    clips = [clip for table in tables for clip in read_strong_table(table, LABELS)]
    assert sum(len(clip.events) for clip in clips) == 6 + 5
    assert max(event.offset for clip in clips for event in clip.events) <= 5
    assert len([clip for clip in clips if clip.name.startswith("day 0__bird 0_000")]) == 7


def test_one_training_is_run_and_the_last_line_leads_on(followed):
    output = (followed / "output.txt").read_text().split("=== best model")[0]
    assert output.count("=== train: ") == 1
    assert "=== train: train_synthetic, recipe" in output
    assert "Settings of the data set: birds/settings.py" in output
    page = (followed / "workspace/birds/report.html").read_text()
    assert "<title>Results: birds</title>" in page
    assert "Synthetic audio, recipe" in page


def test_own_classes_are_detected_without_the_settings_file(followed, tmp_path):
    place = [followed / "new_recordings", "--output_dir", tmp_path, "--probabilities"]
    command = ["pytorch/inference.py", "predict", "--checkpoint_path", checkpoint_of(followed), *place]
    result = run_command(*command, SED_CONFIG="")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "events.csv").read_bytes() == (followed / "detected/events.csv").read_bytes()
    lines = (tmp_path / "morning.ogg.probabilities.csv").read_text().splitlines()
    assert lines[0].split("\t") == ["time", *LABELS]
    assert len(lines) == 1 + 23 * 64


def test_stages_without_the_settings_say_where_they_are(followed):
    """Else features would be made of other classes, at another rate."""
    command = ("utils/metadata.py", "check", "--dataset_dir", followed / "birds")
    assert_user_error(run_command(*command), f"export SED_CONFIG={followed / 'birds/settings.py'}")


def test_workspace_has_one_scalar(followed, tmp_path):
    """Else a run would be standardized by one when it is trained and by another one later."""
    for kind in ("features", "scalars"):
        (tmp_path / kind).symlink_to(followed / "workspace/birds" / kind)
    command = ("utils/features.py", "calculate_scalar", "--workspace", tmp_path, "--data_type", "train_weak")
    result = run_command(*command, SED_CONFIG=str(followed / "birds/settings.py"))
    assert_user_error(result, "synthetic.h5: the runs of this workspace standardize by", "--workspace")
