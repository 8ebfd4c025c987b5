"""The data of the results page: scores and curves of all runs, clips, and what models found in them."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np

from utils.audio.reading import read_clip
from utils.dataset.tables import Clip, Event
from utils.events.post_processing import ClassPostProcessing, DoubleThreshold, MedianFilter, PostProcessing
from utils.events.probabilities import Probabilities
from utils.results.figures import curve_scores
from utils.results.page_media import data_uri, mp3, probability_text, spectrogram_png
from utils.results.statistics import validation_key, value_at
from utils.results.table import (
    EVENT_F1,
    ResultRow,
    RunResults,
    ScoredModel,
    best_first,
    best_model,
    described_numbers,
    results_table,
    scored_models,
)
from utils.scoring.event_errors import JudgedClip, JudgedEvent, confusion, count_verdicts
from utils.scoring.sed_eval_scores import segment_key
from utils.settings.groups import FeatureSettings, ScoringSettings
from utils.system.errors import SedError
from utils.workspace.run import STUDENT, TEACHER


@dataclass(frozen=True)
class Thresholds:
    """The thresholds of a post-processing: of frame probabilities, and perhaps of the clip probability."""

    frames: tuple[float, ...]
    clip: float | None


def thresholds_of(post_processing: ClassPostProcessing) -> Thresholds:
    """Return the thresholds of a class."""
    if isinstance(post_processing, DoubleThreshold):
        frames = (post_processing.low_threshold, post_processing.high_threshold)
        return Thresholds(frames, post_processing.clip_threshold)
    if isinstance(post_processing, MedianFilter):
        return Thresholds((post_processing.frame_threshold,), None)
    return Thresholds((), None)  # the threshold of a box is on its confidence


@dataclass(frozen=True)
class TableRow:
    """A row of the results table.

    Attributes
    ----------
    numbers : str
        Of its runs; empty for a published result.
    cells, details : list of str
        See `utils.results.table.ResultRow`.
    is_best : bool
        Whether the best model is in this row.
    runs : list of TableRow
        The single runs of a row of several that differ only in their seed.
    """

    numbers: str
    cells: list[str]
    details: list[str]
    is_best: bool
    runs: list["TableRow"]


@dataclass(frozen=True)
class Curve:
    """A line in a panel.

    Attributes
    ----------
    run : int
        Number of the run, from 1.
    kind : str
        "training", "validation" or "teacher".
    points : list of (iteration, value or NaN)
    """

    run: int
    kind: str
    points: list[tuple[int, float]]


@dataclass(frozen=True)
class Panel:
    """Curves with one axis; scores are drawn from 0 to 1, the loss logarithmically."""

    title: str
    is_score: bool
    curves: list[Curve]


@dataclass(frozen=True)
class ClassScores:
    """The F1 of each class of a model, in the order of `Report.class_labels`; NaN without a reference."""

    title: str
    event_f1: list[float]
    segment_f1: list[float]


@dataclass(frozen=True)
class ShownClip:
    """A clip in the browser: what is the same whichever model is looked at.

    Attributes
    ----------
    name : str
    spectrogram, audio : str
        Data URIs.
    reference : tuple of Event
    """

    name: str
    spectrogram: str
    audio: str
    reference: tuple[Event, ...]


@dataclass(frozen=True)
class FoundInClip:
    """What a model found in a clip of the browser.

    Attributes
    ----------
    f1 : float
        Event-based, of this clip alone.
    reference_verdicts : list of str
        Of each reference event.
    predicted : tuple of JudgedEvent
    clip_probabilities : list of float, length classes; empty without a checkpoint
    frame_probabilities : list of str, length classes
        One byte for each output of the model, see `probability_text`; empty without a checkpoint.
    """

    f1: float
    reference_verdicts: list[str]
    predicted: tuple[JudgedEvent, ...]
    clip_probabilities: list[float]
    frame_probabilities: list[str]


@dataclass(frozen=True)
class ShownModel:
    """The verdicts on a model's events in all validation clips, and what it found in those of the browser.

    Attributes
    ----------
    number : int
        Of the run, from 1.
    title : str
    event_f1 : float
        Macro average.
    reference_verdicts, predicted_verdicts : dict
        Number of events by label and verdict.
    confusion : list of list of int
        See `utils.scoring.event_errors.confusion`.
    thresholds : list of Thresholds, length classes; empty without a checkpoint
    clips : list of FoundInClip
        In the order of `ClipReport.clips`.
    """

    number: int
    title: str
    event_f1: float
    reference_verdicts: dict[str, dict[str, int]]
    predicted_verdicts: dict[str, dict[str, int]]
    confusion: list[list[int]]
    thresholds: list[Thresholds]
    clips: list[FoundInClip]


@dataclass(frozen=True)
class ClipReport:
    """The clips in the browser, and the models whose events can be shown in them.

    Attributes
    ----------
    dataset : str
        Name of the data set.
    clips_judged : int
        Number of clips that the models' counts are of.
    labels : sequence of str
    onset_collar, offset_collar_fraction : float
        The tolerances: s, and fraction of the reference event's length.
    clip_seconds : float
    frequency_ticks : list of (Hz, height)
    clips : list of ShownClip
    models : list of ShownModel
        The first one is shown at first, and the clips are spread over its F1.
    """

    dataset: str
    clips_judged: int
    labels: Sequence[str]
    onset_collar: float
    offset_collar_fraction: float
    clip_seconds: float
    frequency_ticks: list[tuple[int, float]]
    clips: list[ShownClip]
    models: list[ShownModel]


@dataclass(frozen=True)
class Report:
    """All that the page shows; without a data set there are no clips.

    `date` is when the page was made. The verdict is on the model of `shown_title`; `event_f1` (macro average)
    and `settings` are its own.
    """

    workspace: str
    date: str
    shown_title: str
    event_f1: float
    settings: list[tuple[str, str]]
    columns: list[str]
    rows: list[TableRow]
    run_titles: list[str]
    run_groups: list[int]
    panels: list[Panel]
    segment_name: str
    class_labels: list[str]
    class_scores: list[ClassScores]
    clips: ClipReport | None


def models_to_show(runs: list[RunResults], number: int | None, weights: str | None) -> list[ScoredModel]:
    """Return all models: first the best one of the given run and weights, then the others, the best first.

    Parameters
    ----------
    runs : list of RunResults
    number : int or None
        Of a run, from 1; None for any.
    weights : {"student", "teacher"} or None

    Raises
    ------
    SedError
        If no such model has been validated.
    """
    models = best_first(scored_models(runs))
    chosen = [
        model
        for model in models
        if number in (None, runs.index(model.results) + 1) and weights in (None, model.weights)
    ]
    if not chosen:
        raise SedError(
            "no such run has been validated; leave out --run and --weights, or validate it with "
            "pytorch/inference.py inference_validation first"
        )
    first = best_model(chosen)
    return [first, *(model for model in models if model != first)]


def table_rows(runs: list[RunResults], scoring: ScoringSettings) -> tuple[list[str], list[TableRow]]:
    """Return the header and the rows of the results table: a row for each group of runs, with these in it."""
    header, of_groups = results_table(runs, scoring, single_runs=False)
    _, of_runs = results_table(runs, scoring, single_runs=True)
    best = best_model(scored_models(runs))

    def table_row(row: ResultRow, title: str, single: list[TableRow]) -> TableRow:
        numbers = described_numbers(row.numbers) if row.numbers else ""
        cells = [title, *row.cells[1:]]
        return TableRow(numbers, cells, row.details, best in row.models, single)

    rows = []
    for group in of_groups:
        single = [
            table_row(row, f"seed {row.models[0].results.run.seed}", [])
            for row in of_runs
            if len(group.models) > 1 and row.models and row.models[0] in group.models
        ]
        rows.append(table_row(group, group.cells[0], single))
    return header, rows


def groups_of_runs(runs: list[RunResults]) -> list[int]:
    """Return a number for each run, from 0, that runs share which differ only in their seed."""
    keys = [replace(run.run, seed=0) for run in runs]
    return [list(dict.fromkeys(keys)).index(key) for key in keys]


def validation_curve(run: RunResults, number: int, weights: str, keys: tuple[str, ...]) -> Curve:
    """Return a validation score of a run over its iterations."""
    records = [record for record in run.evaluations if validation_key(weights) in record]
    points = [(r["iteration"], value_at(r, (validation_key(weights), *keys))) for r in records]
    return Curve(number, "validation" if weights == STUDENT else weights, points)


def training_panels(runs: list[RunResults], scoring: ScoringSettings) -> list[Panel]:
    """Return the training curves: loss, mAP, event F1, segment F1."""
    numbered = list(enumerate(runs, start=1))
    losses = [
        Curve(number, "training", [(p["iteration"], p["loss"]) for p in run.loss_curve])
        for number, run in numbered
    ]
    of_training = [
        Curve(
            number,
            "training",
            [(r["iteration"], value_at(r, ("train_mean_average_precision",))) for r in run.evaluations],
        )
        for number, run in numbered
    ]
    panels = [Panel("Training loss", False, losses)]
    for index, (title, keys) in enumerate(curve_scores(scoring)):
        curves = [
            validation_curve(run, number, weights, keys)
            for number, run in numbered
            for weights in (STUDENT, TEACHER)
        ]
        panels.append(Panel(title, True, (of_training if index == 0 else []) + curves))
    return [
        Panel(panel.title, panel.is_score, [curve for curve in panel.curves if curve.points])
        for panel in panels
    ]


def class_scores(model: ScoredModel, labels: Sequence[str], segment_name: str) -> ClassScores:
    """Return the F1 of each class, event-based and segment-based."""
    return ClassScores(
        model.title,
        [value_at(model.scores, ("event", "classwise", label, "f1")) for label in labels],
        [value_at(model.scores, ("segment", segment_name, "classwise", label, "f1")) for label in labels],
    )


def spread_over_f1(clips: Sequence[JudgedClip], count: int) -> np.ndarray:
    """Return ascending indexes of at most `count` clips, evenly spread from the lowest to the highest F1."""
    by_f1 = np.argsort([clip.f1 for clip in clips], kind="stable")
    if len(clips) <= count:
        return np.sort(by_f1)
    return np.sort(by_f1[np.linspace(0, len(clips) - 1, count).round().astype(int)])


def shown_clip(clip: Clip, logmel: np.ndarray, audio_folder: Path, features: FeatureSettings) -> ShownClip:
    """Put together what is shown of a clip, of log-mel (frames, mel_bins) in dB, whichever the model."""
    samples = read_clip(audio_folder / clip.name, features)
    return ShownClip(
        clip.name,
        data_uri("image/png", spectrogram_png(logmel)),
        data_uri("audio/mpeg", mp3(samples, features.sample_rate)),
        clip.events or (),
    )


def found_in_clip(judged: JudgedClip, probabilities: Probabilities | None) -> FoundInClip:
    """Put together what a model found in a clip, with its probabilities of this clip, if there are any."""
    clipwise = [] if probabilities is None else probabilities.clipwise
    by_class = [] if probabilities is None else probabilities.framewise.T
    return FoundInClip(
        judged.f1,
        [one.verdict for one in judged.reference],
        judged.predicted,
        [round(float(value), 3) for value in clipwise],
        [probability_text(of_class) for of_class in by_class],
    )


def shown_model(
    model: ScoredModel,
    number: int,
    judged: Sequence[JudgedClip],
    indexes: np.ndarray,
    probabilities: Probabilities | None,
    post_processing: PostProcessing,
) -> ShownModel:
    """Put together the errors of a model in all clips, and what it found in those that are shown.

    Parameters
    ----------
    model : ScoredModel
    number : int
        Of its run.
    judged : sequence of JudgedClip
        All validation clips.
    indexes : np.ndarray, shape (shown clips,)
        Which of them are shown.
    probabilities : Probabilities or None
        Of the shown clips; None without a checkpoint.
    post_processing : PostProcessing
        How the probabilities became events; empty without a checkpoint.
    """
    labels = model.results.features.labels
    return ShownModel(
        number=number,
        title=model.title,
        event_f1=model.score(EVENT_F1),
        reference_verdicts=count_verdicts((j for clip in judged for j in clip.reference), labels),
        predicted_verdicts=count_verdicts((j for clip in judged for j in clip.predicted), labels),
        confusion=confusion(judged, labels).tolist(),
        thresholds=[thresholds_of(of_class) for of_class in post_processing],
        clips=[
            found_in_clip(judged[index], None if probabilities is None else probabilities[place])
            for place, index in enumerate(indexes)
        ],
    )


def settings_of(model: ScoredModel) -> list[tuple[str, str]]:
    """Return name and value of the settings that a model was trained and scored with."""
    run = model.results.run
    flags = {name: value for name, value in vars(run).items() if name != "training"}
    values = flags | {"iteration": model.record["iteration"]} | asdict(run.training)
    values |= asdict(model.results.features)
    return [
        (name, ", ".join(map(str, value)) if isinstance(value, tuple) else str(value))
        for name, value in values.items()
    ]


def make_report(
    workspace_name: str,
    runs: list[RunResults],
    models: list[ScoredModel],
    clips: ClipReport | None,
    scoring: ScoringSettings,
) -> Report:
    """Put together the whole page, whose verdict is on the first model."""
    columns, rows = table_rows(runs, scoring)
    segment_name = segment_key(scoring.segment_lengths[-1])
    shown = models[0]
    labels = list(shown.scores["event"]["classwise"])
    return Report(
        workspace=workspace_name,
        date=datetime.now().strftime("%Y-%m-%d %H:%M"),
        shown_title=shown.title,
        event_f1=shown.score(EVENT_F1),
        settings=settings_of(shown),
        columns=columns,
        rows=rows,
        run_titles=[run.title for run in runs],
        run_groups=groups_of_runs(runs),
        panels=training_panels(runs, scoring),
        segment_name=segment_name,
        class_labels=labels,
        class_scores=[class_scores(model, labels, segment_name) for model in models],
        clips=clips,
    )
