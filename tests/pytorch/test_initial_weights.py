"""Trainings that start from another model, or from a published PANN."""

import copy
import hashlib
import json
import os
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from pytorch.checkpoint import detector_state, write_checkpoint
from pytorch.data_generator import Standardizer
from pytorch.initial_weights import OUTPUT_LAYERS, read_initial_weights
from pytorch.models import DESIGNS, CnnDesign, create_model
from tests.commands import PROJECT, assert_user_error, run_command
from tests.settings_for_tests import SETTINGS
from tests.small import CNN, ITERATIONS, new_workspace
from utils.audio.logmel import mel_filters
from utils.results.runs import RunResults
from utils.settings.groups import FeatureSettings
from utils.settings.overrides import public_values
from utils.system.errors import SedError
from utils.workspace.run import Run

FEATURES = SETTINGS.features
PANN_FEATURES = replace(FEATURES, hop_size=320)
CNN13 = "Cnn_13layers_AvgPooling"
TINY_CHANNELS = (2, 3, 4, 5, 6, 7)


def new_model(model_type: str, classes_num: int) -> torch.nn.Module:
    return create_model(
        model_type, classes_num, "frame_outputs", outputs_in_float32=True, mel_bins=FEATURES.mel_bins
    )


def made_checkpoint(path: Path, model_type: str, features: FeatureSettings) -> dict[str, Tensor]:
    """A checkpoint with random weights; returns them."""
    torch.manual_seed(3)
    state = new_model(model_type, features.classes_num).state_dict()
    run = Run("train_weak", "1", model_type, "clipwise_binary_crossentropy", 4, 1)
    scalar = Standardizer(torch.zeros(features.mel_bins).double(), torch.ones(features.mel_bins).double())
    content = {"iteration": 5, "training_id": "training_id", "model": state}
    write_checkpoint(path, content | detector_state(run, scalar, features, SETTINGS.events))
    return state


@pytest.mark.parametrize("model_type", DESIGNS)
def test_output_layers_are_those_with_a_row_for_each_class(model_type, monkeypatch):
    design = DESIGNS[model_type]
    if isinstance(design, CnnDesign):
        small = replace(design, channels=TINY_CHANNELS[: len(design.channels)])
        monkeypatch.setitem(DESIGNS, model_type, small)
    three, seven = (new_model(model_type, classes).state_dict() for classes in (3, 7))
    differing = {name for name, value in three.items() if value.shape != seven[name].shape}
    assert differing == {name for name in three if name.split(".")[0] in OUTPUT_LAYERS}
    assert all((three[name].shape[0], seven[name].shape[0]) == (3, 7) for name in differing)


@pytest.mark.parametrize("model_type", ["Cnn_5layers_AvgPooling", "Crnn", "Crnn_8layers_AttentionPooling"])
def test_all_but_the_rows_of_new_classes_comes_from_the_other_model(model_type, tmp_path):
    path = tmp_path / "other.pth"
    other = made_checkpoint(path, model_type, replace(FEATURES, labels=("Dog", "Cat", "Owl"), clip_seconds=4))
    labels = ("Horse", "Owl", "Dog", "Cow")
    torch.manual_seed(4)
    model = new_model(model_type, 4)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    initial = read_initial_weights(path, model_type, replace(FEATURES, labels=labels))
    teacher = copy.deepcopy(model)
    initial.put_into([model, teacher], labels)
    after = model.state_dict()
    assert initial.scalar is None
    for name, value in after.items():
        if name.split(".")[0] in OUTPUT_LAYERS:
            assert torch.equal(value[[1, 2]], other[name][[2, 0]])  # Owl and Dog
            assert torch.equal(value[[0, 3]], before[name][[0, 3]])  # Horse and Cow
        else:
            assert torch.equal(value, other[name]), name
        assert torch.equal(value, teacher.state_dict()[name]), name


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hop_size": 320}, "was trained with hop_size = 500, and now it is 320"),
        ({"mel_bins": 32}, "was trained with mel_bins = 64, and now it is 32"),
        ({"mel_min_frequency": 0.0}, "was trained with mel_min_frequency = 50, and now it is 0"),
    ],
)
def test_features_must_be_those_of_the_other_model(tmp_path, changes, message):
    made_checkpoint(tmp_path / "other.pth", "Crnn", FEATURES)
    with pytest.raises(SedError, match=message):
        read_initial_weights(tmp_path / "other.pth", "Crnn", replace(FEATURES, **changes))


def test_model_must_be_that_of_the_checkpoint(tmp_path):
    made_checkpoint(tmp_path / "other.pth", "Crnn", FEATURES)
    with pytest.raises(SedError, match="is a Crnn; train with --model_type Crnn"):
        read_initial_weights(tmp_path / "other.pth", "Cnn_5layers_AvgPooling", FEATURES)


def test_run_starts_from_the_checkpoint_and_is_another_run(small, finished, tmp_path):
    initial = finished.workspace.run_paths(CNN).checkpoint(ITERATIONS)
    workspace = new_workspace(finished, tmp_path / "workspace", "features", "scalars")
    digest = hashlib.sha256(initial.read_bytes()).hexdigest()[:12]
    small = small.with_settings(tmp_path, "learning_rate = 1e-30\n")  # weights stay where they start
    training = replace(CNN.training, learning_rate=1e-30)
    paths = workspace.run_paths(replace(CNN, training=training, initial_checkpoint=digest))
    option = ("--initial_checkpoint", initial)
    output = small.run(*small.train(workspace.root, CNN, 1), *option)
    assert f"Weights start from {initial}" in output
    assert f"initial={digest}" in paths.folder.parts
    assert json.loads(paths.settings.read_text())["run"]["initial_checkpoint"] == digest
    before, after = (torch.load(path, weights_only=True)["model"] for path in (initial, paths.checkpoint(1)))
    for name, value in before.items():
        if "running" not in name and "num_batches" not in name:
            assert torch.equal(value, after[name]), name
    assert not workspace.run_paths(replace(CNN, training=training)).statistics.exists()

    small.run(*small.train(workspace.root, CNN, 2), *option, "--resume")
    assert paths.checkpoint(2).is_file()
    assert f"from {digest}" in RunResults.read(paths).title


def test_wrong_initial_checkpoint_is_a_user_error(small, finished, tmp_path):
    path = tmp_path / "initial.pth"
    command = [*small.train(finished.workspace.root, CNN, 1), "--initial_checkpoint", path]
    assert_user_error(run_command(*command, **small.environment), path, "cannot be read")
    path.write_bytes(b"no checkpoint")
    with pytest.raises(SedError, match="is not a valid checkpoint"):
        read_initial_weights(path, CNN13, PANN_FEATURES)


# --- PANNs: checkpoints made in their layout, as the published ones cannot be had here ----------------


def made_pann(
    convolutions: int = 2,
    blocks: int = 6,
    kernel_size: int = 3,
    all_channels: tuple[int, ...] = TINY_CHANNELS,
) -> dict[str, Tensor]:
    """The state of a PANN, by the names that its authors gave."""
    generator = torch.Generator().manual_seed(1)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    def norm(name: str, channels: int) -> dict[str, Tensor]:
        return {
            f"{name}.weight": random(channels).abs() + 0.5,
            f"{name}.bias": random(channels),
            f"{name}.running_mean": random(channels),
            f"{name}.running_var": random(channels).abs() + 0.5,
            f"{name}.num_batches_tracked": torch.tensor(1000),
        }

    state = {
        "spectrogram_extractor.stft.conv_real.weight": random(513, 1, 1024),
        "logmel_extractor.melW": torch.from_numpy(mel_filters(PANN_FEATURES).toarray().T).float(),
    }
    state |= norm("bn0", 64)
    state["bn0.running_mean"] -= 40  # dB
    state["bn0.running_var"] *= 200
    before = 1
    for block, channels in enumerate(all_channels[:blocks], start=1):
        for number in range(1, convolutions + 1):
            fan_in = before * kernel_size**2
            weight = random(channels, before, kernel_size, kernel_size) / fan_in**0.5
            state[f"conv_block{block}.conv{number}.weight"] = weight
            state |= norm(f"conv_block{block}.bn{number}", channels)
            before = channels
    state |= {"fc1.weight": random(9, 9), "fc1.bias": random(9)}
    return state | {"fc_audioset.weight": random(527, 9), "fc_audioset.bias": random(527)}


def write_pann(path: Path, state: dict[str, Tensor], *, old_format: bool = False) -> None:
    sampler = {"indexes": np.arange(5), "pointer": 3, "indexes_per_class": [np.arange(2, dtype=np.int32)]}
    content = {"iteration": 600000, "model": state, "sampler": sampler}
    torch.save(content, path, _use_new_zipfile_serialization=not old_format)


def plain_pann(state: dict[str, Tensor], logmel: Tensor, convolutions: int, blocks: int) -> Tensor:
    """What the convolutions of a PANN make of a log-mel (batch, frames, 64) in dB, written out."""

    def norm(x: Tensor, name: str) -> Tensor:
        values = [state[f"{name}.{value}"] for value in ("running_mean", "running_var", "weight", "bias")]
        mean, variance, weight, bias = (value[:, None, None] for value in values)
        return (x - mean) / torch.sqrt(variance + 1e-5) * weight + bias

    x = norm(logmel[:, None].transpose(1, 3), "bn0").transpose(1, 3)
    for block in range(1, blocks + 1):
        for number in range(1, convolutions + 1):
            weight = state[f"conv_block{block}.conv{number}.weight"]
            x = F.conv2d(x, weight, padding=weight.shape[-1] // 2)
            x = torch.relu(norm(x, f"conv_block{block}.bn{number}"))
        if block < blocks:
            x = F.avg_pool2d(x, 2)
    return x


@pytest.fixture
def tiny_designs(monkeypatch):
    """The designs with as few channels as the made PANNs have."""
    for name, design in DESIGNS.items():
        if isinstance(design, CnnDesign):
            small = replace(design, channels=TINY_CHANNELS[: len(design.channels)])
            monkeypatch.setitem(DESIGNS, name, small)


@pytest.mark.parametrize("old_format", [False, True])
@pytest.mark.parametrize(
    ("model_type", "convolutions", "blocks", "kernel_size", "reduce"),
    [
        (CNN13, 2, 6, 3, lambda x: x.amax(dim=-1)),
        ("Cnn_9layers_AvgPooling", 2, 4, 3, lambda x: x.amax(dim=-1)),
        ("Cnn_5layers_AvgPooling", 1, 4, 5, lambda x: x.mean(dim=-1)),
    ],
)
def test_convolutions_of_a_pann_see_and_give_what_they_did_there(
    tiny_designs, tmp_path, model_type, convolutions, blocks, kernel_size, reduce, old_format
):
    state = made_pann(convolutions, blocks, kernel_size)
    write_pann(tmp_path / "pann.pth", state, old_format=old_format)
    initial = read_initial_weights(tmp_path / "pann.pth", model_type, PANN_FEATURES)
    model = new_model(model_type, 10)
    classifier = model.classifier.weight.clone()
    initial.put_into([model], PANN_FEATURES.labels)
    logmel = torch.randn(2, 64, 64, generator=torch.Generator().manual_seed(2)) * 15 - 40
    standardize = Standardizer.of(initial.scalar, torch.device("cpu"))
    with torch.inference_mode():
        vectors = model.eval().frame_vectors(standardize(logmel))
        expected = reduce(plain_pann(state, logmel, convolutions, blocks)).transpose(1, 2)
    torch.testing.assert_close(vectors, expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(model.classifier.weight, classifier)


def test_settings_file_of_panns_has_their_features(tmp_path, tiny_designs):
    values = public_values(runpy.run_path(str(PROJECT / "appendixes/panns_config.py")))
    of_features = {name: value for name, value in values.items() if hasattr(FEATURES, name)}
    write_pann(tmp_path / "pann.pth", made_pann())
    features = replace(FEATURES, **of_features)
    assert read_initial_weights(tmp_path / "pann.pth", values["model_type"], features).labels == ()


def without(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if key != name}


@pytest.mark.parametrize(
    ("change", "model_type", "features", "message"),
    [
        (dict, "Crnn", PANN_FEATURES, "is a published PANN; train with --model_type, one of Cnn_13layers"),
        (dict, CNN13, FEATURES, "was trained with hop_size = 320, and now it is 500"),
        (lambda s: without(s, "conv_block6.bn2.bias"), CNN13, PANN_FEATURES, "no valid conv_block6.bn2.bias"),
        (
            lambda s: s | {"bn0.running_var": s["bn0.running_var"] * float("nan")},
            CNN13,
            PANN_FEATURES,
            "no valid bn0.running_var, as a Cnn14 has",
        ),
        (
            lambda s: s | {"bn0.running_var": torch.tensor(1.0)},
            CNN13,
            PANN_FEATURES,
            "its bn0 is not one of 64 mel bands",
        ),
        (
            lambda s: s | {"logmel_extractor.melW": s["logmel_extractor.melW"].flip(0)},
            CNN13,
            PANN_FEATURES,
            "other mel filters than PANNs of 32 kHz",
        ),
        (dict, "Cnn_9layers_AvgPooling", PANN_FEATURES, "has more blocks than a Cnn10"),
        (
            lambda s: s | {"conv_block3.conv1.weight": torch.ones(4, 3, 5, 5)},
            CNN13,
            PANN_FEATURES,
            r"blocks.2.0.weight has the shape \(4, 3, 5, 5\) instead of \(4, 3, 3, 3\)",
        ),
    ],
)
def test_pann_that_does_not_fit_is_refused(tiny_designs, tmp_path, change, model_type, features, message):
    write_pann(tmp_path / "pann.pth", change(made_pann()))
    with pytest.raises(SedError, match=message):
        initial = read_initial_weights(tmp_path / "pann.pth", model_type, features)
        initial.put_into([new_model(model_type, 10)], features.labels)


def test_pann_whose_normalization_no_scalar_stands_for_takes_that_of_the_workspace(tiny_designs, tmp_path):
    state = made_pann()
    state["bn0.weight"][7] *= -1
    write_pann(tmp_path / "pann.pth", state)
    assert read_initial_weights(tmp_path / "pann.pth", CNN13, PANN_FEATURES).scalar is None


def test_run_starts_from_a_pann_with_its_settings_file_and_needs_no_scalar(small, tmp_path):
    state = made_pann(1, 4, 5, all_channels=(64, 128, 256, 512))
    write_pann(tmp_path / "Cnn6.pth", state)
    config = tmp_path / "config.py"
    settings = (PROJECT / "appendixes/panns_config.py").read_text()
    config.write_text(settings + "clip_seconds = 1.0\nlearning_rate = 1e-30\n")  # weights stay
    small = replace(small, config=config)
    for data_type in ("train_weak", "validation"):
        small.run(*small.extract(tmp_path / "workspace", data_type))
    command = small.train(tmp_path / "workspace", CNN, 1)
    small.run(*command, "--initial_checkpoint", tmp_path / "Cnn6.pth")
    (checkpoint,) = (tmp_path / "workspace/checkpoints").rglob("md_1_iters.pth")
    content = torch.load(checkpoint, weights_only=True)
    weight, of_pann = content["model"]["blocks.3.0.weight"], state["conv_block4.conv1.weight"]
    torch.testing.assert_close(weight, of_pann, rtol=0, atol=1e-20)
    logmel = torch.tensor([[-30.0] * 64])
    mean, variance, weight, bias = (
        state[f"bn0.{value}"] for value in ("running_mean", "running_var", "weight", "bias")
    )
    expected = F.batch_norm(logmel, mean, variance, weight, bias)
    standardized = Standardizer(**content["scalar"])(logmel)
    torch.testing.assert_close(standardized, expected, rtol=1e-4, atol=1e-4)


class Hostile:
    def __reduce__(self) -> tuple:
        return os.mkdir, ("hacked",)


def test_nothing_in_a_pann_is_run(tiny_designs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": made_pann(), "sampler": Hostile()}, "pann.pth")
    with pytest.raises(SedError, match="is not a valid checkpoint"):
        read_initial_weights(Path("pann.pth"), CNN13, PANN_FEATURES)
    assert not Path("hacked").exists()
