"""Training on two ranks, as torchrun starts them, on this machine's processors."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import astuple, replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pytorch.data_generator import BatchPart, HeldClips, Standardizer, mixed_batches, training_batches
from pytorch.distributed import Ranks
from pytorch.models import create_model
from tests.commands import PROJECT
from tests.conftest import copy_inputs
from tests.small import CNN, new_workspace
from utils.settings.groups import PUBLISHED_TRAINING

SETTINGS = "adam_epsilon = 0.1\n"  # else Adam's first steps follow the sign of rounding errors
TWO_PROCESSES = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
NO_SCALING = Standardizer(torch.zeros(2), torch.ones(2))


def some_clips(clips: int, first: int = 0) -> HeldClips:
    weak, strong = torch.ones((clips, 3), dtype=torch.bool), torch.ones((clips, 4, 3), dtype=torch.bool)
    return HeldClips(
        [f"{first + n}.wav" for n in range(clips)], torch.ones((clips, 4, 2)), weak, strong, NO_SCALING
    )


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 12), st.integers(1, 7), st.integers(1, 4), st.integers(0, 5))
def test_ranks_share_each_batch_of_one_process(clips, batch_size, ranks, seed):
    held = some_clips(clips)
    options = {"batch_size": batch_size, "seed": seed}
    whole = training_batches(held, **options)
    shares = [training_batches(held, **options, ranks=Ranks(rank, ranks, rank)) for rank in range(ranks)]
    for batch, *parts in islice(zip(whole, *shares, strict=True), 5):
        assert sorted(name for part in parts for name in part.names) == sorted(batch.names)
        assert {part.clips_counted.all * ranks for part in parts} == {len(batch.names)}


def test_ranks_share_each_part_of_a_mixed_batch():
    parts = [BatchPart(some_clips(9), 3, "weak"), BatchPart(some_clips(9, 100), 5, "strong")]
    whole = next(mixed_batches(parts, seed=1))
    shares = [next(mixed_batches(parts, seed=1, ranks=Ranks(rank, 2, rank))) for rank in range(2)]
    for rows in ("weak_rows", "strong_rows"):
        shared = [name for share in shares for name in share.names[getattr(share, rows)]]
        assert sorted(shared) == sorted(whole.names[getattr(whole, rows)])
    assert {astuple(share.clips_counted) for share in shares} == {(1.5, 2.5, 4)}


def joint_training(*arguments: object, **environment: str) -> subprocess.Popen:
    """Start training in two processes, in a process group of their own."""
    return subprocess.Popen(
        [sys.executable, *TWO_PROCESSES, PROJECT / "pytorch/main.py", "train", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd="/",
        env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        start_new_session=True,
    )


def test_two_processes_train_the_model_that_one_trains(small, finished, tmp_path):
    """Over batches of 7, 1, 7 and 1 clip: at the second and last, one process has none.

    The frames' loss of this model has no maximum in it, whose gradient jumps with a rounding error.
    """
    run = replace(
        CNN,
        data_type="train_synthetic",
        loss_type="framewise_binary_crossentropy",
        batch_size=7,
        training=replace(PUBLISHED_TRAINING, adam_epsilon=0.1),
    )
    small = small.with_settings(tmp_path, SETTINGS)
    checkpoints, outputs = [], []
    for name in ("one", "two"):
        workspace = new_workspace(finished, tmp_path / name, "features", "scalars")
        command = [*small.train(workspace.root, run, 4), "--precision", "fp32"]
        if name == "one":
            outputs.append(small.run(*command))
        else:
            process = joint_training(*command[2:], **small.environment)
            outputs.append(process.communicate(timeout=200)[0])
            assert process.returncode == 0, outputs[-1]
        checkpoints.append(torch.load(workspace.run_paths(run).checkpoint(4), weights_only=True)["model"])
    one, two = checkpoints
    assert one.keys() == two.keys()
    torch.manual_seed(run.seed)
    first = create_model(
        run.model_type, 10, "frame_vectors", outputs_in_float32=True, mel_bins=16
    ).state_dict()
    for name in one:
        moved, apart = (torch.linalg.norm((one[name] - x[name]).float()) for x in (first, two))
        assert apart < 1e-2 * moved or apart < 1e-6, name
    losses = [re.findall(r"iteration \d: loss (\S+),", output) for output in outputs]
    assert len(losses[0]) == 2
    assert [float(loss) for loss in losses[1]] == pytest.approx([float(loss) for loss in losses[0]], abs=2e-4)
    assert outputs[1].count(": train mAP ") == 1, "one process evaluates"


def test_both_processes_have_the_same_weights():
    command = [sys.executable, *TWO_PROCESSES, "-m", "tests.rank_program"]
    result = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, timeout=200)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "equal on 2 processes" in result.stdout


def test_death_of_one_process_ends_the_other_with_a_message(trained, tmp_path):
    copy_inputs(trained, tmp_path)
    arguments = trained.run_arguments(workspace=tmp_path, model_type="Cnn_5layers_AvgPooling")
    (tmp_path / "config.py").write_text("log_interval = 1\n")
    process = joint_training(*arguments, "--iterations", 10_000, SED_CONFIG=str(tmp_path / "config.py"))
    for line in process.stdout:
        if line.startswith("iteration 1:"):
            break
    listing = subprocess.run(
        ["pgrep", "-P", str(process.pid), "-f", "main.py"], capture_output=True, text=True
    )
    ranks = [int(pid) for pid in listing.stdout.split()]
    assert len(ranks) == 2
    os.kill(ranks[1], signal.SIGKILL)
    killed_at = time.monotonic()
    output = process.communicate(timeout=60)[0]
    assert process.returncode != 0
    assert time.monotonic() - killed_at < 60
    assert f"Signal 9 (SIGKILL) received by PID {ranks[1]}" in output
    assert not Path(f"/proc/{ranks[0]}").exists(), "the other one goes on"
