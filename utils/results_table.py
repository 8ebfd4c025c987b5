"""The results of a workspace: its runs, their scores, and the published scores beside them."""

import json
from dataclasses import dataclass
from typing import Any

from utils import config
from utils.metadata import CHALLENGE_FACTS, SUBSETS, read_challenge_labels, read_rows
from utils.run_statistics import read_records
from utils.scoring import segment_key
from utils.workspace import Run, Workspace

MICRO = "micro"  # in the name of a column: all classes counted together


@dataclass(frozen=True)
class RunResults:
    """A run and all that its statistics hold.

    Attributes
    ----------
    run : Run
    evaluations : list of dict
        Made in training, by iteration.
    inferences : list of dict
        Made by `inference_validation`, in the order they were made.
    loss_curve : list of dict
        Iteration and training loss.
    """

    run: Run
    evaluations: list[dict[str, Any]]
    inferences: list[dict[str, Any]]
    loss_curve: list[dict[str, Any]]

    @property
    def title(self) -> str:
        """Return a name such as `Weak audio, clipwise loss`, with what else tells the run from others."""
        audio = self.run.data_type.removeprefix("train_").capitalize()
        loss = self.run.loss_type.removesuffix("_binary_crossentropy")
        extras = [] if self.run.model_type == config.model_type else [self.run.model_type]
        extras += [f"batch {self.run.batch_size}", f"seed {self.run.seed}"]
        extras += ["validation clips trained on"] * (self.run.holdout_fold == "none")
        extras += ["mini data"] * self.run.mini_data
        return f"{audio} audio, {loss} loss ({', '.join(extras)})"

    @property
    def latest(self) -> dict[str, Any] | None:
        """Return the scores that count: of the last inference, else of the last evaluation in training."""
        scored = [record for record in [*self.evaluations, *self.inferences] if "validation" in record]
        return scored[-1] if scored else None


def read_runs(workspace: Workspace) -> list[RunResults]:
    """Read the statistics of all runs in a workspace, in the order of the published results."""
    results = []
    for path in workspace.all_run_settings():
        run = Run(**json.loads(path.read_text(encoding="utf-8"))["run"])
        results.append(
            RunResults(
                run,
                read_records(workspace.training_statistics(run)),
                read_records(workspace.inference_statistics(run)),
                read_records(workspace.loss_statistics(run)),
            )
        )
    order = list(SUBSETS)
    return sorted(results, key=lambda r: (order.index(r.run.data_type), r.run.loss_type, r.title))


def score_columns() -> list[str]:
    """Return the names of the score columns."""
    metrics = ["event F1", *(f"segment F1 {segment_key(seconds)}" for seconds in config.segment_lengths)]
    return ["mAP", *(name for metric in metrics for name in (metric, f"{metric} {MICRO}"))]


def percent(value: float | None) -> str:
    """Return a score of 0 to 1 in percent, or a dash where there is none."""
    return "-" if value is None else f"{100 * value:.1f}"


def score_cells(scores: dict[str, Any]) -> list[str]:
    """Return the cells of a run's scores, in percent."""
    metrics = [scores["event"]] + [scores["segment"].get(segment_key(s)) for s in config.segment_lengths]
    cells = [percent(scores["mean_average_precision"])]
    for metric in metrics:
        cells += [percent(metric[average]["f1"]) if metric else "-" for average in ("macro", "micro")]
    return cells


def is_real_set(runs: list[RunResults]) -> bool:
    """Tell whether the runs are on the challenge's data, by its labels and the number of validation clips."""
    listed = {run.latest["validation"]["clips_listed"] for run in runs if run.latest}
    return config.labels == read_challenge_labels() and listed == {SUBSETS["validation"].clips}


def published_rows() -> list[list[str]]:
    """Return the published results as rows of the table; they hold macro averages only."""
    columns = ("system", "mean_average_precision", "event_f1_macro", "segment_f1_macro")
    rows = []
    for row in read_rows(CHALLENGE_FACTS / "published_results.tsv", columns):
        mean_ap, event, segment = (
            percent(float(row.cells[c]) if row.cells[c] else None) for c in columns[1:]
        )
        others = ["-"] * (len(score_columns()) - 4)
        rows.append([f"published: {row.cells['system']}", "-", "-", mean_ap, event, "-", segment, *others])
    return rows


def results_rows(runs: list[RunResults]) -> list[list[str]]:
    """Return the results table: a header, and a row for each run that has been validated."""
    rows = [["training", "iteration", "clips", *score_columns()]]
    for run in runs:
        if run.latest:
            scores = run.latest["validation"]
            rows.append([run.title, str(run.latest["iteration"]), str(scores["clips"]), *score_cells(scores)])
    if is_real_set(runs):
        rows += published_rows()
    return rows


def format_table(rows: list[list[str]]) -> str:
    """Return the rows with aligned columns: the first to the left, the others to the right.

    A micro average stands beside its macro average, so its heading need not repeat the name.
    """
    rows = [[MICRO if name.endswith(MICRO) else name for name in rows[0]], *rows[1:]]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]
    rule = "-" * len(lines[0])
    return "\n".join([rule, lines[0], rule, *lines[1:], rule])
