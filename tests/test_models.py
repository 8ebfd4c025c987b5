"""The models: shapes of the reference, and their parts against plain computations."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from pytorch.losses import LOSSES
from pytorch.models import DESIGNS, Cnn, CnnDesign, ModelOutput, create_model, repeat_frames

# Blocks, convolutions in all, channels of the last block, output frames before they are repeated.
REFERENCE_DESIGNS = {
    "Cnn_5layers_AvgPooling": (4, 4, 512, 80),
    "Cnn_9layers_AvgPooling": (4, 8, 512, 80),
    "Cnn_9layers_MaxPooling": (4, 8, 512, 80),
    "Cnn_13layers_AvgPooling": (6, 12, 2048, 20),
}


def test_the_models_are_the_references():
    assert DESIGNS.keys() == REFERENCE_DESIGNS.keys()


@pytest.mark.parametrize("clip_output_from", ["frame_vectors", "frame_outputs"])
@pytest.mark.parametrize("model_type", DESIGNS)
def test_output_shapes_and_ranges(model_type, clip_output_from):
    output = create_model(model_type, 10, clip_output_from)(torch.randn(2, 640, 64))
    assert output.framewise_output.shape == (2, 640, 10)
    assert output.clipwise_output.shape == (2, 10)
    for probability in output:
        assert probability.dtype == torch.float32
        assert ((probability >= 0) & (probability <= 1)).all()


@pytest.mark.parametrize("model_type", DESIGNS)
def test_layers_and_output_frames(model_type):
    blocks, convolutions, channels, frames = REFERENCE_DESIGNS[model_type]
    model = create_model(model_type, 10, "frame_vectors").eval()
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d)]
    assert len(model.blocks) == blocks
    assert len(layers) == convolutions
    assert all(layer.bias is None for layer in layers)
    with torch.inference_mode():
        vectors = model.frame_vectors(torch.randn(1, 640, 64))
        framewise = model(torch.randn(1, 640, 64)).framewise_output[0]
    assert vectors.shape == (1, frames, channels)
    repeats = 640 // frames
    assert torch.equal(framewise, framewise[::repeats].repeat_interleave(repeats, dim=0))


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
    model = create_model(model_type, 3, "frame_vectors").eval()
    logmel = torch.randn(1, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(
            model.frame_vectors(logmel), plain_forward(model, logmel, pool, bands), rtol=1e-3, atol=1e-3
        )


@pytest.mark.parametrize("clip_output_from", ["frame_vectors", "frame_outputs"])
def test_clip_output_is_what_the_loss_needs(clip_output_from):
    model = create_model("Cnn_9layers_MaxPooling", 4, clip_output_from).eval()
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
    np.testing.assert_allclose(output.framewise_output.numpy(), frame_outputs.repeat(8, axis=1), rtol=1e-4)


@pytest.mark.parametrize("in_float32", [True, False])
def test_outputs_have_the_steps_of_the_precision_that_the_config_says(monkeypatch, in_float32):
    monkeypatch.setattr("utils.config.outputs_in_float32", in_float32)
    model = create_model("Cnn_5layers_AvgPooling", 10, "frame_vectors").eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        output = model(torch.randn(1, 64, 64))
    for probability in output:
        assert probability.dtype == torch.float32
        fits_bfloat16 = torch.equal(probability, probability.bfloat16().float())
        assert fits_bfloat16 == (not in_float32)


def test_initial_weights_are_kaiming_uniform_and_biases_zero():
    model = create_model("Cnn_9layers_MaxPooling", 10, "frame_vectors")
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
    stretched = repeat_frames(torch.arange(3.0).reshape(1, 3, 1), 25)
    assert stretched.flatten().tolist() == [0] * 8 + [1] * 8 + [2] * 9


def test_models_take_any_number_of_frames_and_bands():
    design = CnnDesign((4, 8), 1, 3, F.avg_pool2d, DESIGNS["Cnn_9layers_MaxPooling"].reduce_bands)
    output = Cnn(design, 3, "frame_vectors")(torch.randn(2, 101, 40))
    assert output.framewise_output.shape == (2, 101, 3)


@pytest.mark.parametrize("name", LOSSES)
def test_loss_equals_the_formula(name):
    generator = np.random.default_rng(0)
    framewise, clipwise = generator.uniform(0.01, 0.99, (2, 5, 3)), generator.uniform(0.01, 0.99, (2, 3))
    output = ModelOutput(torch.tensor(framewise), torch.tensor(clipwise))
    p = {"strong_target": framewise, "weak_target": clipwise}[LOSSES[name].target]
    y = (generator.uniform(size=p.shape) > 0.5).astype(float)
    expected = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
    assert LOSSES[name].function(output, torch.tensor(y)).item() == pytest.approx(expected)


def test_losses_are_the_references():
    assert LOSSES["clipwise_binary_crossentropy"].target == "weak_target"
    assert LOSSES["framewise_binary_crossentropy"].target == "strong_target"
    assert len(LOSSES) == 2
