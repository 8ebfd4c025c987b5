"""Targets, batches, and the scalar."""

from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pytorch.data_generator import HeldClips, Standardizer, concatenate, hold, training_batches
from tests.settings_for_tests import SETTINGS
from utils.audio.feature_file import (
    Features,
    Scalar,
    open_features,
    read_features,
    strong_target_of_clip,
    weak_target_of_clip,
    write_features,
)
from utils.audio.origin import Origin, RecordingFile
from utils.audio.scalar import scalar_of_features
from utils.dataset.tables import Clip, Event
from utils.system.errors import SedError, made_by

FEATURES = SETTINGS.features


def some_features(clips: int, strong: bool = True) -> Features:
    """Clips whose log-mel and targets tell which clip they are."""
    logmel = np.arange(clips, dtype=np.float32)[:, None, None] * np.ones((1, 4, 2), np.float32)
    weak = np.arange(clips)[:, None] % 2 == np.arange(2)
    strong_target = np.repeat(weak[:, None], 4, axis=1) if strong else None
    return Features([f"{n}.wav" for n in range(clips)], logmel, weak, strong_target, clips)


CPU = torch.device("cpu")


NO_SCALING = Standardizer(torch.zeros(2), torch.ones(2))


def held_clips(clips: int, standardize: Standardizer = NO_SCALING) -> HeldClips:
    return hold(some_features(clips), standardize, gpu_data_fraction=0.0)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 30), st.integers(1, 12), st.integers(0, 5))
def test_each_pass_sees_every_clip_once(clips, batch_size, seed):
    batches = training_batches(held_clips(clips), batch_size=batch_size, seed=seed)
    per_pass = -(-clips // batch_size)
    for _ in range(3):
        of_pass = list(islice(batches, per_pass))
        names = [name for batch in of_pass for name in batch.names]
        assert sorted(names) == sorted(some_features(clips).names)
        assert all(len(batch.names) == batch_size for batch in of_pass[:-1])


def test_passes_have_different_orders_and_seeds_too():
    def first_names(seed: int, count: int) -> list[list[str]]:
        batches = training_batches(held_clips(20), batch_size=20, seed=seed)
        return [batch.names for batch in islice(batches, count)]

    first, second = first_names(1, 2)
    assert first != second
    assert first_names(1, 2) == [first, second]
    assert first_names(2, 1) != [first]


def test_batch_keeps_features_and_targets_of_a_clip_together():
    batch = next(training_batches(held_clips(20), batch_size=7, seed=0))
    for index, name in enumerate(batch.names):
        number = int(name.removesuffix(".wav"))
        assert (batch.logmel[index] == number).all()
        assert batch.weak_target[index].tolist() == [number % 2 == 0, number % 2 == 1]
        assert (batch.strong_target[index] == batch.weak_target[index]).all()
    assert batch.logmel.dtype == batch.weak_target.dtype == batch.strong_target.dtype == torch.float32


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(1, 7), st.integers(0, 20))
def test_batches_go_on_where_they_stopped(clips, batch_size, seen):
    held = held_clips(clips)
    options = {"batch_size": batch_size, "seed": 3}
    uninterrupted = islice(training_batches(held, **options), seen, seen + 3)
    resumed = islice(training_batches(held, **options, skip=seen), 3)
    assert [batch.names for batch in resumed] == [batch.names for batch in uninterrupted]


def test_batches_are_standardized():
    scalar = Scalar(np.array([1.0, 2.0]), np.array([2.0, 4.0]), "")
    standardize = Standardizer.of(scalar, CPU)
    batch = next(training_batches(held_clips(4, standardize), batch_size=8, seed=0))
    assert sorted(batch.logmel[:, 0, 0].tolist()) == [(n - 1) / 2 for n in range(4)]
    row = batch.logmel[batch.names.index("3.wav"), 0]
    np.testing.assert_allclose(row, [(3 - 1) / 2, (3 - 2) / 4])


def test_subsets_together_have_the_targets_that_both_have():
    both = concatenate([some_features(3, strong=False), some_features(2)])
    assert len(both.names) == len(both.logmel) == len(both.weak_target) == both.clips_listed == 5
    assert both.strong_target is None
    assert concatenate([some_features(3), some_features(2)]).strong_target.shape == (5, 4, 2)


def test_event_is_active_in_both_its_rounded_frames():
    target = strong_target_of_clip([Event(1.0, 2.0, "Dog"), Event(9.9, 10.115, "Cat")], FEATURES)
    assert np.flatnonzero(target[:, 1]).tolist() == list(range(64, 129))
    assert np.flatnonzero(target[:, 2]).tolist() == list(range(634, 640))
    assert target.sum() == 65 + 6


def test_weak_target_has_the_order_of_the_labels():
    target = weak_target_of_clip(frozenset(["Cat", "Speech"]), FEATURES.labels)
    assert np.flatnonzero(target).tolist() == [0, 2]


def origin_of(clips: list[Clip]) -> Origin:
    return Origin.of(FEATURES, clips, [RecordingFile(clip.name, 1, 2) for clip in clips])


def write_some_features(path, clips: list[Clip]) -> np.ndarray:
    generator = np.random.default_rng(0)
    levels = generator.uniform(-80, 0, (len(clips), 1, FEATURES.mel_bins))
    noise = generator.standard_normal((len(clips), FEATURES.clip_frames, FEATURES.mel_bins))
    logmels = (levels + noise).astype(np.float32)
    write_features(
        path,
        clips,
        iter(logmels),
        FEATURES,
        clips_listed=len(clips) + 1,
        origin=origin_of(clips),
        tried="digest",
    )
    return logmels


CLIPS = [Clip("a.wav", frozenset(["Dog"]), (Event(0, 1, "Dog"),)), Clip("b.wav", frozenset(), ())]


def test_features_round_trip(tmp_path):
    logmels = write_some_features(tmp_path / "features.h5", CLIPS)
    features = read_features(tmp_path / "features.h5", FEATURES)
    assert features.names == ["a.wav", "b.wav"]
    assert features.clips_listed == 3
    np.testing.assert_array_equal(features.logmel, logmels)
    assert features.weak_target.sum() == 1
    assert features.strong_target.sum() == 65


def test_subset_without_labels_has_no_targets(tmp_path):
    write_some_features(tmp_path / "features.h5", [Clip("a.wav")])
    features = read_features(tmp_path / "features.h5", FEATURES)
    assert features.weak_target is None
    assert features.strong_target is None


def test_file_that_holds_no_features_is_refused_with_the_remedy(tmp_path):
    (tmp_path / "features.h5").write_text("nothing")
    refusal = r"features\.h5: not a valid feature file: .*; make it with: THE COMMAND"
    with pytest.raises(SedError, match=refusal), made_by("THE COMMAND"):
        read_features(tmp_path / "features.h5", FEATURES)


def test_interrupted_writing_leaves_no_file(tmp_path):
    def broken():
        yield np.zeros((FEATURES.clip_frames, FEATURES.mel_bins), np.float32)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_features(
            tmp_path / "features.h5",
            CLIPS,
            broken(),
            FEATURES,
            clips_listed=2,
            origin=origin_of(CLIPS),
            tried="",
        )
    assert list(tmp_path.iterdir()) == []


def test_scalar_equals_mean_and_deviation_over_all_frames(tmp_path):
    logmels = write_some_features(tmp_path / "features.h5", CLIPS)
    with open_features(tmp_path / "features.h5", FEATURES) as features:
        scalar = scalar_of_features(features.logmel, "digest")
    frames = logmels.astype(np.float64).reshape(-1, FEATURES.mel_bins)
    np.testing.assert_allclose(scalar.mean, frames.mean(axis=0))
    np.testing.assert_allclose(scalar.std, frames.std(axis=0))
