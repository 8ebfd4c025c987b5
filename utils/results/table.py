"""The results table: the scores of a workspace's models, and the published scores beside them."""

from collections.abc import Sequence
from dataclasses import dataclass

from utils.dataset.subsets import SUBSETS, VALIDATION, read_challenge_labels
from utils.results.published import PUBLISHED_COLUMNS, read_published_results
from utils.results.runs import RunResults
from utils.results.scored_models import ModelGroup, ScoredModel, grouped_by_seed, scored_models
from utils.scoring.bootstrap import F1_AVERAGES, MEAN_AVERAGE_PRECISION, PSDS
from utils.scoring.sed_eval_scores import segment_key
from utils.scoring.text import score_name
from utils.settings.groups import ScoringSettings
from utils.workspace.run import UNTUNED_STUDENT


def score_paths(segment_lengths: Sequence[float], *, with_psds: bool) -> dict[str, str]:
    """Return the paths of the scores in the statistics, by the names of their columns."""
    metrics = ["event", *(f"segment/{segment_key(seconds)}" for seconds in segment_lengths)]
    f1 = [f"{metric}/{average}/f1" for metric in metrics for average in F1_AVERAGES]
    paths = [MEAN_AVERAGE_PRECISION, *f1, *(PSDS if with_psds else ())]
    return {score_name(path): path for path in paths}


def is_challenge_data(runs: list[RunResults]) -> bool:
    """Tell whether the runs are on the challenge's data, by its labels and the number of validation clips."""
    records = [run.latest(UNTUNED_STUDENT) for run in runs]
    listed = {record[UNTUNED_STUDENT.scores_key]["clips_listed"] for record in records if record}
    labels = {run.features.labels for run in runs}
    return labels == {tuple(read_challenge_labels())} and listed == {SUBSETS[VALIDATION].clips}


@dataclass(frozen=True)
class ResultRow:
    """A row of the results table.

    Attributes
    ----------
    numbers : list of int
        Of its runs among all of the workspace, from 1; none in a row of published scores.
    cells : list of str
        By the columns of the table, the title first.
    ends : dict of str to tuple of str
        The two ends of an interval, or the worst and the best seed, by the columns that have them.
    ends_name : str
        What these are; empty where there are none.
    models : tuple of ScoredModel
        Those that share the row; none in a row of published scores.
    """

    numbers: list[int]
    cells: list[str]
    ends: dict[str, tuple[str, str]]
    ends_name: str
    models: tuple[ScoredModel, ...] = ()


def described_numbers(numbers: Sequence[int]) -> str:
    """Return ascending numbers as text, such as `3` or `1-3` or `1,4`."""
    first, last = numbers[0], numbers[-1]
    if len(numbers) > 1 and last - first == len(numbers) - 1:
        return f"{first}-{last}"
    return ",".join(map(str, numbers))


def results_table(
    runs: list[RunResults], scoring: ScoringSettings, *, single_runs: bool
) -> tuple[list[str], list[ResultRow]]:
    """Return the header and the rows of the results table, of all models that have been validated.

    Runs that differ only in their seed share a row, unless `single_runs`. On the challenge's data the
    published results stand beside: in the rows that repeat them, or in a row of their own where there is
    none. PSDS has columns where it was computed for some run.
    """
    models = scored_models(runs)
    published = read_published_results() if is_challenge_data(runs) else ()
    paths = score_paths(scoring.segment_lengths, with_psds=any("psds" in model.scores for model in models))
    header = ["training", "iteration", "clips", *paths]
    rows = []
    for group in [ModelGroup((model,)) for model in models] if single_runs else grouped_by_seed(models):
        first = group.models[0]
        matching = [result for result in published if result.is_of(first.results.run)]
        beside = matching[0].cells() if matching else ["-"] * len(PUBLISHED_COLUMNS)
        own = [group.title, str(first.record["iteration"]), str(first.scores["clips"])]
        cells = own + [group.cell(path) for path in paths.values()] + beside * bool(published)
        ends = {column: ends for column, path in paths.items() if (ends := group.ends(path))}
        numbers = [runs.index(model.results) + 1 for model in group.models]
        rows.append(ResultRow(numbers, cells, ends, group.ends_name, group.models))
    for result in published:
        if not any(result.is_of(run.run) for run in runs):
            cells = [result.system, *["-"] * (len(header) - 1), *result.cells()]
            rows.append(ResultRow([], cells, {}, ""))
    return header + PUBLISHED_COLUMNS * bool(published), rows


def rows_for_programs(runs: list[RunResults], scoring: ScoringSettings) -> list[list[str]]:
    """Return the table of single runs, with the ends of each interval in columns of their own at the end."""
    header, rows = results_table(runs, scoring, single_runs=True)
    columns = [column for column in header if any(column in row.ends for row in rows)]
    names = [f"{column} {end}" for column in columns for end in ("low", "high")]
    of_rows = [
        [*row.cells, *(end for column in columns for end in row.ends.get(column, ("-", "-")))] for row in rows
    ]
    return [header + names, *of_rows]
