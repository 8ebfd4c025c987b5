"""The figures: training curves of a workspace, and the events detected in a clip."""

import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, PercentFormatter

from utils.audio.logmel import frequency_ticks
from utils.dataset.tables import Clip
from utils.events.probabilities import Probabilities
from utils.results.page_media import SPECTROGRAM_COLOURS, SPECTROGRAM_RANGE
from utils.results.runs import RunResults
from utils.results.statistics import training_minutes, value_at
from utils.scoring.sed_eval_scores import shown_segment_key
from utils.settings.groups import FeatureSettings, ScoringSettings
from utils.system.files import written_whole
from utils.workspace.run import STUDENT, TEACHER, UNTUNED_STUDENT, Variant

DOTS_PER_INCH = 100
CLIP_FIGURE_SIZE = (11, 9)  # inches
CURVES_FIGURE_SIZE = (12, 8)  # inches
TIME_FIGURE_SIZE = (9, 5)  # inches
LEGEND_CHARACTERS = 80  # of a line below the curves: two columns of such lines are as wide as the figure
TIME_LEGEND_CHARACTERS = 100  # of a line below event F1 over time: one column of them is as wide
EVENT_HEIGHT = 0.7  # of a class's row
REFERENCE_COLOUR, PREDICTION_COLOUR = "tab:blue", "tab:orange"
HOLLOW = {"markersize": 4, "markerfacecolor": "none"}  # markers of scores on training clips
LOGARITHMIC_TICKS = (1, 2, 3, 5, 7)  # in each power of ten
LOGARITHMIC_FROM = 4.0  # times the first evaluation's time that the last one's must be for a logarithmic axis


def save_figure(figure: Figure, path: Path) -> None:
    """Write the figure as PNG."""
    with written_whole(path) as unfinished:
        figure.savefig(unfinished, format="png", dpi=DOTS_PER_INCH)


def draw_events(axes: Axes, clip: Clip, labels: Sequence[str], *, colour: str, title: str) -> None:
    """Draw a clip's events as bars, a row for each class."""
    for event in clip.events or ():
        row = labels.index(event.label)
        axes.barh(row, event.offset - event.onset, left=event.onset, height=EVENT_HEIGHT, color=colour)
    axes.set_title(title, loc="left", fontsize="medium")
    label_classes(axes, labels)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)


def label_classes(axes: Axes, labels: Sequence[str]) -> None:
    """Give each class a row, the first on top."""
    axes.set_yticks(range(len(labels)), labels, fontsize="x-small")
    axes.set_ylim(len(labels) - 0.5, -0.5)


def plot_clip(
    path: Path,
    logmel: np.ndarray,
    reference: Clip,
    probabilities: Probabilities,
    predicted: Clip,
    *,
    features: FeatureSettings,
) -> None:
    """Draw a clip: log-mel, reference events, frame probabilities, predicted events.

    Parameters
    ----------
    path : Path
        The PNG file.
    logmel : np.ndarray, shape (frames, mel_bins), dB
    reference, predicted : Clip
        With the annotated events, and with the detected ones.
    probabilities : Probabilities
        Of this clip.
    features : FeatureSettings
    """
    labels = features.labels
    figure = Figure(figsize=CLIP_FIGURE_SIZE, layout="constrained")
    spectrogram, truth, probability, detected = figure.subplots(4, 1, sharex=True)
    seconds = len(logmel) / features.frames_per_second
    image = spectrogram.imshow(
        logmel.T,
        origin="lower",
        aspect="auto",
        extent=(0, seconds, 0, 1),
        cmap=SPECTROGRAM_COLOURS,
        vmin=logmel.max() - SPECTROGRAM_RANGE,
    )
    spectrogram.set_title(f"{reference.name}: log-mel", loc="left", fontsize="medium")
    ticks = frequency_ticks(features)
    spectrogram.set_yticks(
        [height for _, height in ticks], [f"{frequency / 1000:g}" for frequency, _ in ticks]
    )
    spectrogram.set_ylabel("kHz")
    figure.colorbar(image, ax=spectrogram, label="dB")

    draw_events(truth, reference, labels, colour=REFERENCE_COLOUR, title="Reference events")

    image = probability.imshow(
        probabilities.stretched().T,
        aspect="auto",
        extent=(0, seconds, len(labels) - 0.5, -0.5),
        cmap="viridis",
        vmin=0,
        vmax=1,
        interpolation="nearest",
    )
    label_classes(probability, labels)
    probability.set_title("Frame probabilities (in brackets: clip)", loc="left", fontsize="medium")
    probability.set_yticklabels(
        [f"{label} ({value:.2f})" for label, value in zip(labels, probabilities.clipwise, strict=True)]
    )
    figure.colorbar(image, ax=probability, label="probability")

    draw_events(detected, predicted, labels, colour=PREDICTION_COLOUR, title="Predicted events")
    detected.set_xlabel("time (s)")
    detected.set_xlim(0, seconds)
    save_figure(figure, path)


def curve_scores(scoring: ScoringSettings) -> list[tuple[str, tuple[str, ...]]]:
    """Return the validation scores drawn over the iterations: title, and keys in the statistics."""
    segment_name = shown_segment_key(scoring.segment_lengths)
    return [
        ("mAP", ("mean_average_precision",)),
        ("Event F1", ("event", "macro", "f1")),
        (f"Segment F1, {segment_name}", ("segment", segment_name, "macro", "f1")),
    ]


def plot_training_curves(path: Path, runs: list[RunResults], scoring: ScoringSettings) -> None:
    """Draw loss, mAP, event F1 and segment F1 of runs over their iterations."""
    figure = Figure(figsize=CURVES_FIGURE_SIZE, layout="constrained")
    loss, tagging, event, segment = figure.subplots(2, 2, sharex=True).flat
    scores = curve_scores(scoring)
    panels = [(axes, *score) for axes, score in zip((tagging, event, segment), scores, strict=True)]
    for run in runs:
        points = run.loss_points
        label = textwrap.fill(run.title, LEGEND_CHARACTERS, break_on_hyphens=False)
        style = "-" if len(points) > 1 else "."
        (line,) = loss.plot([p["iteration"] for p in points], [p["loss"] for p in points], style, label=label)
        iterations = [record["iteration"] for record in run.evaluations]
        for axes, _, keys in panels:
            for weights, style in ((STUDENT, ".-"), (TEACHER, ".--")):
                values = [
                    value_at(record, (Variant(weights).scores_key, *keys)) for record in run.evaluations
                ]
                axes.plot(iterations, values, style, color=line.get_color())
        tagging.plot(
            iterations,
            [value_at(r, ("train_mean_average_precision",)) for r in run.evaluations],
            "o:",
            color=line.get_color(),
            **HOLLOW,
        )
    loss.set_title("Training loss")
    loss.set_yscale("log")
    for axes, title, _ in panels:
        axes.set_title(title)
        axes.set_ylim(0, 1.02)
        axes.yaxis.set_major_formatter(PercentFormatter(1))  # of scores from 0 to 1
    tagging.plot([], [], "k.-", label="validation")
    tagging.plot([], [], "ko:", label="training", **HOLLOW)
    if any(Variant(TEACHER).scores_key in record for run in runs for record in run.evaluations):
        tagging.plot([], [], "k.--", label="validation, teacher")
    tagging.legend(fontsize="small")
    for axes in (event, segment):
        axes.set_xlabel("iteration")
        axes.set_xlim(left=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (loss, tagging, event, segment):
        axes.grid(alpha=0.3)
    figure.legend(*loss.get_legend_handles_labels(), loc="outside lower center", fontsize="small", ncols=2)
    save_figure(figure, path)


def plot_scores_over_time(path: Path, runs: list[RunResults], scoring: ScoringSettings) -> None:
    """Draw event F1 of runs over the minutes that they were trained, in one colour over seeds."""
    figure = Figure(figsize=TIME_FIGURE_SIZE, layout="constrained")
    axes = figure.subplots()
    _, (title, keys), _ = curve_scores(scoring)
    colours: dict[str, str] = {}
    for run in runs:
        kind = run.title_with("")
        label = (
            None if kind in colours else textwrap.fill(kind, TIME_LEGEND_CHARACTERS, break_on_hyphens=False)
        )
        values = [value_at(record, (UNTUNED_STUDENT.scores_key, *keys)) for record in run.evaluations]
        minutes = training_minutes(run.evaluations)
        (line,) = axes.plot(minutes, values, ".-", color=colours.get(kind), label=label)
        colours[kind] = line.get_color()
    _, latest = axes.xaxis.get_data_interval()
    if latest > LOGARITHMIC_FROM * axes.xaxis.get_minpos():
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=LOGARITHMIC_TICKS))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter("{x:g}")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(PercentFormatter(1))  # of scores from 0 to 1
    axes.set_title(title)
    axes.set_xlabel(f"minutes of training{', logarithmic' * (axes.get_xscale() == 'log')}")
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", fontsize="small")
    save_figure(figure, path)
