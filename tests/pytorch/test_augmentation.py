"""Augmentation: clips and their targets change together, and only as they should."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pytorch.augmentation import (
    AugmentedClips,
    add_sounds,
    augment,
    mixup,
    rolled,
    time_shift,
)
from utils.settings.groups import MEASURED_RECIPE

CLIPS, FRAMES, BANDS, OUTPUTS, CLASSES = 6, 32, 8, 8, 3
STRIDE = FRAMES // OUTPUTS


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def some_clips() -> AugmentedClips:
    """Clips in which each output's target stands in the log-mel of its frames too."""
    framewise = torch.rand(CLIPS, OUTPUTS, CLASSES)
    logmel = framewise[:, :, :1].repeat_interleave(STRIDE, dim=1).expand(-1, -1, BANDS)
    return AugmentedClips(logmel, framewise, framewise.amax(dim=1))


def test_rolling_equals_numpys():
    x, steps = torch.randn(CLIPS, FRAMES, BANDS), torch.tensor([0, 1, -1, 31, 40, -70])
    for clip, step, result in zip(x, steps, rolled(x, steps), strict=True):
        np.testing.assert_array_equal(result.numpy(), np.roll(clip.numpy(), int(step), axis=0))


def test_time_shift_moves_frames_with_their_targets_and_keeps_clip_targets():
    before = some_clips()
    after = time_shift(before, deviation_outputs=4.0)
    targets_in_logmel = after.logmel[:, ::STRIDE, 0]
    torch.testing.assert_close(targets_in_logmel, after.framewise[:, :, 0], rtol=0, atol=0)
    assert not torch.equal(after.framewise, before.framewise)
    assert torch.equal(after.clipwise, before.clipwise)


def test_time_shift_of_no_deviation_changes_nothing():
    before = some_clips()
    after = time_shift(before, deviation_outputs=0.0)
    assert torch.equal(after.logmel, before.logmel)
    assert torch.equal(after.framewise, before.framewise)


def clips_of_classes(classes: list[int]) -> AugmentedClips:
    """Clips of random log-mel, each with events of one class."""
    framewise = torch.zeros(len(classes), OUTPUTS, CLASSES)
    for clip, label in enumerate(classes):
        framewise[clip, clip:, label] = 1.0
    logmel = -100 + 60 * torch.rand(len(classes), FRAMES, BANDS)
    return AugmentedClips(logmel, framewise, framewise.amax(dim=1))


def test_added_sounds_are_of_the_same_part_and_their_powers_and_classes_add_up():
    clips, parts = clips_of_classes([0, 1, 2, 0]), [slice(0, 2), slice(2, 4)]
    sums = [add_sounds(clips, parts, gain_decibels=0.0) for _ in range(20)]
    (both,) = {tuple(one.clipwise[0].tolist()) for one in sums} - {tuple(clips.clipwise[0].tolist())}
    assert both == (1, 1, 0), "of its own part, and sometimes of itself"
    added = next(one for one in sums if one.clipwise[0, 1])
    power = 10 ** (clips.logmel.double() / 10)
    torch.testing.assert_close(
        added.logmel[0].double(), 10 * torch.log10(power[0] + power[1]), atol=1e-4, rtol=0
    )
    torch.testing.assert_close(added.framewise[0], clips.framewise[0] + clips.framewise[1])


def test_added_sounds_are_louder_or_softer_within_the_gain():
    logmel = torch.tensor([-300.0, -50.0]).view(2, 1, 1).repeat(1, FRAMES, BANDS)
    clips = replace(clips_of_classes([0, 1]), logmel=logmel)
    levels = torch.stack(
        [add_sounds(clips, [slice(0, 2)], gain_decibels=6.0).logmel[0, 0, 0] for _ in range(200)]
    )
    levels = levels[levels > -299]
    assert levels.min() >= -56 - 1e-4
    assert levels.max() <= -44 + 1e-4
    assert levels.max() - levels.min() > 10


def test_clips_that_share_a_class_are_not_added():
    clips = clips_of_classes([1, 1, 1])
    added = add_sounds(clips, [slice(0, 3)], gain_decibels=6.0)
    torch.testing.assert_close(added.logmel, clips.logmel, atol=1e-4, rtol=0)
    assert torch.equal(added.framewise, clips.framewise)


@pytest.mark.parametrize("adds_sounds", [True, False])
def test_recipe_adds_sounds_or_mixes_in_between(adds_sounds):
    settings = replace(MEASURED_RECIPE, mixup_probability=1.0, mixup_alpha=1.0, time_shift_deviation=0.0)
    clips = augment(
        clips_of_classes([0, 1, 2]), [slice(0, 3)], settings, outputs_per_second=1, adds_sounds=adds_sounds
    )
    values = clips.clipwise.unique()
    assert torch.equal(values, torch.tensor([0.0, 1.0])) == adds_sounds
    assert clips.clipwise.sum() > 3 if adds_sounds else clips.clipwise.sum() == pytest.approx(3)


def test_mixup_mixes_within_parts_with_one_weight_for_clip_and_targets():
    parts = [slice(0, 2), slice(2, 6)]
    marks = torch.tensor([1.0, 2.0, 10.0, 20.0, 30.0, 40.0])
    clips = AugmentedClips(
        marks.view(-1, 1, 1).expand(-1, FRAMES, BANDS),
        marks.view(-1, 1, 1).expand(-1, OUTPUTS, CLASSES),
        marks.view(-1, 1).expand(-1, CLASSES),
    )
    mixed = mixup(clips, parts, probability=1.0, alpha=1.0)
    values = mixed.clipwise[:, 0]
    torch.testing.assert_close(mixed.logmel, values.view(-1, 1, 1).expand_as(mixed.logmel))
    torch.testing.assert_close(mixed.framewise, values.view(-1, 1, 1).expand_as(mixed.framewise))
    assert ((values[:2] >= 1) & (values[:2] <= 2)).all()
    assert ((values[2:] >= 10) & (values[2:] <= 40)).all()
    assert not torch.equal(values, marks)


def test_a_clip_stays_the_stronger_one_of_its_mixture():
    logmel = torch.eye(CLIPS).view(CLIPS, CLIPS, 1)
    clips = AugmentedClips(logmel, torch.zeros(CLIPS, 1, 1), torch.zeros(CLIPS, 1))
    mixed = mixup(clips, [slice(0, CLIPS)], probability=1.0, alpha=0.2).logmel[:, :, 0]
    assert (mixed.diagonal() >= 0.5).all()
    torch.testing.assert_close(mixed.sum(dim=1), torch.ones(CLIPS))


def test_mixup_of_probability_zero_changes_nothing():
    clips = some_clips()
    assert torch.equal(mixup(clips, [slice(0, CLIPS)], probability=0.0, alpha=0.2).logmel, clips.logmel)


def test_same_seed_gives_the_same_augmentation():
    def run() -> torch.Tensor:
        torch.manual_seed(5)
        clips = time_shift(clips_of_classes([0, 1, 2, 0, 1, 2]), deviation_outputs=3.0)
        clips = add_sounds(clips, [slice(0, CLIPS)], gain_decibels=6.0)
        return mixup(clips, [slice(0, CLIPS)], probability=1.0, alpha=1.0).logmel

    assert torch.equal(run(), run())
