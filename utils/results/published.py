"""The published results, which the results table repeats beside a workspace's own."""

from dataclasses import dataclass
from functools import cache

from utils.dataset.subsets import CHALLENGE_FACTS
from utils.dataset.tables import read_rows
from utils.scoring.text import percent
from utils.workspace.run import Run

PUBLISHED_COLUMNS = ["published mAP", "published event F1", "published segment F1"]


@dataclass(frozen=True)
class PublishedResult:
    """A row of the published results, which hold macro averages only; scores of 0 to 1, or None."""

    system: str
    data_type: str
    model_type: str
    loss_type: str
    mean_average_precision: float | None
    event_f1_macro: float | None
    segment_f1_macro: float | None

    def is_of(self, run: Run) -> bool:
        """Tell whether the run repeats this result."""
        own = (self.data_type, self.model_type, self.loss_type)
        return own == (run.data_type, run.model_type, run.loss_type)

    def cells(self) -> list[str]:
        """Return the scores in percent."""
        scores = (self.mean_average_precision, self.event_f1_macro, self.segment_f1_macro)
        return [percent(score) for score in scores]


@cache
def read_published_results() -> tuple[PublishedResult, ...]:
    """Read the published results, in their order."""
    texts = ("system", "data_type", "model_type", "loss_type")
    scores = ("mean_average_precision", "event_f1_macro", "segment_f1_macro")
    return tuple(
        PublishedResult(
            *(row.cells[column] for column in texts),
            *(float(row.cells[column]) if row.cells[column] else None for column in scores),
        )
        for row in read_rows(CHALLENGE_FACTS / "published_results.tsv", (*texts, *scores))
    )
