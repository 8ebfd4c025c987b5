"""The clips that a run trains on, and the batches that it draws of them."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from pytorch.data_generator import (
    Batch,
    BatchPart,
    Standardizer,
    concatenate,
    hold,
    mixed_batches,
    training_batches,
)
from pytorch.distributed import Ranks
from pytorch.losses import LOSSES
from utils.audio.feature_file import Features
from utils.audio.inputs import load_features
from utils.dataset.subsets import SUBSETS, SYNTHETIC
from utils.settings.groups import Settings
from utils.workspace.paths import Workspace
from utils.workspace.run import Run


def load_training_subsets(
    workspace: Workspace, dataset_dir: Path, run: Run, settings: Settings, validation: Features
) -> dict[str, Features]:
    """Read the features of the subsets that a run trains on.

    Where the run holds nothing out, the validation clips join the subset that is annotated most like them.
    """
    subsets = {name: load_features(workspace, dataset_dir, name, settings) for name in run.data_types}
    if run.holdout_fold == "none":
        host = SYNTHETIC if SYNTHETIC in subsets else run.data_types[0]
        subsets[host] = concatenate([subsets[host], validation])
    return subsets


def evenly_chosen(clips_num: int, count: int) -> np.ndarray:
    """Return ascending indexes of at most `count` clips, always the same ones, evenly spread over all."""
    return np.arange(clips_num) if clips_num <= count else np.arange(count) * clips_num // count


def labelled_sample(subsets: dict[str, Features], count: int) -> Features:
    """Return at most `count` of those clips whose labels are known, evenly spread over all of them."""
    labelled = [features for features in subsets.values() if features.weak_target is not None]
    chosen = evenly_chosen(sum(len(features.names) for features in labelled), count)
    parts, first = [], 0
    for features in labelled:
        after = first + len(features.names)
        rows = chosen[(first <= chosen) & (chosen < after)] - first
        names = [features.names[row] for row in rows]
        parts.append(Features(names, features.logmel[rows], features.weak_target[rows], None, len(rows)))
        first = after
    return concatenate(parts)


def recipe_fractions(names: Iterable[str]) -> dict[str, float]:
    """Return the fraction of a batch of the recipe that is drawn from each subset, in the order given.

    Half of it are clips with events, where there are others too: they alone teach times.
    """
    is_strong = {name: SUBSETS[name].annotation == "strong" for name in names}
    kinds = len(set(is_strong.values()))
    alike = Counter(is_strong.values())
    return {name: 1 / kinds / alike[strong] for name, strong in is_strong.items()}


def batches_of(
    run: Run,
    subsets: dict[str, Features],
    standardize: Standardizer,
    *,
    gpu_data_fraction: float,
    ranks: Ranks,
    skip: int,
) -> Iterator[Batch]:
    """Yield this rank's share of the batches of a run without end, mixed as its loss needs them.

    The first `skip` batches are left out, as the run has seen them before.
    """
    order = {"seed": run.seed, "ranks": ranks, "skip": skip}
    loss = LOSSES[run.loss_type]
    fractions = loss.batch_fractions
    if loss.is_recipe:
        fractions = recipe_fractions(subsets)
    if fractions is None:
        clips = hold(concatenate(list(subsets.values())), standardize, gpu_data_fraction)
        return training_batches(clips, batch_size=run.batch_size, **order)
    parts = [
        BatchPart(hold(subsets[name], standardize, gpu_data_fraction), clips, SUBSETS[name].annotation)
        for name, clips in part_sizes(fractions, run.batch_size).items()
    ]
    return mixed_batches(parts, **order)


def part_sizes(fractions: dict[str, float], batch_size: int) -> dict[str, int]:
    """Return the clips of a batch that are drawn from each subset; they add up to the batch's size."""
    ends = [round(end * batch_size) for end in itertools.accumulate(fractions.values())]
    return {name: after - first for name, first, after in zip(fractions, [0, *ends], ends, strict=False)}


def describe_count(features: Features) -> str:
    """Return how many clips there are, and how many are missing."""
    found, listed = len(features.names), features.clips_listed
    if found == listed:
        return f"{found}"
    return f"{found} of {listed} ({listed - found} recordings are missing or unreadable)"


def describe_counts(subsets: dict[str, Features]) -> str:
    """Return how many clips there are of each subset."""
    return ", ".join(f"{describe_count(features)} of {name}" for name, features in subsets.items())
