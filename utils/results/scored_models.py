"""Models with their scores: alone, in groups that differ only in the seed, and the best of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from utils.results.record_forms import VARIANTS
from utils.results.runs import RunResults
from utils.results.statistics import value_at
from utils.scoring.bootstrap import MEAN_AVERAGE_PRECISION
from utils.scoring.text import interval_name, percent
from utils.workspace.run import Variant

EVENT_F1 = "event/macro/f1"  # the path of the score by which the best model is chosen


@dataclass(frozen=True)
class ScoredModel:
    """A row of the table: a model of a run, and the record with its scores."""

    results: RunResults
    variant: Variant
    record: dict[str, Any]

    @property
    def title(self) -> str:
        return self.title_with(f"seed {self.results.run.seed}")

    def title_with(self, seeds: str) -> str:
        """Return the title with other words in place of the seed."""
        return ", ".join([self.results.title_with(seeds), *self.variant.traits])

    @property
    def scores(self) -> dict[str, Any]:
        """The model's scores, as they stand in the statistics."""
        return self.record[self.variant.scores_key]

    @property
    def without_seed(self) -> tuple[Any, ...]:
        """What is the same in models that differ only in the seed of their training."""
        results, record = self.results, self.record
        run = replace(results.run, seed=0)
        own = (self.variant, record.get("iteration"), self.scores.get("clips"))
        return run, results.features, results.precision, *own

    def score(self, path: str) -> float:
        """Return a score by its path, such as "event/macro/f1"; NaN where there is none."""
        return value_at(self.scores, tuple(path.split("/")))

    def interval(self, path: str) -> tuple[float, float]:
        """Return the ends of a score's interval; NaN where there is none."""
        found = self.scores.get("bootstrap", {}).get("intervals", {}).get(path) or (None, None)
        low, high = (math.nan if end is None else end for end in found)
        return low, high


def scored_models(runs: list[RunResults]) -> list[ScoredModel]:
    """Return the models of the runs that have been validated, in the order of the runs."""
    latest = [(run, variant, run.latest(variant)) for run in runs for variant in VARIANTS]
    return [ScoredModel(run, variant, record) for run, variant, record in latest if record is not None]


@dataclass(frozen=True)
class ModelGroup:
    """Models that differ only in the seed of their training: a row of the table."""

    models: tuple[ScoredModel, ...]

    @property
    def title(self) -> str:
        """The title of a single model; of several, with their number and seeds."""
        return self.models[0].title_with(self.seeds)

    @property
    def seeds(self) -> str:
        """The seed of a single model; of several, their number and seeds."""
        seeds = [str(model.results.run.seed) for model in self.models]
        return f"{len(seeds)} seeds: {', '.join(seeds)}" if len(seeds) > 1 else f"seed {seeds[0]}"

    def values(self, path: str) -> np.ndarray:
        """Return a score of each model that has it."""
        values = np.array([model.score(path) for model in self.models])
        return values[~np.isnan(values)]

    def cell(self, path: str) -> str:
        """Return a score in percent: of a single model, or mean ± standard deviation over the seeds."""
        values = self.values(path)
        if len(values) < 2:
            return percent(values[0] if len(values) else math.nan)
        return f"{percent(values.mean())} ± {percent(values.std(ddof=1))}"

    def ends(self, path: str) -> tuple[str, str] | None:
        """Return the interval of a single model's score in percent; of several, the worst and the best."""
        values = self.values(path)
        if not len(values):
            return None
        low, high = self.models[0].interval(path) if len(self.models) == 1 else (values.min(), values.max())
        return None if math.isnan(low) or math.isnan(high) else (percent(low), percent(high))

    @property
    def ends_name(self) -> str:
        """What `ends` are; empty where there are none."""
        if len(self.models) > 1:
            return "worst to best"
        found = self.models[0].scores.get("bootstrap")
        return interval_name(found["confidence"]) if found else ""


def grouped_by_seed(models: Sequence[ScoredModel]) -> list[ModelGroup]:
    """Return the groups of models that differ only in their seed, in the order of their first ones."""
    groups: dict[tuple[Any, ...], list[ScoredModel]] = {}
    for model in models:
        groups.setdefault(model.without_seed, []).append(model)
    return [ModelGroup(tuple(group)) for group in groups.values()]


def best_first(models: Sequence[ScoredModel]) -> list[ScoredModel]:
    """Return the models by their macro event F1, then mAP, from the highest to the lowest.

    Those that differ only in their seed stand together, in the place of their mean, so that a lucky seed
    alone is not the best. Models that were trained on the validation clips, or scored on a few of them, come
    after all others.
    """

    def rank(group: Sequence[ScoredModel]) -> tuple[bool, bool, float, float]:
        run = group[0].results.run
        means = [
            np.mean([np.nan_to_num(model.score(path)) for model in group])
            for path in (EVENT_F1, MEAN_AVERAGE_PRECISION)
        ]
        return run.holdout_fold != "none", not run.mini_data, *means

    groups = sorted((group.models for group in grouped_by_seed(models)), key=rank, reverse=True)
    return [one for group in groups for one in sorted(group, key=lambda one: rank([one]), reverse=True)]


def best_model(models: Sequence[ScoredModel]) -> ScoredModel:
    """Return the first of the models, as `best_first` orders them."""
    return best_first(models)[0]
