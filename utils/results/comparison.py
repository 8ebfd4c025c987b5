"""Two models, or their means over seeds, on the same clips: differences of scores, with intervals."""

from dataclasses import replace

from utils.results.choice import VALIDATE_COMMAND
from utils.results.scored_models import ModelGroup, ScoredModel
from utils.scoring.bootstrap import ResampledScores, mean_of
from utils.scoring.text import interval_name, score_name, span
from utils.system.errors import SedError, made_by
from utils.system.terminal import aligned


def read_resampled(model: ScoredModel) -> ResampledScores:
    """Read the scores of a model on the draws of the clips."""
    results = model.results
    path = results.paths.resampled_scores(model.record["iteration"], model.variant)
    with made_by(VALIDATE_COMMAND):
        resampled = ResampledScores.read(path)
    if resampled.training_id != results.training_id:
        raise SedError(f"{path}: is of an earlier training of this run; make it with: {VALIDATE_COMMAND}")
    return resampled


def mean_over_seeds(group: ModelGroup) -> ResampledScores:
    """Return the means of the scores of a group's models, of all clips and of each draw."""
    first, *others = resampled = [read_resampled(model) for model in group.models]
    for other in others:
        require_alike(first, other)
    paths = [path for path in first.scores if all(path in one.scores for one in others)]
    return replace(first, scores={path: mean_of([one.scores[path] for one in resampled]) for path in paths})


def require_alike(one: ResampledScores, other: ResampledScores) -> None:
    """Raise SedError unless both are of the same clips and draws with the same tolerances."""
    for what in ("clips", "scoring"):
        if getattr(one, what) != getattr(other, what):
            raise SedError(
                f"the runs were scored on different {what if what == 'clips' else 'settings of the scores'}; "
                f"validate all again with {VALIDATE_COMMAND}"
            )


def comparison_lines(first: ModelGroup, second: ModelGroup) -> list[str]:
    """Return a table of two models' or groups' scores in percent, with the differences and their intervals.

    All are scored on the same draws of the clips, so the difference of each draw is that of two models, or of
    two means over seeds, on the same clips.

    Raises
    ------
    SedError
        If the models were not scored on the same clips and draws with the same tolerances.
    """
    one, other = mean_over_seeds(first), mean_over_seeds(second)
    require_alike(one, other)
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
                first.cell(path),
                second.cell(path),
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
