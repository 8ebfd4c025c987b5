"""Two models on the same clips: the differences of their scores, and the intervals of these."""

from utils.results.choice import VALIDATE_COMMAND
from utils.results.scored_models import ScoredModel
from utils.scoring.bootstrap import ResampledScores
from utils.scoring.text import interval_name, percent, score_name, span
from utils.system.errors import SedError, made_by
from utils.system.terminal import aligned


def read_resampled(model: ScoredModel) -> ResampledScores:
    """Read the scores of a model on the draws of the clips."""
    results = model.results
    path = results.paths.resampled_scores(model.record["iteration"], model.weights, model.tuned)
    with made_by(VALIDATE_COMMAND):
        resampled = ResampledScores.read(path)
    if resampled.start != results.start:
        raise SedError(f"{path}: is of an earlier training of this run; make it with: {VALIDATE_COMMAND}")
    return resampled


def comparison_lines(first: ScoredModel, second: ScoredModel) -> list[str]:
    """Return a table of two models' scores in percent, with the differences and their intervals.

    Both are scored on the same draws of the clips, so the difference of each draw is that of two models on
    the same clips.

    Raises
    ------
    SedError
        If the models were not scored on the same clips and draws with the same tolerances.
    """
    one, other = read_resampled(first), read_resampled(second)
    for what in ("clips", "scoring"):
        if getattr(one, what) != getattr(other, what):
            raise SedError(
                f"the runs were scored on different {what if what == 'clips' else 'settings of the scores'}; "
                f"validate both again with {VALIDATE_COMMAND}"
            )
    confidence = one.scoring.bootstrap_confidence
    rows = [["", "A", "B", "B - A", f"{interval_name(confidence)} of B - A"]]
    for path, of_one in one.scores.items():
        if path not in other.scores:
            continue
        difference = other.scores[path] - of_one
        low, high = difference.interval(confidence)
        mark = " *" if low > 0 or high < 0 else "  "
        rows.append(
            [
                score_name(path),
                percent(of_one.score),
                percent(other.scores[path].score),
                f"{100 * difference.score:+.1f}",
                span(f"{100 * low:+.1f}", f"{100 * high:+.1f}", " to ") + mark,
            ]
        )
    return [
        f"A: {first.title}",
        f"B: {second.title}",
        "",
        *aligned(rows),
        "",
        f"{one.scoring.bootstrap_resamples} draws of the clips. *: the interval does not contain 0, so the "
        "choice of clips does not explain the difference; the seed still may.",
    ]
