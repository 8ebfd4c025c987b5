"""The models: shapes of the reference, and their parts against plain computations."""

import shutil
import sysconfig
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pytorch.compute import compiled
from pytorch.dropout import Dropout
from pytorch.models import (
    DESIGNS,
    Cnn,
    CnnDesign,
    Crnn,
    CrnnDesign,
    GatedLinearUnit,
    ModelOutput,
    attention_pooling,
    create_model,
    max_over_bands,
    require_size,
)
from tests.settings_for_tests import SETTINGS
from utils.system.errors import SedError

# Blocks, convolutions in all, channels of the last block, outputs of 640 frames.
REFERENCE_DESIGNS = {
    "Cnn_5layers_AvgPooling": (4, 4, 512, 80),
    "Cnn_9layers_AvgPooling": (4, 8, 512, 80),
    "Cnn_9layers_MaxPooling": (4, 8, 512, 80),
    "Cnn_13layers_AvgPooling": (6, 12, 2048, 20),
}


def new_model(
    model_type: str,
    classes_num: int = 10,
    clip_output_from: str = "frame_vectors",
    outputs_in_float32: bool = True,
) -> Cnn | Crnn:
    return create_model(
        model_type, classes_num, clip_output_from, outputs_in_float32=outputs_in_float32, mel_bins=64
    )


def test_the_models_are_the_references():
    assert DESIGNS.keys() == REFERENCE_DESIGNS.keys() | {"Crnn", "Crnn_8layers_AttentionPooling"}


RECIPE_MODEL = "Crnn_8layers_AttentionPooling"


@pytest.mark.parametrize("model_type", DESIGNS)
@pytest.mark.parametrize(
    ("frames", "mel_bins", "taken_by"),
    [(3, 64, set()), (4, 2, {RECIPE_MODEL}), (64, 4, {"Crnn", RECIPE_MODEL}), (32, 32, {*DESIGNS})],
)
def test_clips_too_small_for_a_model_are_refused(model_type, frames, mel_bins, taken_by):
    model = create_model(model_type, 2, "frame_vectors", outputs_in_float32=True, mel_bins=mel_bins).eval()
    seconds = frames * SETTINGS.features.hop_size / SETTINGS.features.sample_rate
    features = replace(SETTINGS.features, mel_bins=mel_bins, clip_seconds=seconds)
    if model_type in taken_by:
        require_size(model, features, "my_settings.py")
        outputs = model(torch.zeros(1, frames, mel_bins)).framewise_output.shape[1]
        assert outputs == frames // model.stride_frames
    else:
        message = f"my_settings.py: clips have {frames} frames of {mel_bins} mel bands, but"
        with pytest.raises(SedError, match=message):
            require_size(model, features, "my_settings.py")


@pytest.mark.parametrize("clip_output_from", ["frame_vectors", "frame_outputs"])
@pytest.mark.parametrize("model_type", DESIGNS)
def test_output_shapes_and_ranges(model_type, clip_output_from):
    model = new_model(model_type, 10, clip_output_from)
    output = model(torch.randn(2, 640, 64))
    assert output.stride_frames == model.stride_frames
    assert output.framewise_output.shape == (2, 640 // model.stride_frames, 10)
    assert output.stretched(640).framewise_output.shape == (2, 640, 10)
    assert output.clipwise_output.shape == (2, 10)
    for probability in output[:2]:
        assert probability.dtype == torch.float32
        assert ((probability >= 0) & (probability <= 1)).all()


@pytest.mark.parametrize("frames", [61, 62, 63, 64])
@pytest.mark.parametrize("model_type", DESIGNS)
def test_an_output_stands_for_whole_strides_and_the_last_one_for_the_rest_too(model_type, frames):
    output = new_model(model_type).eval()(torch.randn(1, frames, 64))
    assert output.framewise_output.shape[1] == frames // output.stride_frames
    stretched = output.stretched(frames).framewise_output
    assert stretched.shape[1] == frames
    assert torch.equal(stretched[:, -1], output.framewise_output[:, -1])


@pytest.mark.parametrize("model_type", REFERENCE_DESIGNS)
def test_layers_and_output_frames(model_type):
    blocks, convolutions, channels, frames = REFERENCE_DESIGNS[model_type]
    model = new_model(model_type).eval()
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    assert len(model.blocks) == blocks
    assert len(layers) == convolutions
    assert all(layer.bias is None for layer in layers)
    with torch.inference_mode():
        vectors = model.frame_vectors(torch.randn(1, 640, 64))
        output = model(torch.randn(1, 640, 64))
    assert vectors.shape == (1, frames, channels)
    repeats = 640 // frames
    assert model.stride_frames == repeats
    assert output.framewise_output.shape == (1, frames, 10)
    assert torch.equal(
        output.stretched(640).framewise_output, output.framewise_output.repeat_interleave(repeats, dim=1)
    )


def plain_forward(model: Cnn, logmel: torch.Tensor, pool, bands) -> torch.Tensor:
    """The body of a model in evaluation mode, written out layer by layer."""
    x = logmel[:, None]
    for index, block in enumerate(model.blocks):
        for convolution, norm in zip(list(block)[0::3], list(block)[1::3], strict=True):
            x = F.conv2d(x, convolution.weight, padding=convolution.kernel_size[0] // 2)
            x = (x - norm.running_mean[:, None, None]) / torch.sqrt(norm.running_var[:, None, None] + 1e-5)
            x = torch.relu(x * norm.weight[:, None, None] + norm.bias[:, None, None])
        if index < len(model.blocks) - 1:
            batch, channels, frames, width = x.shape
            x = pool(x.reshape(batch, channels, frames // 2, 2, width // 2, 2))
    return bands(x).transpose(1, 2)


@pytest.mark.parametrize(
    ("model_type", "pool", "bands"),
    [
        ("Cnn_5layers_AvgPooling", lambda x: x.mean((3, 5)), lambda x: x.mean(3)),
        ("Cnn_9layers_AvgPooling", lambda x: x.mean((3, 5)), lambda x: x.max(3).values),
        ("Cnn_9layers_MaxPooling", lambda x: x.amax((3, 5)), lambda x: x.max(3).values),
        ("Cnn_13layers_AvgPooling", lambda x: x.mean((3, 5)), lambda x: x.max(3).values),
    ],
)
def test_body_equals_the_layers_written_out(model_type, pool, bands):
    torch.manual_seed(0)
    model = new_model(model_type, 3).eval()
    logmel = torch.randn(1, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(
            model.frame_vectors(logmel), plain_forward(model, logmel, pool, bands), rtol=1e-3, atol=1e-3
        )


@pytest.mark.parametrize("clip_output_from", ["frame_vectors", "frame_outputs"])
def test_clip_output_is_what_the_loss_needs(clip_output_from):
    model = new_model("Cnn_9layers_MaxPooling", 4, clip_output_from).eval()
    logmel = torch.randn(2, 64, 64)
    with torch.inference_mode():
        output = model(logmel)
        vectors = model.frame_vectors(logmel)
    weight, bias = (p.detach().numpy() for p in (model.classifier.weight, model.classifier.bias))

    def classify(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-(x @ weight.T + bias)))

    frame_outputs = classify(vectors.numpy())
    expected = {
        "frame_vectors": classify(vectors.numpy().max(axis=1)),
        "frame_outputs": frame_outputs.max(axis=1),
    }
    np.testing.assert_allclose(output.clipwise_output.numpy(), expected[clip_output_from], rtol=1e-4)
    np.testing.assert_allclose(output.framewise_output.numpy(), frame_outputs, rtol=1e-4)
    np.testing.assert_allclose(
        output.stretched(64).framewise_output.numpy(), frame_outputs.repeat(8, axis=1), rtol=1e-4
    )


@pytest.mark.parametrize("in_float32", [True, False])
def test_outputs_have_the_steps_of_the_precision_that_the_settings_say(in_float32):
    model = new_model("Cnn_5layers_AvgPooling", outputs_in_float32=in_float32).eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        output = model(torch.randn(1, 64, 64))
    for probability in (output.framewise_output, output.clipwise_output):
        assert probability.dtype == torch.float32
        fits_bfloat16 = torch.equal(probability, probability.bfloat16().float())
        assert fits_bfloat16 == (not in_float32)


def test_initial_weights_are_kaiming_uniform_and_biases_zero():
    model = new_model("Cnn_9layers_MaxPooling")
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            fan_in = layer.weight[0].numel()
            bound = (6 / fan_in) ** 0.5
            assert layer.weight.abs().max() <= bound
            assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)
        if isinstance(layer, nn.BatchNorm2d):
            assert (layer.weight == 1).all()
            assert (layer.bias == 0).all()
    assert (model.classifier.bias == 0).all()


def test_frames_that_pooling_cuts_off_repeat_the_last_output():
    output = ModelOutput(torch.arange(3.0).reshape(1, 3, 1), torch.zeros(1, 1), stride_frames=8)
    assert output.stretched(25).framewise_output.flatten().tolist() == [0] * 8 + [1] * 8 + [2] * 9


def test_models_take_any_number_of_frames_and_bands():
    design = CnnDesign((4, 8), 1, 3, F.avg_pool2d, DESIGNS["Cnn_9layers_MaxPooling"].reduce_bands)
    output = Cnn(design, 3, "frame_vectors", outputs_in_float32=True)(torch.randn(2, 101, 40))
    assert output.framewise_output.shape == (2, 50, 3)
    assert output.stretched(101).framewise_output.shape == (2, 101, 3)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def test_gated_linear_unit_equals_the_plain_computation():
    generator = np.random.default_rng(0)
    unit = GatedLinearUnit(3)
    nn.init.normal_(unit.linear.weight)
    nn.init.normal_(unit.linear.bias)
    weight, bias = (parameter.detach().numpy() for parameter in (unit.linear.weight, unit.linear.bias))
    x = generator.normal(size=(2, 3, 5, 4)).astype(np.float32)
    expected = np.empty_like(x)
    for clip, frame, band in np.ndindex(2, 5, 4):
        channels = x[clip, :, frame, band]
        expected[clip, :, frame, band] = (weight @ channels + bias) * sigmoid(channels)
    np.testing.assert_allclose(unit(torch.from_numpy(x)).detach().numpy(), expected, rtol=1e-4, atol=1e-6)


def plain_attention_pooling(frame_outputs: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The formula of the baseline, one clip and class after the other."""
    clips, frames, classes = frame_outputs.shape
    pooled = np.empty((clips, classes))
    for clip in range(clips):
        weights = np.empty((frames, classes))
        for frame in range(frames):
            powers = np.exp(scores[clip, frame])
            weights[frame] = np.clip(powers / powers.sum(), 1e-7, 1)  # over the classes
        for label in range(classes):
            weighted = frame_outputs[clip, :, label] * weights[:, label]
            pooled[clip, label] = weighted.sum() / weights[:, label].sum()
    return pooled


@pytest.mark.parametrize("spread", [1, 30])
def test_attention_pooling_equals_the_plain_computation(spread):
    generator = np.random.default_rng(0)
    frame_outputs = generator.uniform(size=(2, 7, 4))
    scores = generator.normal(scale=spread, size=(2, 7, 4))
    pooled = attention_pooling(torch.from_numpy(frame_outputs), torch.from_numpy(scores)).numpy()
    np.testing.assert_allclose(pooled, plain_attention_pooling(frame_outputs, scores))


def plain_gru(gru: nn.GRU, x: np.ndarray) -> np.ndarray:
    """The states (frames, 2 × cells) of a bidirectional GRU over x (frames, channels), step by step."""
    parameters = {name: value.detach().numpy().astype(float) for name, value in gru.named_parameters()}
    cells = gru.hidden_size
    for layer in range(gru.num_layers):
        directions = []
        for suffix, step in (("", 1), ("_reverse", -1)):
            names = [f"{kind}_l{layer}{suffix}" for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
            input_weight, state_weight, input_bias, state_bias = (parameters[name] for name in names)
            state, states = np.zeros(cells), []
            for frame in x[::step]:
                from_input = np.split(input_weight @ frame + input_bias, 3)
                from_state = np.split(state_weight @ state + state_bias, 3)
                reset, update = (sigmoid(from_input[gate] + from_state[gate]) for gate in (0, 1))
                candidate = np.tanh(from_input[2] + reset * from_state[2])
                state = (1 - update) * candidate + update * state
                states.append(state)
            directions.append(np.array(states)[::step])
        x = np.concatenate(directions, axis=1)
    return x


def test_crnn_equals_the_layers_written_out():
    torch.manual_seed(0)
    model = new_model("Crnn", 3).eval()
    assert isinstance(model, Crnn)
    logmel = torch.randn(1, 64, 64)
    x = logmel[:, None]
    with torch.inference_mode():
        output = model(logmel)
        for block in model.blocks:
            convolution, norm, unit = list(block)[:3]
            x = F.conv2d(x, convolution.weight, convolution.bias, padding=1)
            x = norm.weight[:, None, None] * x / (1 + 0.001) ** 0.5  # as nothing has been seen yet
            linear = torch.einsum("oc,bcfm->bofm", unit.linear.weight, x) + unit.linear.bias[:, None, None]
            x = linear * torch.sigmoid(x)
            batch, channels, frames, bands = x.shape
            x = x.reshape(batch, channels, frames // 2, 2, bands // 4, 4).mean((3, 5))
        assert x.shape == (1, 64, 8, 1)
    states = plain_gru(model.recurrent, x[0, :, :, 0].T.numpy().astype(float))
    layers = [
        (layer.weight.detach().numpy(), layer.bias.detach().numpy())
        for layer in (model.classifier, model.attention)
    ]
    outputs, scores = (states @ weight.T + bias for weight, bias in layers)
    frame_outputs = sigmoid(outputs)[None]
    clip_output = plain_attention_pooling(frame_outputs, scores[None])
    np.testing.assert_allclose(output.clipwise_output.numpy(), clip_output, rtol=1e-4)
    np.testing.assert_allclose(output.framewise_output.numpy(), frame_outputs, rtol=1e-4)
    np.testing.assert_allclose(
        output.stretched(64).framewise_output.numpy(), frame_outputs.repeat(8, axis=1), rtol=1e-4
    )


def test_crnn_has_the_sizes_and_the_initialization_of_the_baseline():
    torch.manual_seed(0)
    model = new_model("Crnn")
    assert model.stride_frames == 8
    for block, fan_in, fan_out in zip(model.blocks, (9, 576, 576), (576,) * 3, strict=True):
        convolution, norm, unit, dropout = block
        bound = (2 * 6 / (fan_in + fan_out)) ** 0.5
        assert convolution.weight.abs().max() <= bound
        assert convolution.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)
        assert (convolution.bias == 0).all()
        assert (norm.eps, norm.momentum) == (0.001, 0.99)
        assert norm.weight.mean().item() == pytest.approx(1, abs=0.01)
        assert norm.weight.std().item() == pytest.approx(0.02, rel=0.3)
        assert (norm.bias == 0).all()
        assert dropout.fraction == model.dropout.fraction == 0.5
    for layer in (model.classifier, model.attention, *(block[2].linear for block in model.blocks)):
        assert layer.weight.std().item() == pytest.approx(0.01, rel=0.1)
        assert (layer.bias == 0).all()
    gru = model.recurrent
    assert (gru.num_layers, gru.hidden_size, gru.bidirectional, gru.dropout) == (2, 64, True, 0)
    for matrix in (parameter.detach() for parameter in gru.parameters() if parameter.dim() == 2):
        torch.testing.assert_close(matrix.T @ matrix, torch.eye(matrix.shape[1]), atol=1e-5, rtol=0)


def test_crnn_takes_any_number_of_frames_and_bands():
    for frames, bands in ((101, 40), (640, 128)):
        output = Crnn(CrnnDesign(), 3, outputs_in_float32=True)(torch.randn(2, frames, bands))
        assert output.framewise_output.shape == (2, frames // 8, 3)
        assert output.stretched(frames).framewise_output.shape == (2, frames, 3)


@pytest.mark.parametrize("fraction", [0, 0.25, 0.5])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_dropout_drops_its_fraction_and_keeps_the_mean(fraction, memory_format):
    torch.manual_seed(0)
    x = torch.ones(8, 16, 50, 33).contiguous(memory_format=memory_format).requires_grad_()
    dropout = Dropout(fraction)
    dropped = dropout(x)
    assert dropped.is_contiguous(memory_format=memory_format)
    kept = dropped[dropped != 0]
    assert kept.tolist() == pytest.approx([1 / (1 - fraction)] * len(kept))
    assert (dropped == 0).float().mean().item() == pytest.approx(fraction, abs=0.01)
    dropped.sum().backward()
    assert torch.equal(x.grad, dropped.detach()), "the gradient passes where the value does"
    for dimension in range(4):  # no position is dropped more than another
        rest = [other for other in range(4) if other != dimension]
        assert (dropped == 0).float().mean(rest).tolist() == pytest.approx(
            [fraction] * x.shape[dimension], abs=0.05
        )


def test_dropout_is_new_at_every_call_and_repeats_with_torchs_seed():
    x, dropout = torch.ones(1000), Dropout(0.5)
    torch.manual_seed(3)
    first, second = dropout(x), dropout(x)
    assert not torch.equal(first, second)
    torch.manual_seed(3)
    assert torch.equal(dropout(x), first)
    assert torch.equal(dropout.eval()(x), x)


def test_dropout_can_be_compiled():
    x = torch.ones(4, 8, 6, 5, requires_grad=True)
    dropped = torch.compile(Dropout(0.5), backend="aot_eager", fullgraph=True)(x)
    dropped.sum().backward()
    assert set(dropped.unique().tolist()) == {0.0, 2.0}
    assert torch.equal(x.grad, dropped.detach())


def gradients(model: nn.Module, logmel: torch.Tensor, parameters: list[torch.Tensor]) -> list[torch.Tensor]:
    with torch.autocast("cpu", torch.bfloat16):
        output = model(logmel)
    return torch.autograd.grad(output.clipwise_output.log().mean(), parameters)


HAS_PYTHON_HEADERS = (Path(sysconfig.get_path("include")) / "Python.h").is_file()


@pytest.mark.skipif(shutil.which("g++") is None or not HAS_PYTHON_HEADERS, reason="needs g++ and python3-dev")
def test_compiled_training_in_bfloat16_has_the_gradients_of_an_ordinary_one():
    torch.manual_seed(0)
    # So few bands that the generated code computes their maximum anew wherever it is used
    model = Cnn(CnnDesign((16,), 1, 3, F.max_pool2d, max_over_bands), 3, "frame_vectors", True)
    model, logmel = model.to(memory_format=torch.channels_last), torch.randn(8, 32, 4)
    parameters = list(model.parameters())
    expected = gradients(model, logmel, parameters)
    found = gradients(compiled(model, torch.device("cpu")), logmel, parameters)
    for gradient, of_compiled in zip(expected, found, strict=True):
        torch.testing.assert_close(of_compiled, gradient, rtol=0.1, atol=0.1 * gradient.abs().max().item())
