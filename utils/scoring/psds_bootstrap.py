"""PSDS of clips drawn anew, from what each threshold finds in each clip.

sed_scores_eval 0.0.4 has a bootstrap of its own, which leaves out a fifth of the clips at a time: such scores
spread far less than those of clips drawn anew.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from utils.dataset.tables import Clip
from utils.scoring.bootstrap import Resampled
from utils.scoring.psds import ClipScores, Intersections, intersect, psds, psds_scenarios
from utils.settings.groups import ScoringSettings

SECONDS_PER_HOUR = 3600
BLOCK = 256  # changes; a curve is computed up to the last block that can lie within its false positive rate


@dataclass(frozen=True)
class ClassChanges:
    """What changes for a class at each score of each clip when the threshold falls below it, highest first.

    Attributes
    ----------
    clip : np.ndarray, shape (changes,), int
        Index of the clip.
    is_last : np.ndarray, shape (changes,), bool
        Whether all changes at the same score have come.
    true_positives, false_positives : np.ndarray, shape (changes,)
    cross_triggers : np.ndarray, shape (changes, classes)
        False positives in events of each class; 0 for the class itself.
    fewest_false_positives : np.ndarray, shape (clips, blocks)
        Of each clip, at any score in a block of changes.
    """

    clip: np.ndarray
    is_last: np.ndarray
    true_positives: np.ndarray
    false_positives: np.ndarray
    cross_triggers: np.ndarray
    fewest_false_positives: np.ndarray

    @classmethod
    def of(cls, intersections: Intersections, label: str) -> Self:
        """Sort the changes of all clips."""
        of_clips = [intersections.deltas[name][label] for name in intersections.durations]
        scores = np.concatenate([scores for scores, _ in of_clips])
        clip = np.repeat(np.arange(len(of_clips)), [len(scores) for scores, _ in of_clips])

        def changes(name: str) -> np.ndarray:
            nothing = (np.zeros(len(scores)) for scores, _ in of_clips)
            return np.concatenate(
                [deltas.get(name, zeros) for (_, deltas), zeros in zip(of_clips, nothing, strict=True)]
            ).astype(float)

        kinds = ["tps", "fps", *(f"cts\\{other}" for other in intersections.labels)]
        counted = np.stack([changes(name) for name in kinds], axis=1)
        order = np.argsort(-scores, kind="stable")
        order = order[counted[order].any(axis=1)]
        scores, clip, counted = scores[order], clip[order], np.ascontiguousarray(counted[order].T)
        is_last = np.append(scores[1:] != scores[:-1], True)[: len(scores)]
        fewest = fewest_in_blocks(clip, counted[1], len(of_clips))
        return cls(clip, is_last, counted[0], counted[1], np.ascontiguousarray(counted[2:].T), fewest)

    def changes_needed(self, draws: np.ndarray, most_false_positives: np.ndarray) -> np.ndarray:
        """Return after how many changes there are more false positives than `most_false_positives`.

        Parameters
        ----------
        draws : np.ndarray, shape (resamples, clips)
        most_false_positives, returned value : np.ndarray, shape (resamples,)
        """
        may_count = draws @ self.fewest_false_positives <= most_false_positives[:, None] * (1 + 1e-9)
        blocks = np.arange(1, may_count.shape[1] + 1)
        return BLOCK * (may_count * blocks).max(axis=1, initial=0)


def fewest_in_blocks(clip: np.ndarray, changes: np.ndarray, clips: int) -> np.ndarray:
    """Return the smallest count of each clip in each block of changes, shape (clips, blocks).

    Parameters
    ----------
    clip : np.ndarray, shape (changes,), int
        Index of the clip whose count changes.
    changes : np.ndarray, shape (changes,)
        By how much.
    clips : int
    """
    block = np.arange(len(clip)) // BLOCK
    in_block = np.zeros((clips, -(-len(clip) // BLOCK)))
    np.add.at(in_block, (clip, block), changes)
    fewest = np.cumsum(in_block, axis=1) - in_block  # before the block
    by_clip = np.argsort(clip, kind="stable")
    counts = np.cumsum(changes[by_clip])
    first = np.searchsorted(clip[by_clip], clip[by_clip])
    counts -= counts[first] - changes[by_clip][first]
    np.minimum.at(fewest, (clip[by_clip], block[by_clip]), counts)
    return fewest


@dataclass(frozen=True)
class Resampler:
    """Computes the PSDS of clips that count several times or not at all.

    Attributes
    ----------
    changes : list of ClassChanges
        Of each class with reference events.
    reference_events, reference_seconds : np.ndarray, shape (clips, classes)
    durations : np.ndarray, shape (clips,)
        In s.
    cross_trigger_cost, instability_cost, max_false_positive_rate : float
        See `PsdsScenario` and `psds`; the rate is per hour.
    """

    changes: list[ClassChanges]
    reference_events: np.ndarray
    reference_seconds: np.ndarray
    durations: np.ndarray
    cross_trigger_cost: float
    instability_cost: float
    max_false_positive_rate: float

    @classmethod
    def of(cls, intersections: Intersections, scoring: ScoringSettings) -> Self:
        """Count what there is to be found, and sort what thresholds find."""
        labels, names = intersections.labels, list(intersections.durations)
        events, seconds = np.zeros((2, len(names), len(labels)))
        for index, name in enumerate(names):
            for onset, offset, label in intersections.events[name]:
                events[index, labels.index(label)] += 1
                seconds[index, labels.index(label)] += offset - onset
        return cls(
            [ClassChanges.of(intersections, label) for label in labels],
            events,
            seconds,
            np.array([intersections.durations[name] for name in names]),
            intersections.scenario.cross_trigger_cost if intersections.has_cross_triggers else 0.0,
            scoring.psds_instability_cost,
            scoring.psds_max_false_positive_rate,
        )

    def curve(
        self,
        of_class: ClassChanges,
        weights: np.ndarray,
        events: float,
        cross_trigger_costs: np.ndarray,
        changes: int,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the false positive rates (1 / h), ascending from 0, and the best true positive rates there.

        Parameters
        ----------
        of_class : ClassChanges
        weights : np.ndarray, shape (clips,)
            How often each clip counts.
        events : float
            Of the class in the reference.
        cross_trigger_costs : np.ndarray, shape (classes,)
            What a cross trigger with a class adds to the false positive rate.
        changes : int
            After how many changes there certainly are too many false positives.
        """
        weight, is_last = weights[of_class.clip[:changes]], of_class.is_last[:changes]
        cost = of_class.false_positives[:changes] / float(self.durations @ weights)
        if cross_trigger_costs.any():
            cost += of_class.cross_triggers[:changes] @ cross_trigger_costs
        rate = SECONDS_PER_HOUR * np.cumsum(weight * cost)[is_last]
        found = np.cumsum(weight * of_class.true_positives[:changes])[is_last] / events
        counts = rate <= self.max_false_positive_rate
        rate, found = np.append(0.0, rate[counts]), np.append(0.0, found[counts])
        order = np.argsort(rate, kind="stable")
        return rate[order], np.maximum.accumulate(found[order])

    def psds(self, draws: np.ndarray) -> np.ndarray:
        """Compute PSDS where each clip counts so often; NaN without reference events.

        A class without reference events in these clips is left out, as in `psds`.

        Parameters
        ----------
        draws : np.ndarray, shape (resamples, clips)

        Returns
        -------
        np.ndarray, shape (resamples,)
        """
        most = self.max_false_positive_rate * (draws @ self.durations) / SECONDS_PER_HOUR
        needed = np.stack([of_class.changes_needed(draws, most) for of_class in self.changes], axis=1)
        return np.array([self.psds_of_draw(*row) for row in zip(draws, needed, strict=True)])

    def psds_of_draw(self, weights: np.ndarray, changes_needed: np.ndarray) -> float:
        """Compute the PSDS of one draw; `changes_needed` has shape (classes,)."""
        events, seconds = weights @ self.reference_events, weights @ self.reference_seconds
        present = np.flatnonzero(events)
        if not len(present):
            return math.nan
        costs = np.zeros(len(events))
        if len(present) > 1:
            costs[present] = self.cross_trigger_cost / seconds[present] / (len(present) - 1)
        curves = [
            self.curve(self.changes[index], weights, events[index], costs, changes_needed[index])
            for index in present
        ]
        rates = np.unique(np.concatenate([rate for rate, _ in curves]))
        found = [best[np.searchsorted(rate, rates, side="right") - 1] for rate, best in curves]
        effective = np.mean(found, axis=0) - self.instability_cost * np.std(found, axis=0)
        widths = np.diff(np.append(rates, self.max_false_positive_rate))
        return float(np.maximum(effective, 0) @ widths / self.max_false_positive_rate)


def resample_psds(
    intersections: Intersections | None, draws: np.ndarray, scoring: ScoringSettings
) -> np.ndarray:
    """Compute the PSDS of each draw, shape (resamples,).

    Parameters
    ----------
    intersections : Intersections or None
        Of all clips, see `utils.scoring.psds.intersect`.
    draws : np.ndarray, shape (resamples, clips)
        How often each clip is drawn, in the order in which the clips were given.
    scoring : ScoringSettings
    """
    if intersections is None:
        return np.full(len(draws), math.nan)
    return Resampler.of(intersections, scoring).psds(draws)


def score_and_resample_psds(
    reference: Sequence[Clip],
    scores: Sequence[ClipScores],
    *,
    labels: Sequence[str],
    scoring: ScoringSettings,
    durations: Sequence[float],
    draws: np.ndarray,
) -> dict[str, Resampled]:
    """Return PSDS1 and PSDS2 by path in the statistics, of all clips and of each draw.

    The parameters and errors are those of `utils.scoring.psds.intersect` and `resample_psds`.
    """
    found = {}
    for name, scenario in psds_scenarios(scoring).items():
        intersections = intersect(reference, scores, scenario, labels=labels, durations=durations)
        score = psds(
            intersections,
            instability_cost=scoring.psds_instability_cost,
            max_false_positive_rate=scoring.psds_max_false_positive_rate,
        )
        found[f"psds/{name}"] = Resampled(score, resample_psds(intersections, draws, scoring))
    return found
