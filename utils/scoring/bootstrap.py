"""Intervals of scores: the scores of clips drawn anew, as many and with replacement."""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from utils.dataset.tables import Clip
from utils.scoring.sed_eval_scores import DetectionScores
from utils.settings.groups import ScoringSettings
from utils.system.errors import MissingInputError, SedError
from utils.system.files import written_whole

DECIMALS = 6  # of resampled scores in a file
F1_AVERAGES = ("macro", "micro")
MEAN_AVERAGE_PRECISION, PSDS = "mean_average_precision", ("psds/psds1", "psds/psds2")  # as in statistics


def resample_clips(clips: int, scoring: ScoringSettings) -> np.ndarray:
    """Draw as many clips as there are, with replacement, again and again.

    Returns
    -------
    np.ndarray, shape (resamples, clips), float
        How often each clip is drawn: the same in every call for so many clips, so that two systems can be
        compared on the same draws.
    """
    generator = np.random.default_rng(scoring.bootstrap_seed)
    drawn = generator.multinomial(clips, np.full(clips, 1 / clips), size=scoring.bootstrap_resamples)
    return drawn.astype(float)


def f1_scores(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute F1 from counts: the mean over the classes with a reference, and of all classes together.

    Parameters
    ----------
    counts : np.ndarray, shape (..., classes, 3)
        True positives, predicted and reference events or segments.

    Returns
    -------
    macro, micro : np.ndarray, shape (...)
        NaN where there is no reference.
    """

    def f1(of_counts: np.ndarray) -> np.ndarray:
        true_positives, predicted, reference = np.moveaxis(of_counts, -1, 0)
        return np.where(reference > 0, 2 * true_positives / np.maximum(predicted + reference, 1), math.nan)

    return mean_over_classes(f1(counts)), f1(counts.sum(axis=-2))


def mean_over_classes(classwise: np.ndarray) -> np.ndarray:
    """Average the scores (..., classes) of those classes that have one; NaN where none has."""
    scored = (~np.isnan(classwise)).sum(axis=-1)
    return np.where(scored > 0, np.nansum(classwise, axis=-1) / np.maximum(scored, 1), math.nan)


def resample_f1(counts: np.ndarray, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute macro and micro F1 of each draw, shape (resamples,).

    Parameters
    ----------
    counts : np.ndarray, shape (clips, classes, 3)
        See `DetectionScores.counts`.
    draws : np.ndarray, shape (resamples, clips)
        See `resample_clips`.
    """
    clips, classes, kinds = counts.shape
    return f1_scores((draws @ counts.reshape(clips, -1)).reshape(len(draws), classes, kinds))


def resample_mean_average_precision(
    target: np.ndarray, probability: np.ndarray, draws: np.ndarray
) -> np.ndarray:
    """Compute the mAP of each draw, shape (resamples,), over the classes that some drawn clip has.

    From the most probable clip down, the average precision sums the precision times what each clip adds to
    the recall, where clips of equal probability count as one step.

    Parameters
    ----------
    target : np.ndarray, shape (clips, classes), bool
    probability : np.ndarray, shape (clips, classes)
    draws : np.ndarray, shape (resamples, clips)
        See `resample_clips`.
    """
    classwise = np.full((len(draws), target.shape[1]), math.nan)
    for label in range(target.shape[1]):
        order = np.argsort(-probability[:, label], kind="stable")
        ends_step = np.append(np.diff(probability[order, label]) != 0, True)
        drawn = draws[:, order]
        retrieved = drawn.cumsum(axis=1)[:, ends_step]
        found = (drawn * target[order, label]).cumsum(axis=1)[:, ends_step]
        gained = np.diff(found, axis=1, prepend=0)
        total = (gained * found / np.maximum(retrieved, 1)).sum(axis=1)
        np.divide(total, found[:, -1], out=classwise[:, label], where=found[:, -1] > 0)
    return mean_over_classes(classwise)


@dataclass(frozen=True)
class Resampled:
    """A score of all clips, and that of each draw, shape (resamples,)."""

    score: float
    draws: np.ndarray

    def __sub__(self, other: Self) -> Self:
        return type(self)(self.score - other.score, self.draws - other.draws)

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return the ends of the middle `confidence` of the draws, which are centred at the score.

        Some scores are lower the fewer different clips there are: PSDS, which subtracts the deviation of the
        classes, and the mean over rare classes. A draw holds about 63 % of the clips, so its scores are lower
        for that reason alone; centred at the score, they show how scores of other clips of the same number
        spread. NaN where the score is not defined.
        """
        draws = self.draws[~np.isnan(self.draws)]
        if math.isnan(self.score) or not len(draws):
            return math.nan, math.nan
        low, high = (
            np.quantile(draws, [(1 - confidence) / 2, (1 + confidence) / 2]) - draws.mean() + self.score
        )
        return float(low), float(high)


def mean_of(scores: Sequence[Resampled]) -> Resampled:
    """Return the mean of the scores, also in each draw."""
    return Resampled(
        float(np.mean([one.score for one in scores])), np.mean([one.draws for one in scores], axis=0)
    )


def fingerprint(clips: Sequence[Clip]) -> str:
    """Return a digest of clips and their annotation."""
    rows = [[clip.name, sorted((e.onset, e.offset, e.label) for e in clip.events or ())] for clip in clips]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


@dataclass(frozen=True)
class ResampledScores:
    """The scores of a model on the validation clips, and on each draw of them.

    Attributes
    ----------
    training_id : str
        Of the training, see `utils.results.statistics.RunSettings`.
    clips : str
        The `fingerprint` of the clips.
    scoring : ScoringSettings
        With the tolerances, and how the clips were drawn.
    scores : dict of str to Resampled
        By path in the statistics, such as "event/macro/f1".
    """

    training_id: str
    clips: str
    scoring: ScoringSettings
    scores: dict[str, Resampled]

    def psds_to_json(self) -> dict[str, Any]:
        """Return PSDS1 and PSDS2, where they were computed, for a line of statistics."""
        of_psds = {Path(path).name: self.scores[path].score for path in PSDS if path in self.scores}
        return {"psds": of_psds} if of_psds else {}

    def to_json(self) -> dict[str, Any]:
        """Return the intervals of the scores, and how they were found, for a line of statistics."""
        confidence = self.scoring.bootstrap_confidence
        ends = {path: np.clip(score.interval(confidence), 0, 1) for path, score in self.scores.items()}
        return {
            "confidence": confidence,
            "resamples": self.scoring.bootstrap_resamples,
            "seed": self.scoring.bootstrap_seed,
            "intervals": {path: of_path.tolist() for path, of_path in ends.items()},
        }

    def write(self, path: Path) -> None:
        """Write all scores, to compare them with those of another model."""
        content = {
            "training_id": self.training_id,
            "clips": self.clips,
            "scoring": asdict(self.scoring),
            "scores": {key: listed([one.score, *one.draws.tolist()]) for key, one in self.scores.items()},
        }
        with written_whole(path) as unfinished:
            unfinished.write_text(json.dumps(content), encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` has written.

        Raises
        ------
        MissingInputError
            If there is no such file, or it is not valid.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            scoring = ScoringSettings.of(content["scoring"], "scoring")
            values = {key: np.array(row, float) for key, row in content["scores"].items()}
            if any(of_key.shape != (1 + scoring.bootstrap_resamples,) for of_key in values.values()):
                raise ValueError(f"there must be {scoring.bootstrap_resamples} draws")
            scores = {key: Resampled(float(of_key[0]), of_key[1:]) for key, of_key in values.items()}
            return cls(str(content["training_id"]), str(content["clips"]), scoring, scores)
        except FileNotFoundError:
            raise MissingInputError(path, "there is no such file") from None
        except (OSError, ValueError, LookupError, TypeError, AttributeError, SedError) as error:
            raise MissingInputError(path, f"not valid resampled scores: {error}") from error


def listed(values: list[float]) -> list[float | None]:
    """Return scores for JSON, which has no NaN."""
    return [None if math.isnan(value) else round(value, DECIMALS) for value in values]


def resample_detection(scores: DetectionScores, draws: np.ndarray) -> dict[str, Resampled]:
    """Return macro and micro F1 of events and segments by path, of all clips and of each draw."""
    return {
        f"{name}/{average}/f1": Resampled(getattr(metric, average).f1, of_draws)
        for name, metric in scores.metrics.items()
        for average, of_draws in zip(F1_AVERAGES, resample_f1(scores.counts[name], draws), strict=True)
    }
