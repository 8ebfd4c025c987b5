"""From feature files to the batches that a model sees: shuffled for training, in order for evaluation."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from pytorch.distributed import ALONE, Ranks
from utils.audio.feature_file import Features, Scalar

ALL_ROWS, NO_ROWS = slice(None), slice(0)
CLIPS_STANDARDIZED_AT_ONCE = 512  # 170 MB in float64


@dataclass(frozen=True)
class ClipCounts:
    """The clips of a batch: those with weak labels for the loss, with strong ones, and all.

    Where several ranks share the batch, these are the counts of the whole batch divided by the number of
    ranks: then the average of the ranks' losses is the loss of the whole batch.
    """

    weak: float
    strong: float
    all: float


@dataclass(frozen=True)
class Batch:
    """Some clips as a model takes them, on the device that computes.

    Attributes
    ----------
    names : list of str, length B
    logmel : Tensor, shape (B, frames, mel_bins), float32
        Standardized by the scalar.
    weak_target : Tensor, shape (W, classes), float32, or None
        Of the clips in `weak_rows`: the W clips whose labels the loss may look at.
    strong_target : Tensor, shape (S, frames, classes), float32, or None
        Of the clips in `strong_rows`: the S clips whose events' times it may look at.
    weak_rows, strong_rows : slice
        Which clips these are; all of them where the batch is of one kind.
    unlabelled_rows : slice
        The clips without annotation, where the batch is mixed of several kinds.
    clips_counted : ClipCounts
        What sums over the batch are divided by.
    """

    names: list[str]
    logmel: Tensor
    weak_target: Tensor | None
    strong_target: Tensor | None
    weak_rows: slice
    strong_rows: slice
    unlabelled_rows: slice
    clips_counted: ClipCounts


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """Return the tensor on the device; from memory to a GPU without waiting for the GPU."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


@dataclass(frozen=True)
class Standardizer:
    """The scalar on the device that computes: mean and deviation, each of shape (mel_bins,), float64, dB."""

    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, scalar: Scalar, device: torch.device) -> Self:
        """Return the standardizer of a scalar."""
        return cls(torch.from_numpy(scalar.mean).to(device), torch.from_numpy(scalar.std).to(device))

    def __call__(self, logmel: Tensor) -> Tensor:
        """Send log-mel features to the device and return (logmel - mean) / std as float32."""
        return ((send(logmel, self.mean.device) - self.mean) / self.std).float()

    def undone(self, standardized: Tensor) -> Tensor:
        """Return the log-mel in dB of which this is the standardized one."""
        return (standardized * self.std + self.mean).float()


@dataclass(frozen=True)
class HeldClips:
    """A subset's features as tensors that batches are gathered from.

    Attributes
    ----------
    names : list of str, length N
    logmel : Tensor, shape (N, frames, mel_bins), float32
        In GPU memory, where it fits there, standardized once; else in dB.
    weak_target : Tensor, shape (N, classes), bool, or None
    strong_target : Tensor, shape (N, frames, classes), bool, or None
    standardize : Standardizer
        What standardizes the log-mel.
    """

    names: list[str]
    logmel: Tensor
    weak_target: Tensor | None
    strong_target: Tensor | None
    standardize: Standardizer

    @property
    def is_standardized(self) -> bool:
        return self.logmel.device.type == "cuda"

    def batch_logmel(self, rows: Tensor) -> Tensor:
        """Return the standardized log-mel of the clips at `rows`, on the device that computes."""
        logmel = self.logmel.index_select(0, rows)
        return logmel if self.is_standardized else self.standardize(logmel)

    def batch_target(self, target: Tensor | None, rows: Tensor) -> Tensor | None:
        """Return one of the targets of the clips at `rows` as float32, on the device that computes."""
        device = self.standardize.mean.device
        return None if target is None else send(target.index_select(0, rows), device).float()


def fits_on_gpu(size: int, device: torch.device, gpu_data_fraction: float) -> bool:
    """Tell whether the device is a GPU, of whose free memory `size` bytes take at most that fraction."""
    return device.type == "cuda" and size <= gpu_data_fraction * torch.cuda.mem_get_info(device)[0]


def hold(features: Features, standardize: Standardizer, gpu_data_fraction: float) -> HeldClips:
    """Return the features as tensors, on a GPU if they take at most that fraction of its free memory."""
    device = standardize.mean.device
    arrays = (features.logmel, features.weak_target, features.strong_target)
    size = sum(array.nbytes for array in arrays if array is not None)
    logmel, *targets = (None if array is None else torch.from_numpy(array) for array in arrays)
    if fits_on_gpu(size, device, gpu_data_fraction):
        # Standardized a few clips at a time, as float64 takes twice the memory.
        logmel = torch.cat([standardize(clips) for clips in logmel.split(CLIPS_STANDARDIZED_AT_ONCE)])
        targets = [None if target is None else target.to(device) for target in targets]
    return HeldClips(features.names, logmel, *targets, standardize)


def gather(clips: HeldClips, indexes: np.ndarray, ranks: Ranks) -> Batch:
    """Return this rank's share of the clips at `indexes` as a batch: every `ranks.count`-th."""
    count = len(indexes) / ranks.count
    indexes = indexes[ranks.rank :: ranks.count]
    rows = send(torch.from_numpy(indexes), clips.logmel.device)
    return Batch(
        [clips.names[index] for index in indexes],
        clips.batch_logmel(rows),
        clips.batch_target(clips.weak_target, rows),
        clips.batch_target(clips.strong_target, rows),
        ALL_ROWS,
        ALL_ROWS,
        NO_ROWS,
        ClipCounts(count, count, count),
    )


def concatenate(parts: list[Features]) -> Features:
    """Return the clips of several subsets as one; it has the targets that all parts have."""
    if len(parts) == 1:
        return parts[0]

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


def shuffled_indexes(clips_num: int, generator: np.random.Generator) -> Iterator[int]:
    """Yield the indexes of clips without end, each pass over them in a new order."""
    while True:
        yield from generator.permutation(clips_num)


def shuffled_batches(clips_num: int, batch_size: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield the indexes of batches without end; the last batch of each pass is smaller where need be."""
    while True:
        order = generator.permutation(clips_num)
        yield from (order[start : start + batch_size] for start in range(0, clips_num, batch_size))


def training_batches(
    clips: HeldClips,
    *,
    batch_size: int,
    seed: int,
    ranks: Ranks = ALONE,
    skip: int = 0,
) -> Iterator[Batch]:
    """Yield shuffled batches without end.

    Each pass over the clips has a new order, and its last batch is smaller where the clips do not fill it.

    Parameters
    ----------
    clips : HeldClips
        The training clips.
    batch_size : int
        Clips in a batch.
    seed : int
        Of the order.
    ranks : Ranks
        This one takes its share of each batch.
    skip : int
        How many batches were seen before.
    """
    drawn = shuffled_batches(len(clips.names), batch_size, np.random.default_rng(seed))
    for indexes in itertools.islice(drawn, skip, None):
        yield gather(clips, indexes, ranks)


@dataclass(frozen=True)
class BatchPart:
    """A part of each mixed batch: where its clips come from, how many they are, and what supervises them.

    Attributes
    ----------
    held : HeldClips
        The clips to draw from.
    clips : int
        How many of them are in a batch.
    annotation : {"weak", "strong", "none"}
        What the loss may look at: clip labels, events with their times, or nothing.
    """

    held: HeldClips
    clips: int
    annotation: str


def mixed_indexes(parts: list[BatchPart], seed: int) -> Iterator[list[np.ndarray]]:
    """Yield the indexes of the clips of each part of a batch, without end."""
    generators = np.random.default_rng(seed).spawn(len(parts))
    orders = [
        shuffled_indexes(len(part.held.names), generator)
        for part, generator in zip(parts, generators, strict=True)
    ]
    while True:
        yield [
            np.array(list(itertools.islice(order, part.clips)))
            for part, order in zip(parts, orders, strict=True)
        ]


def mixed_batches(
    parts: list[BatchPart],
    *,
    seed: int,
    ranks: Ranks = ALONE,
    skip: int = 0,
) -> Iterator[Batch]:
    """Yield batches without end that all have the same number of clips of each part, in the parts' order.

    Each part is shuffled on its own and starts over when it is used up, in the middle of a batch too.

    Parameters
    ----------
    parts : list of BatchPart
        At most one of them with weak and one with strong annotation.
    seed : int
        Of the orders.
    ranks : Ranks
        This one takes its share of each part.
    skip : int
        How many batches were seen before.
    """
    for indexes in itertools.islice(mixed_indexes(parts, seed), skip, None):
        drawn = [gather(part.held, of_part, ranks) for part, of_part in zip(parts, indexes, strict=True)]
        yield join_batches(drawn, [part.annotation for part in parts])


def join_batches(batches: list[Batch], annotations: list[str]) -> Batch:
    """Return the clips of several batches, each of another annotation, as one with the targets of all."""
    ends = np.cumsum([len(batch.names) for batch in batches]).tolist()
    rows = {
        annotation: slice(end - len(batch.names), end)
        for annotation, batch, end in zip(annotations, batches, ends, strict=True)
    }
    of_annotation = dict(zip(annotations, batches, strict=True))
    counts = {annotation: batch.clips_counted.all for annotation, batch in of_annotation.items()}
    return Batch(
        [name for batch in batches for name in batch.names],
        torch.cat([batch.logmel for batch in batches]),
        of_annotation["weak"].weak_target if "weak" in rows else None,
        of_annotation["strong"].strong_target if "strong" in rows else None,
        rows.get("weak", NO_ROWS),
        rows.get("strong", NO_ROWS),
        rows.get("none", NO_ROWS),
        ClipCounts(counts.get("weak", 0), counts.get("strong", 0), sum(counts.values())),
    )
