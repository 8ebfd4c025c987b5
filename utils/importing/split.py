"""Chooses the recordings to validate on."""

from collections.abc import Sequence

import numpy as np

SPLITS_TRIED = 20


def choose_validation(counts: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Split recordings in two, so that both parts have their fraction of each class.

    Of several splits by `stratify`, the one is taken that leaves out fewest classes of a part, and that is
    closest to the fraction.

    Parameters
    ----------
    counts : np.ndarray, shape (recordings, classes)
        How many events of each class a recording has; its clips without events can be a class too.
    fraction : float
        Of the events, to validate on.
    seed : int

    Returns
    -------
    np.ndarray, shape (recordings,), bool
        Which recordings are to validate on.
    """
    occurring = counts[:, counts.sum(axis=0) > 0].astype(np.float64)
    generator = np.random.default_rng(seed)
    splits = [stratify(occurring, fraction, generator) for _ in range(SPLITS_TRIED)]

    def cost(is_validation: np.ndarray) -> tuple[int, float]:
        validated = occurring[is_validation].sum(axis=0) / occurring.sum(axis=0)
        return int((validated == 0).sum() + (validated == 1).sum()), float(np.abs(validated - fraction).sum())

    return min(splits, key=cost)


def stratify(counts: np.ndarray, fraction: float, generator: np.random.Generator) -> np.ndarray:
    """Return one split of `choose_validation`, by iterative stratification.

    After K. Sechidis, G. Tsoumakas, I. Vlahavas, *On the stratification of multi-label data*, ECML PKDD 2011:
    the class with the fewest recordings left is divided first, and each of its recordings goes where most of
    the class is still wanted, relative to what that part shall have.
    """
    parts = np.array([1 - fraction, fraction])  # training, validation
    wanted = parts[:, None] * counts.sum(axis=0)
    order = generator.permutation(len(counts))
    part_of = np.zeros(len(counts), dtype=int)
    left = np.ones(len(counts), dtype=bool)
    while (counts[left] > 0).any():
        with_class = (counts > 0) & left[:, None]
        recordings = with_class.sum(axis=0)
        rarest = int(np.argmin(np.where(recordings > 0, recordings, len(counts) + 1)))
        for index in order[with_class[order, rarest]]:
            training, validation = np.round(wanted[:, rarest] / parts, 9)  # so that rounding decides no tie
            part = validation > training or (validation == training and generator.random() < fraction)
            part_of[index] = part
            wanted[int(part)] -= counts[index]
            left[index] = False
    return part_of == 1


def keep_some(indexes: Sequence[int], fraction: float, seed: int) -> set[int]:
    """Return a random fraction of the indexes, at least one where there are any and the fraction is not 0."""
    count = min(len(indexes), int(np.ceil(fraction * len(indexes))))
    return set(np.random.default_rng(seed).permutation(list(indexes))[:count].tolist()) if count else set()
