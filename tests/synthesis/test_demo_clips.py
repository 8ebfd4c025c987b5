"""The demonstration data set with other lengths than its own."""

import pytest

from tests.commands import run_command
from utils.dataset.subsets import read_clips
from utils.synthesis.demo_clips import make_demo_dataset
from utils.synthesis.demo_sounds import SOUNDS


@pytest.mark.parametrize("clip_seconds", [0.1, 1.0, 3.0])
def test_clips_shorter_than_the_sounds_have_shorter_events(tmp_path, clip_seconds):
    make_demo_dataset(tmp_path, clips={"train_synthetic": 12}, clip_seconds=clip_seconds, seed=1)
    events = [
        event for clip in read_clips(tmp_path, "train_synthetic", list(SOUNDS)) for event in clip.events
    ]
    assert events
    assert all(0 <= event.onset < event.offset <= clip_seconds for event in events)


@pytest.mark.parametrize(
    ("option", "value"), [("--seed", -1), ("--clip_seconds", -1), ("--clip_seconds", "nan")]
)
def test_values_that_cannot_be_are_refused(tmp_path, option, value):
    result = run_command(
        "utils/demo_dataset.py", "make", "--output_dir", tmp_path / "set", f"{option}={value}"
    )
    assert result.returncode == 2
    assert f"argument {option}: '{value}' is not a" in result.stderr
    assert not (tmp_path / "set").exists()
