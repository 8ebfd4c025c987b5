"""The model card of a detector: what it is, what it was trained on, and how good it is."""

from collections.abc import Sequence
from pathlib import Path

from pytorch.chosen_model import ChosenModel
from pytorch.detector import StoredDetector
from utils.events.post_processing import PostProcessing
from utils.results.runs import RunResults
from utils.results.scored_models import ScoredModel
from utils.results.statistics import training_minutes
from utils.scoring.bootstrap import F1_AVERAGES, MEAN_AVERAGE_PRECISION, PSDS
from utils.scoring.text import percent, score_name, span
from utils.workspace.paths import run_paths_of_checkpoint
from utils.workspace.run import TEACHER, Variant

TO_FILL_IN = "*(to fill in)*"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |" for cells in lines]


def detector_rows(detector: StoredDetector, variant: Variant) -> list[list[str]]:
    """Return what the detector takes, gives and is."""
    features = detector.features
    outputs_per_second = features.frames_per_second / detector.model.stride_frames
    parameters = sum(parameter.numel() for parameter in detector.model.parameters())
    of_teacher = "the teacher's weights, " * (variant.weights == TEACHER)
    return [
        [
            "input",
            f"one channel, {features.sample_rate} Hz; clips of {features.clip_seconds:g} s in training",
        ],
        [
            "output",
            f"probability of each class, {outputs_per_second:g} times a second and for the whole clip",
        ],
        [
            "model",
            f"{detector.model_type}, {parameters:,} parameters; {of_teacher}iteration {detector.iteration}",
        ],
        [
            "log-mel",
            f"{features.mel_bins} bands, {features.mel_min_frequency:g} to {features.mel_max_frequency:g} "
            f"Hz; window {features.window_size}, hop {features.hop_size} samples",
        ],
    ]


def rule_lines(post_processing: PostProcessing) -> list[str]:
    """Return the post-processing of each class as a table."""
    rules = post_processing.to_json()
    names = list(dict.fromkeys(name for rule in rules.values() for name in rule if name != "name"))
    rows = [
        [label, rule["name"], *(f"{rule[name]:g}" if name in rule else "" for name in names)]
        for label, rule in rules.items()
    ]
    return table(["class", "post-processing", *names], rows)


def model_card(model: ChosenModel, detector: StoredDetector) -> str:
    """Return the card as Markdown, with what the statistics of the run say where they lie beside.

    Parameters
    ----------
    model : ChosenModel
        Its checkpoint is below the `checkpoints` of a workspace, or alone: then the card has no data and no
        scores. Statistics of another training than the checkpoint's do not count.
    detector : StoredDetector
        Loaded from it.
    """
    results, iteration = results_beside(model.checkpoint, detector.training_id), detector.iteration
    return "\n".join(
        [
            f"# Sound event detector: {', '.join(detector.labels)}",
            "",
            *table(["", ""], detector_rows(detector, model.variant)),
            "",
            "## Data and training",
            "",
            *training_lines(results, iteration),
            "",
            "## Scores",
            "",
            *score_lines(results, iteration, model.variant),
            "",
            "## From probabilities to events",
            "",
            *rule_lines(detector.post_processing),
            "",
            "## To fill in",
            "",
            f"- License of the detector: {TO_FILL_IN}",
            f"- Source and license of the recordings: {TO_FILL_IN}",
            f"- Intended use, and where it fails: {TO_FILL_IN}",
            f"- Contact: {TO_FILL_IN}",
            "",
        ]
    )


def results_beside(checkpoint: Path, training_id: str) -> RunResults | None:
    """Return the statistics of the training that a checkpoint is from; None where they are not there."""
    paths = run_paths_of_checkpoint(checkpoint)
    if paths is None or not paths.settings.is_file():
        return None
    results = RunResults.read(paths)
    return results if results.training_id == training_id else None


def training_lines(results: RunResults | None, iteration: int) -> list[str]:
    """Return what the detector was trained on, how, and how long."""
    if results is None:
        return [f"- Data: {TO_FILL_IN}", f"- Training: {TO_FILL_IN}"]
    run = results.run
    reached = [record for record in results.evaluations if record["iteration"] <= iteration]
    lines = [
        f"- Data: {' + '.join(run.data_types)}; name and number of recordings: {TO_FILL_IN}",
        f"- Training: {iteration} iterations of {run.batch_size} clips, {run.loss_type}, seed {run.seed}",
    ]
    if run.holdout_fold == "none":
        lines.append(
            "- It was trained on the validation clips too: the scores say nothing about other clips."
        )
    if run.own_settings:
        lines.append(f"- Settings that are not the published or the recipe's: {', '.join(run.own_settings)}")
    if run.initial_checkpoint:
        lines.append(f"- Started from the checkpoint whose SHA-256 begins with {run.initial_checkpoint}")
    if reached and reached[-1]["iteration"] == iteration:
        minutes = training_minutes(reached)[-1]
        lines.append(f"- Time: {minutes:.1f} minutes, without evaluations; machine and energy: {TO_FILL_IN}")
    return lines


def score_lines(results: RunResults | None, iteration: int, variant: Variant) -> list[str]:
    """Return the scores on the validation clips, with the intervals that the statistics have."""
    key = variant.scores_key
    records = [] if results is None else [*results.evaluations, *results.inferences]
    scored = [record for record in records if record["iteration"] == iteration and key in record]
    if not scored:
        return [
            f"Not measured: run inference_validation, remove this card and make it again, or {TO_FILL_IN}."
        ]
    model = ScoredModel(results, variant, scored[-1])
    scores = model.scores
    metrics = ["event", *(f"segment/{length}" for length in scores["segment"])]
    f1 = [f"{name}/{average}/f1" for name in metrics for average in F1_AVERAGES]
    psds = PSDS if "psds" in scores else ()
    rows = [
        [score_name(path), percent(model.score(path)), span(*map(percent, model.interval(path)), " to ")]
        for path in (MEAN_AVERAGE_PRECISION, *f1, *psds)
    ]
    classwise = [
        [label, percent(rates["f1"])] for label, rates in scores["event"].get("classwise", {}).items()
    ]
    return [
        f"On {scores['clips']} validation clips, in percent. F1 is the mean over the classes; micro: all "
        "classes counted together.",
        "",
        *table(["score", "value", "interval"], rows),
        "",
        *table(["class", "event F1"], classwise),
    ]
