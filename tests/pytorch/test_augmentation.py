"""Augmentation: clips and their targets change together, and only as they should."""

import numpy as np
import pytest
import torch

from pytorch.augmentation import (
    AugmentedClips,
    filter_augment,
    frequency_shift,
    mixup,
    rolled,
    time_shift,
)

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


def test_frequency_shift_moves_a_ramp_by_its_bands_and_interpolates():
    ramp = torch.arange(BANDS, dtype=torch.float32).expand(200, 2, BANDS)
    shift = ramp - frequency_shift(ramp, most_bands=2.0)
    inside = shift[:, :, 2:-2]  # beyond the ends, the last band repeats
    assert inside.abs().max() <= 2 + 1e-5
    assert inside.abs().max() > 1.5
    torch.testing.assert_close(inside, inside[:, :1, :1].expand_as(inside), rtol=0, atol=1e-5)


def test_filter_is_piecewise_linear_within_its_gain_and_one_for_all_frames_of_a_clip():
    logmel = torch.zeros(500, 3, 64)
    gain = filter_augment(logmel, decibels=6.0)
    assert torch.equal(gain[:, 0], gain[:, 2])
    assert gain.abs().max() <= 6
    assert gain.abs().max() > 5
    bends = (gain[:, 0].diff(n=2, dim=1).abs() > 1e-4).sum(dim=1)
    assert bends.max() <= 2 * 4  # at most four inner ends of pieces, each bends one or two steps
    assert len(torch.unique(gain[:, 0, 0])) > 400  # another draw for each clip


def test_same_seed_gives_the_same_augmentation():
    def run() -> torch.Tensor:
        torch.manual_seed(5)
        clips = mixup(
            time_shift(some_clips(), deviation_outputs=3.0), [slice(0, CLIPS)], probability=1.0, alpha=1.0
        )
        return filter_augment(frequency_shift(clips.logmel, most_bands=1.0), decibels=3.0)

    assert torch.equal(run(), run())
