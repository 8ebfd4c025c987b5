"""PSDS of frame probabilities over all thresholds, through sed_scores_eval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from utils.dataset.tables import Clip, Event
from utils.settings.groups import ScoringSettings
from utils.system.errors import SedError
from utils.system.terminal import install_command


@dataclass(frozen=True)
class PsdsScenario:
    """Which detections are true positives, and what false ones cost.

    Attributes
    ----------
    tolerance : float
        Fraction of a detection that must lie in events of its class (DTC), and fraction of an event that such
        detections must cover (GTC).
    cross_trigger_tolerance : float or None
        Fraction of a false positive that must lie in events of another class to be a cross trigger (CTTC);
        None where cross triggers cost no more than other false positives.
    cross_trigger_cost : float
        Weight of the cross triggers in the false positive rate (αCT).
    """

    tolerance: float
    cross_trigger_tolerance: float | None = None
    cross_trigger_cost: float = 0.0


def psds_scenarios(scoring: ScoringSettings) -> dict[str, PsdsScenario]:
    """Return the scenarios of PSDS1, which asks for exact times, and of PSDS2, which asks for the class."""
    return {
        "psds1": PsdsScenario(scoring.psds1_tolerance),
        "psds2": PsdsScenario(
            scoring.psds2_tolerance, scoring.psds2_cross_trigger_tolerance, scoring.psds2_cross_trigger_cost
        ),
    }


def united_events(events: Sequence[Event]) -> list[tuple[float, float, str]]:
    """Return events as sed_scores_eval takes them: those of a class that touch or overlap are one."""
    united: list[tuple[float, float, str]] = []
    for event in sorted(events, key=lambda event: (event.label, event.onset)):
        if united and united[-1][2] == event.label and event.onset <= united[-1][1]:
            onset, offset, label = united.pop()
            united.append((onset, max(offset, event.offset), label))
        else:
            united.append((event.onset, event.offset, event.label))
    return united


def cut_edges(edges_seconds: np.ndarray, duration: float) -> np.ndarray:
    """Return the edges of the outputs, cut at the duration in s; at least one output is left."""
    inside = max(int(np.searchsorted(edges_seconds[:-1], duration)), 1)
    return np.append(edges_seconds[:inside], min(duration, edges_seconds[-1]))


@dataclass(frozen=True)
class ClipScores:
    """What thresholds are put on in a clip, up to the end of its recording.

    Attributes
    ----------
    edges_seconds : np.ndarray, shape (outputs + 1,)
        Where outputs begin, and the end of the last one, in s.
    scores : np.ndarray, shape (outputs, classes)
    """

    edges_seconds: np.ndarray
    scores: np.ndarray

    def until(self, duration: float) -> "ClipScores":
        """Return the scores up to a time in s."""
        edges = cut_edges(self.edges_seconds, duration)
        return ClipScores(edges, self.scores[: len(edges) - 1])


def scores_of_clips(
    scores: np.ndarray, edges_seconds: np.ndarray, durations: Sequence[float]
) -> list[ClipScores]:
    """Return scores of shape (clips, outputs, classes) clip by clip, each up to its duration in s."""
    return [
        ClipScores(edges_seconds, of_clip).until(duration)
        for of_clip, duration in zip(scores, durations, strict=True)
    ]


def score_table(clip: ClipScores, columns: dict[str, int]) -> pd.DataFrame:
    """Return the scores of a clip as sed_scores_eval takes them.

    They are float32, of which it makes a copy; its compiled part cannot read a table's own float64.
    """
    scores = clip.scores.astype(np.float32)
    of_classes = {label: scores[:, index] for label, index in columns.items()}
    return pd.DataFrame({"onset": clip.edges_seconds[:-1], "offset": clip.edges_seconds[1:]} | of_classes)


@dataclass(frozen=True)
class Intersections:
    """What each threshold finds in each clip, and what there is to be found.

    Attributes
    ----------
    scenario : PsdsScenario
        The one that decides what counts as found.
    labels : list of str
        The classes with reference events.
    deltas : dict
        Of each clip and class, as sed_scores_eval has it: the scores at which something changes when the
        threshold falls below them, and the changes of the true positives ("tps"), the false ones ("fps") and
        those of them that are cross triggers with another class ("cts\\LABEL").
    events : dict
        Onset, offset and label of the reference events of each clip.
    durations : dict
        Duration of each clip in s, in the order in which the clips were given.
    """

    scenario: PsdsScenario
    labels: list[str]
    deltas: dict[str, dict[str, tuple[np.ndarray, dict[str, np.ndarray]]]]
    events: dict[str, list[tuple[float, float, str]]]
    durations: dict[str, float]

    @property
    def has_cross_triggers(self) -> bool:
        scenario = self.scenario
        is_asked_for = scenario.cross_trigger_tolerance is not None and scenario.cross_trigger_cost > 0
        return is_asked_for and len(self.labels) > 1


def intersect(
    reference: Sequence[Clip],
    scores: Sequence[ClipScores],
    scenario: PsdsScenario,
    *,
    labels: Sequence[str],
    durations: Sequence[float],
) -> Intersections | None:
    """Compare what each threshold on the scores finds with the reference.

    Parameters
    ----------
    reference : sequence of Clip
        The annotation. Events of a class that touch or overlap count as one.
    scores : sequence of ClipScores
        In the order of the reference.
    scenario : PsdsScenario
    labels : sequence of str
        The classes. Those without reference events are left out.
    durations : sequence of float
        Duration of each clip in s.

    Returns
    -------
    Intersections or None
        None where the reference has no events.

    Raises
    ------
    SedError
        If sed_scores_eval is not installed.
    """
    try:  # an optional package
        from sed_scores_eval.intersection_based import intermediate_statistics as of_package
    except ImportError as error:
        raise SedError(
            "sed_scores_eval is not installed; where there is a C++ compiler, install it with: "
            + install_command("requirements-psds.txt")
        ) from error
    events = {clip.name: united_events(clip.events or ()) for clip in reference}
    with_events = {label for of_clip in events.values() for _, _, label in of_clip}
    columns = {label: index for index, label in enumerate(labels) if label in with_events}
    if not columns:
        return None
    deltas = of_package.intermediate_statistics_deltas(
        {clip.name: score_table(of_clip, columns) for clip, of_clip in zip(reference, scores, strict=True)},
        events,
        dtc_threshold=scenario.tolerance,
        gtc_threshold=scenario.tolerance,
        cttc_threshold=scenario.cross_trigger_tolerance if len(columns) > 1 else None,
    )
    by_clip = {clip.name: duration for clip, duration in zip(reference, durations, strict=True)}
    return Intersections(scenario, list(columns), deltas, events, by_clip)


def psds(
    intersections: Intersections | None, *, instability_cost: float, max_false_positive_rate: float
) -> float:
    """Compute the polyphonic sound detection score: the area under the curve of true over false positives.

    Parameters
    ----------
    intersections : Intersections or None
        See `intersect`.
    instability_cost : float
        Weight of the standard deviation over the classes, which is subtracted from their mean (αST).
    max_false_positive_rate : float
        Where the curve ends, in false positives per hour and class (e_max).

    Returns
    -------
    float
        0 to 1; NaN where the reference has no events.

    References
    ----------
    Bilen et al.: A framework for the robust evaluation of sound event detection, ICASSP 2020. The exact
    curve, over all thresholds: Ebbers, Serizel, Haeb-Umbach: Threshold-independent evaluation of sound event
    detection scores, ICASSP 2022.
    """
    if intersections is None:
        return math.nan
    from sed_scores_eval.intersection_based import psds as psds_of_package

    scenario, has_cross_triggers = intersections.scenario, intersections.has_cross_triggers
    value, *_ = psds_of_package(
        None,
        intersections.events,
        intersections.durations,
        deltas=intersections.deltas,
        dtc_threshold=scenario.tolerance,
        gtc_threshold=scenario.tolerance,
        cttc_threshold=scenario.cross_trigger_tolerance if has_cross_triggers else None,
        alpha_ct=scenario.cross_trigger_cost if has_cross_triggers else 0.0,
        alpha_st=instability_cost,
        unit_of_time="hour",
        max_efpr=max_false_positive_rate,
    )
    return float(value)
