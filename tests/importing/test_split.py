"""The split into training and validation: both have each class, and recordings are not torn apart."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from utils.importing.split import choose_validation, keep_some


@settings(max_examples=100, deadline=None)
@given(
    st.integers(2, 40).flatmap(
        lambda recordings: st.lists(st.integers(0, 6), min_size=recordings, max_size=recordings)
    ),
    st.integers(0, 5),
)
def test_class_of_two_recordings_or_more_is_in_both_parts(counts, seed):
    """With one class nothing stands in the way."""
    counts = np.array(counts)[:, None]
    is_validation = choose_validation(counts, 0.2, seed)
    with_events = counts[:, 0] > 0
    if with_events.sum() >= 2:
        assert 0 < (is_validation & with_events).sum() < with_events.sum()
    assert not is_validation[~with_events].any(), "recordings without anything to divide are trained on"


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5])
def test_parts_have_their_fraction_of_each_class(fraction):
    generator = np.random.default_rng(3)
    counts = generator.poisson(1.0, (200, 8)) * (generator.random((200, 8)) < 0.4)
    validated = counts[choose_validation(counts, fraction, 1)].sum(axis=0) / counts.sum(axis=0)
    np.testing.assert_allclose(validated, fraction, atol=0.03)


def test_class_of_one_recording_is_trained_on():
    counts = np.array([[1, 1], [1, 0], [1, 0], [1, 0], [1, 0]])
    assert not choose_validation(counts, 0.2, 0)[0]


def test_same_seed_splits_alike_and_others_otherwise():
    counts = np.ones((50, 1), int)
    splits = [tuple(choose_validation(counts, 0.2, seed)) for seed in (1, 1, 2, 3)]
    assert splits[0] == splits[1]
    assert len(set(splits)) == 3
    assert all(sum(split) == 10 for split in splits)


def test_kept_fraction_is_of_all_and_none_only_for_none():
    assert keep_some(range(10), 1.0, 0) == set(range(10))
    assert len(keep_some(range(10), 0.25, 0)) == 3
    assert keep_some(range(10), 0.0, 0) == set()
    assert keep_some([], 0.5, 0) == set()
