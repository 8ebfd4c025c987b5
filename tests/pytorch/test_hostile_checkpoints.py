"""Checkpoints of strangers and damaged ones: a detector or one clear error comes of whatever they hold."""

import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pytorch.checkpoint import (
    detector_state,
    read_checkpoint,
    restore_training,
    training_state,
    valid_content,
    write_checkpoint,
)
from pytorch.compute import Compute
from pytorch.data_generator import ALL_ROWS, NO_ROWS, Batch, ClipCounts, Standardizer
from pytorch.detector import StoredDetector, load_detector
from pytorch.distributed import Ranks
from pytorch.meter import Meter
from pytorch.training import Training, new_training, training_step
from tests.settings_for_tests import SETTINGS
from utils.system.errors import SedError
from utils.workspace.run import Run

CPU, ALONE = Compute(torch.device("cpu"), torch.float32), Ranks(0, 1, 0)
RUN = Run("train_weak", "1", "Cnn_5layers_AvgPooling", "clipwise_binary_crossentropy", 2, 1)
FEATURES = replace(SETTINGS.features, clip_seconds=0.25, mel_bins=16)
STANDARDIZE = Standardizer(torch.zeros(16).double(), torch.ones(16).double())
FIRST_WEIGHT = "blocks.0.0.weight"


def new_state() -> tuple[Training, Meter]:
    training = new_training(RUN, FEATURES, iterations=4, standardize=STANDARDIZE, compute=CPU, ranks=ALONE)
    return training, Meter(4, 1, ALONE, CPU.device)


def learn(training: Training, meter: Meter) -> None:
    logmel = torch.linspace(-1, 1, 2 * FEATURES.clip_frames * 16).reshape(2, FEATURES.clip_frames, 16)
    target = torch.ones(2, FEATURES.classes_num)
    batch = Batch(["a.wav", "b.wav"], logmel, target, None, ALL_ROWS, ALL_ROWS, NO_ROWS, ClipCounts(2, 2, 2))
    meter.add(*training_step(training, batch), batch.names)


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    """The content of a right checkpoint; tests must not change it."""
    training, meter = new_state()
    learn(training, meter)
    own = detector_state(RUN, STANDARDIZE, FEATURES, SETTINGS.events)
    return {"iteration": 1, "training_id": "now"} | own | training_state(training, meter, ALONE)


def with_value(content: Any, keys: tuple, value: Any) -> Any:
    """A copy of nested containers with one value changed, or taken out where it is `GONE`."""
    key, *others = keys
    changed = list(content) if isinstance(content, list) else dict(content)
    if others:
        changed[key] = with_value(content[key], tuple(others), value)
    elif value is GONE:
        del changed[key]
    else:
        changed[key] = value
    return changed


GONE = object()
HUGE = 10**400
NAN, INF = float("nan"), float("inf")
META = torch.empty(16, dtype=torch.float64, device="meta")
SPARSE = torch.ones(16, dtype=torch.float64).to_sparse()
STRANGE = {
    ("features", "log_floor"): [NAN, INF, 0.0, -1.0, None, "x", True],
    ("features", "clip_seconds"): [0.1, 1e5, HUGE, NAN, INF, 0.0, torch.ones(())],
    ("features", "sample_rate"): [HUGE, 0, 10**9, 32000.5, NAN],
    ("features", "window_size"): [HUGE, 10**9, 0],
    ("features", "hop_size"): [HUGE, 0, -5],
    ("features", "mel_bins"): [HUGE, 10**8, 0, 17],
    ("features", "labels"): [["\ud800"], [], "Dog", ["Dog"], [1, 2], ["a\tb"], None],
    ("features", "resampling_margin"): [HUGE, NAN, 1e9],
    ("features", "mel_max_frequency"): [HUGE, NAN, 0],
    ("features",): [GONE, None, [], {}, torch.ones(3)],
    ("events", "join_gap"): [NAN, INF, -1.0, HUGE, 1e308],
    ("events", "median_filter_outputs"): [HUGE, 0],
    ("events", "window_overlap"): [1.0, NAN],
    ("events", "low_threshold"): [1.0, NAN, "x"],
    ("events",): [GONE, None, {}],
    ("scalar", "std"): [
        torch.zeros(16).double(),
        -STANDARDIZE.std,
        STANDARDIZE.std * NAN,
        META,
        SPARSE,
        None,
    ],
    ("scalar", "mean"): [
        STANDARDIZE.mean + INF,
        torch.zeros(17).double(),
        torch.zeros(16).half(),
        META,
        GONE,
    ],
    ("scalar",): [GONE, [], {}],
    ("model", FIRST_WEIGHT): [GONE, None, META, SPARSE, torch.ones(3), "x"],
    ("model",): [GONE, None, {}, [], torch.ones(3)],
    ("model_type",): [GONE, "Cnn_99", "Crnn", [], None],
    ("loss_type",): [GONE, "loss", 3],
    ("outputs_in_float32",): [GONE, None, 2],
    ("iteration",): [GONE, "x", NAN],
    ("training_id",): [GONE, None, b"x"],
}


def load(content: Any, monkeypatch: pytest.MonkeyPatch) -> StoredDetector:
    monkeypatch.setattr("pytorch.detector.read_checkpoint", lambda path, device: content)
    return load_detector(Path("md_1_iters.pth"), "student", CPU, batch_size=2, event_values={})


@pytest.mark.parametrize("keys", STRANGE, ids="/".join)
def test_strange_value_in_a_checkpoint_is_refused_by_name(content, monkeypatch, keys):
    assert load(content, monkeypatch).iteration == 1
    for value in STRANGE[keys]:
        with pytest.raises(SedError, match=r"md_1_iters\.pth: "):
            load(with_value(content, keys, value), monkeypatch)


@pytest.mark.parametrize("damage", [NAN, INF, -INF])
def test_weights_that_are_no_numbers_are_refused(content, monkeypatch, damage):
    weights = content["model"][FIRST_WEIGHT].clone()
    weights[0, 0, 0, 0] = damage
    with pytest.raises(SedError, match=f"{FIRST_WEIGHT} holds numbers that are NaN or infinite"):
        load(with_value(content, ("model", FIRST_WEIGHT), weights), monkeypatch)


def test_probabilities_that_are_no_numbers_are_no_silent_lack_of_events(content, monkeypatch):
    """Finite weights that overflow, as of a training that went wrong."""
    weights = torch.full_like(content["model"][FIRST_WEIGHT], 3e38)
    detector = load(with_value(content, ("model", FIRST_WEIGHT), weights), monkeypatch)
    logmel = np.random.default_rng(0).normal(size=(1, FEATURES.clip_frames, 16)).astype(np.float32)
    with pytest.raises(SedError, match="probabilities are NaN"):
        detector.probabilities(logmel)


def zip_bomb(path: Path, content: dict[str, Any]) -> None:
    """A checkpoint whose members are compressed, among them 200 MB of zeros."""
    original = io.BytesIO()
    torch.save({"model": {"weight": torch.zeros(50_000_000)}}, original)
    with zipfile.ZipFile(original) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        for name in source.namelist():
            bomb.writestr(name, source.read(name))


def test_zip_bomb_is_refused_before_its_content_is_loaded(tmp_path, content, monkeypatch):
    zip_bomb(tmp_path / "bomb.pth", content)
    assert (tmp_path / "bomb.pth").stat().st_size < 1_000_000
    monkeypatch.setattr(torch, "load", lambda *arguments, **options: pytest.fail("it was loaded"))
    with pytest.raises(SedError, match=r"bomb\.pth: is not a valid checkpoint"):
        read_checkpoint(tmp_path / "bomb.pth", CPU.device)


def test_file_in_the_older_format_of_torch_is_read(tmp_path, content):
    """Published weights are often in it; it knows no compression."""
    torch.save({"training_id": "then"}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert read_checkpoint(tmp_path / "old.pth", CPU.device)["training_id"] == "then"
    write_checkpoint(tmp_path / "new.pth", content)
    assert read_checkpoint(tmp_path / "new.pth", CPU.device)["training_id"] == "now"


def places(content: Any, keys: tuple = ()) -> Iterator[tuple]:
    """All places in nested containers, but of the parameters only the first."""
    items = content.items() if isinstance(content, dict) else enumerate(content)
    for index, (key, value) in enumerate(items):
        if index and (keys in (("model",), ("optimizer", "state")) or keys[-1:] == ("params",)):
            break
        yield (*keys, key)
        if isinstance(value, dict | list):
            yield from places(value, (*keys, key))


@pytest.mark.filterwarnings("ignore:Using a non-tuple sequence")
@pytest.mark.parametrize(
    "value",
    [GONE, *(pytest.param(value, marks=pytest.mark.slow) for value in (META, None, "x"))],
    ids=["gone", "meta tensor", "None", "text"],
)
def test_training_resumes_from_a_whole_checkpoint_or_says_in_one_line_that_it_is_not(content, value):
    names = ("model", "optimizer", "scheduler", "meter", "device_type", "random_states")
    state = {name: content[name] for name in names}
    refused = 0
    training, meter = new_state()
    for keys in places(state):
        try:
            with valid_content(Path("md_1_iters.pth")):
                restore_training(with_value(state, keys, value), training, meter, ALONE)
        except SedError as error:
            assert "md_1_iters.pth: not a complete checkpoint of this training" in str(error)
            refused += 1
            continue
        restored = training_state(training, meter, ALONE)
        assert restored["optimizer"]["param_groups"] == state["optimizer"]["param_groups"]
        assert restored["scheduler"] == state["scheduler"]
    assert refused > 10
