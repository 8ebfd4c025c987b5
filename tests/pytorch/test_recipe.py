"""The recipe: schedule, moving average, targets and losses, and whole trainings by it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from pytorch.compute import Compute
from pytorch.data_generator import Standardizer
from pytorch.distributed import ALONE
from pytorch.models import DESIGNS, create_model
from pytorch.recipe import MovingAverage
from pytorch.training import new_training, training_step
from pytorch.training_data import batches_of, part_sizes, recipe_fractions
from tests.settings_for_tests import SETTINGS
from utils.audio.feature_file import Features, Scalar
from utils.workspace.run import Run, join_data_types

MODEL = "Crnn_8layers_AttentionPooling"
FEATURES = replace(SETTINGS.features, labels=("a", "b", "c"), mel_bins=16, clip_seconds=2.0)
CLIPS, CLASSES, FRAMES = 10, 3, FEATURES.clip_frames
ALL = ("train_weak", "train_synthetic", "train_unlabel_in_domain")
PROCESSOR = Compute(torch.device("cpu"), torch.float32)
STANDARDIZE = Standardizer.of(Scalar(np.full(16, -20.0), np.full(16, 5.0), ""), PROCESSOR.device)


def some_features(data_type: str) -> Features:
    generator = np.random.default_rng(len(data_type))
    weak = generator.random((CLIPS, CLASSES)) < 0.5
    strong = np.repeat(weak[:, None], FRAMES, axis=1)
    strong[:, FRAMES // 2 :] = False
    active = strong if data_type == ALL[1] else np.repeat(weak[:, None], FRAMES, axis=1)
    logmel = generator.normal(-20, 5, (CLIPS, FRAMES, 16))
    logmel[:, :, : 5 * CLASSES] += 15 * np.repeat(active, 5, axis=2)  # five bands a class
    return Features(
        [f"{data_type}_{index}.wav" for index in range(CLIPS)],
        logmel.astype(np.float32),
        None if data_type == ALL[2] else weak,
        strong if data_type == ALL[1] else None,
        CLIPS,
    )


def new(data_types=ALL, *, iterations=20, **settings):
    torch.manual_seed(3)
    run = Run(
        join_data_types(data_types), "1", MODEL, "recipe", 9, 1, training=replace(SETTINGS.recipe, **settings)
    )
    training = new_training(
        run,
        FEATURES,
        iterations=iterations,
        standardize=STANDARDIZE,
        compute=PROCESSOR,
        ranks=ALONE,
    )
    subsets = {name: some_features(name) for name in run.data_types}
    batches = batches_of(run, subsets, STANDARDIZE, gpu_data_fraction=0.0, ranks=ALONE, skip=0)
    return training, batches


def test_learning_rate_is_constant():
    training, batches = new()
    rates = set()
    for _ in range(12):
        training_step(training, next(batches))
        rates |= {group["lr"] for group in training.optimizer.param_groups}
    assert rates == {SETTINGS.recipe.recipe_learning_rate}


def test_moving_average_equals_the_formula_for_weights_and_batch_norm_statistics():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    average = MovingAverage(model, memory_steps=4)
    expected = {name: value.clone() for name, value in model.state_dict().items()}
    for step in range(1, 9):
        model(torch.randn(8, 2))
        with torch.no_grad():
            model[0].weight += torch.randn(2, 2)
        average.follow(model)
        decay = min(1 - 1 / (step + 1), 1 - 1 / 4)
        for name, value in model.state_dict().items():
            if value.is_floating_point():
                expected[name] = decay * expected[name] + (1 - decay) * value
    for name, value in average.model.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value, expected[name])


def test_clips_with_events_are_half_of_a_batch_where_there_are_others():
    weak, strong, unlabelled = ALL
    assert recipe_fractions(ALL) == {weak: 1 / 4, strong: 1 / 2, unlabelled: 1 / 4}
    assert recipe_fractions([weak, strong]) == {weak: 1 / 2, strong: 1 / 2}
    assert recipe_fractions([weak, unlabelled]) == {weak: 1 / 2, unlabelled: 1 / 2}
    assert recipe_fractions([strong]) == {strong: 1}


@pytest.mark.parametrize("data_types", [ALL, ALL[:2], (ALL[0], ALL[2]), ALL[1:2]])
@pytest.mark.parametrize("batch_size", [3, 4, 5, 6, 7, 9, 10, 14, 24, 48])
def test_parts_of_a_batch_add_up_to_its_size_and_none_is_empty(data_types, batch_size):
    fractions = recipe_fractions(data_types)
    sizes = part_sizes(fractions, batch_size)
    assert sizes.keys() == fractions.keys()
    assert sum(sizes.values()) == batch_size
    for name, clips in sizes.items():
        assert clips >= 1
        assert abs(clips - fractions[name] * batch_size) <= 1


@pytest.mark.parametrize(
    ("data_types", "terms"),
    [
        (ALL, {"framewise", "strong_clipwise", "clipwise", "teacher_framewise", "teacher_clipwise"}),
        (ALL[:1], {"clipwise", "teacher_framewise"}),
        (ALL[1:2], {"framewise", "strong_clipwise"}),
        ((ALL[0], ALL[2]), {"clipwise", "teacher_framewise", "teacher_clipwise"}),
        (ALL[:2], {"framewise", "strong_clipwise", "clipwise", "teacher_framewise"}),
    ],
)
def test_each_kind_of_clips_brings_its_terms(data_types, terms):
    training, batches = new(data_types)
    assert training_step(training, next(batches))[1].keys() == terms


def test_targets_are_the_annotation_where_there_is_one_else_the_averages_probabilities():
    training, batches = new()
    batch = next(batches)
    recipe = training.recipe
    clips = recipe.clips_with_targets(batch, [batch.weak_rows, batch.unlabelled_rows])
    stride = training.model.stride_frames
    strong = batch.strong_target.numpy()
    pooled = strong[:, : FRAMES // stride * stride].reshape(len(strong), -1, stride, CLASSES).mean(axis=2)
    np.testing.assert_allclose(clips.framewise[batch.strong_rows], pooled)
    np.testing.assert_array_equal(clips.clipwise[batch.strong_rows], strong.max(axis=1))
    np.testing.assert_array_equal(clips.clipwise[batch.weak_rows], batch.weak_target)
    absent = batch.weak_target[:, None].expand(-1, FRAMES // stride, -1) == 0
    assert (clips.framewise[batch.weak_rows][absent] == 0).all()
    with torch.no_grad():
        output = recipe.average.model(batch.logmel[batch.unlabelled_rows])
    torch.testing.assert_close(
        clips.framewise[batch.unlabelled_rows], output.framewise_output, atol=1e-5, rtol=0
    )
    torch.testing.assert_close(
        clips.clipwise[batch.unlabelled_rows], output.clipwise_output, atol=1e-5, rtol=0
    )


def test_sounds_are_added_in_the_first_part_of_the_run(monkeypatch):
    from pytorch import recipe

    added = []

    def observed(*arguments, adds_sounds, **options):
        added.append(adds_sounds)
        return augment(*arguments, adds_sounds=adds_sounds, **options)

    augment = recipe.augment
    monkeypatch.setattr(recipe, "augment", observed)
    training, batches = new(iterations=5, added_sounds_fraction=0.6)
    for _ in range(5):
        training_step(training, next(batches))
    assert added == [True, True, True, False, False]


def test_no_gradient_reaches_the_average():
    training, batches = new()
    training_step(training, next(batches))
    assert all(parameter.grad is None for parameter in training.recipe.average.model.parameters())
    assert all(parameter.grad is not None for parameter in training.model.parameters())


def test_training_by_the_recipe_lowers_the_loss_of_annotated_clips():
    training, batches = new(
        iterations=40, added_sounds_fraction=0.0, mixup_probability=0.0, time_shift_deviation=0.0
    )
    terms = [training_step(training, next(batches))[1] for _ in range(40)]
    for name in ("framewise", "strong_clipwise", "clipwise"):
        values = [float(of_step[name].detach()) for of_step in terms]
        assert np.mean(values[-8:]) < 0.8 * np.mean(values[:8]), name


@pytest.mark.parametrize(("frames", "mel_bins"), [(640, 64), (500, 64), (321, 32), (64, 16)])
def test_outputs_stand_for_four_frames_each(frames, mel_bins):
    model = create_model(MODEL, CLASSES, "frame_vectors", outputs_in_float32=True, mel_bins=mel_bins).eval()
    output = model(torch.randn(2, frames, mel_bins))
    assert output.framewise_output.shape == (2, frames // 4, CLASSES)
    assert output.stride_frames == model.stride_frames == 4
    assert output.stretched(frames).framewise_output.shape == (2, frames, CLASSES)


def test_clip_output_is_the_attention_weighted_mean_of_the_frame_outputs():
    model = create_model(MODEL, CLASSES, "frame_vectors", outputs_in_float32=True, mel_bins=16).eval()
    with torch.no_grad():
        model.attention.weight.zero_()
        output = model(torch.randn(2, 64, 16))
    torch.testing.assert_close(output.clipwise_output, output.framewise_output.mean(dim=1))


def test_mean_pooling_equals_torchs():
    from pytorch.models import MeanPooling

    x = torch.randn(2, 3, 13, 10)
    for frames, bands in ((2, 2), (1, 2), (1, 3), (4, 1)):
        torch.testing.assert_close(
            MeanPooling(frames, bands)(x), nn.functional.avg_pool2d(x, (frames, bands)), atol=1e-6, rtol=0
        )


def test_the_design_is_small():
    model = create_model(MODEL, 10, "frame_vectors", outputs_in_float32=True, mel_bins=64)
    assert sum(parameter.numel() for parameter in model.parameters()) < 1_000_000
    assert MODEL in DESIGNS
