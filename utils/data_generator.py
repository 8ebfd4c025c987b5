"""From feature files to the batches that a model sees: shuffled for training, in order for evaluation."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from utils.feature_file import Features, Scalar


@dataclass(frozen=True)
class Batch:
    """Some clips as a model takes them.

    Attributes
    ----------
    names : list of str, length B
    logmel : np.ndarray, shape (B, frames, mel_bins), float32
        Standardized by the scalar.
    weak_target : np.ndarray, shape (B, classes), float32, or None
    strong_target : np.ndarray, shape (B, frames, classes), float32, or None
    """

    names: list[str]
    logmel: np.ndarray
    weak_target: np.ndarray | None
    strong_target: np.ndarray | None


def make_batch(features: Features, scalar: Scalar, indexes: np.ndarray) -> Batch:
    """Return the clips at `indexes` as a batch."""

    def floats(target: np.ndarray | None) -> np.ndarray | None:
        return None if target is None else target[indexes].astype(np.float32)

    return Batch(
        [features.names[index] for index in indexes],
        scalar.standardize(features.logmel[indexes]),
        floats(features.weak_target),
        floats(features.strong_target),
    )


def concatenate(parts: list[Features]) -> Features:
    """Return the clips of several subsets as one; it has the targets that all parts have."""

    def join(targets: list[np.ndarray | None]) -> np.ndarray | None:
        there = [target for target in targets if target is not None]
        return np.concatenate(there) if len(there) == len(targets) else None

    return Features(
        [name for part in parts for name in part.names],
        np.concatenate([part.logmel for part in parts]),
        join([part.weak_target for part in parts]),
        join([part.strong_target for part in parts]),
        sum(part.clips_listed for part in parts),
    )


def training_batches(features: Features, scalar: Scalar, *, batch_size: int, seed: int) -> Iterator[Batch]:
    """Yield shuffled batches without end.

    Each pass over the clips has a new order, and its last batch is smaller where the clips do not fill it.

    Parameters
    ----------
    features : Features
        The training clips.
    scalar : Scalar
        What standardizes them.
    batch_size : int
        Clips in a batch.
    seed : int
        Of the order.
    """
    generator = np.random.default_rng(seed)
    while True:
        order = generator.permutation(len(features.names))
        for start in range(0, len(order), batch_size):
            yield make_batch(features, scalar, order[start : start + batch_size])


def evaluation_batches(features: Features, scalar: Scalar, *, batch_size: int) -> Iterator[Batch]:
    """Yield all clips once, in their order."""
    for start in range(0, len(features.names), batch_size):
        stop = min(start + batch_size, len(features.names))
        yield make_batch(features, scalar, np.arange(start, stop))
