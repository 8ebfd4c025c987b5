"""PSDS of frame probabilities over all thresholds, through sed_scores_eval."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from utils.dataset.tables import Clip, Event
from utils.events.post_processing import PostProcessing
from utils.events.probabilities import Probabilities
from utils.settings.groups import ScoringSettings
from utils.system.errors import SedError


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


def psds_scenarios(scoring: ScoringSettings) -> tuple[PsdsScenario, PsdsScenario]:
    """Return the scenarios of PSDS1 and PSDS2."""
    return PsdsScenario(scoring.psds1_tolerance), PsdsScenario(
        scoring.psds2_tolerance, scoring.psds2_cross_trigger_tolerance, scoring.psds2_cross_trigger_cost
    )


@dataclass(frozen=True)
class PsdsScores:
    """PSDS1, which asks for exact times, and PSDS2, which asks for the right class; 0 to 1.

    Both are NaN where the reference has no events.
    """

    psds1: float
    psds2: float

    def to_json(self) -> dict[str, Any]:
        """Return the scores as a dictionary, for a line of statistics."""
        return asdict(self)

    def log_line(self) -> str:
        """Return the scores as they stand in the log."""
        return f"PSDS1: {self.psds1:.3f}, PSDS2: {self.psds2:.3f}"


def frame_scores(
    probabilities: Probabilities, post_processing: PostProcessing, *, frames_per_second: float
) -> np.ndarray:
    """Return what PSDS puts its thresholds on, after the post-processing of each class.

    Returns
    -------
    np.ndarray, shape (clips, outputs, classes)
    """
    outputs_per_second = frames_per_second / probabilities.stride_frames
    by_class = zip(
        post_processing, np.moveaxis(probabilities.framewise, 2, 0), probabilities.clipwise.T, strict=True
    )
    scores = [
        of_class.frame_scores(framewise, clipwise, outputs_per_second=outputs_per_second)
        for of_class, framewise, clipwise in by_class
    ]
    return np.stack(scores, axis=2)


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


def score_table(scores: np.ndarray, columns: dict[str, int], edges: np.ndarray) -> pd.DataFrame:
    """Return the scores of a clip as sed_scores_eval takes them.

    They are float32, of which it makes a copy; its compiled part cannot read a table's own float64.
    """
    inside = scores[: len(edges) - 1].astype(np.float32)
    of_classes = {label: inside[:, index] for label, index in columns.items()}
    return pd.DataFrame({"onset": edges[:-1], "offset": edges[1:]} | of_classes)


def psds(
    reference: Sequence[Clip],
    scores: np.ndarray,
    scenario: PsdsScenario,
    *,
    labels: Sequence[str],
    edges_seconds: np.ndarray,
    durations: Sequence[float],
    instability_cost: float,
    max_false_positive_rate: float,
) -> float:
    """Compute the polyphonic sound detection score: the area under the curve of true over false positives.

    Parameters
    ----------
    reference : sequence of Clip
        The annotation. Events of a class that touch or overlap count as one.
    scores : np.ndarray, shape (clips, outputs, classes)
        What thresholds are put on, in the order of the reference. What lies beyond the end of a clip's
        recording is left out.
    scenario : PsdsScenario
    labels : sequence of str
        The classes. Those without reference events are left out.
    edges_seconds : np.ndarray, shape (outputs + 1,)
        Where outputs begin, and the end of the last one, in s.
    durations : sequence of float
        Duration of each clip in s.
    instability_cost : float
        Weight of the standard deviation over the classes, which is subtracted from their mean (αST).
    max_false_positive_rate : float
        Where the curve ends, in false positives per hour and class (e_max).

    Returns
    -------
    float
        0 to 1; NaN where the reference has no events.

    Raises
    ------
    SedError
        If sed_scores_eval is not installed.

    References
    ----------
    Bilen et al.: A framework for the robust evaluation of sound event detection, ICASSP 2020. The exact
    curve, over all thresholds: Ebbers, Serizel, Haeb-Umbach: Threshold-independent evaluation of sound event
    detection scores, ICASSP 2022.
    """
    try:  # an optional package
        from sed_scores_eval.intersection_based import psds as psds_of_package
    except ImportError as error:
        raise SedError(
            "PSDS needs sed_scores_eval; install it, with a C++ compiler, by: "
            "pip install -r requirements-psds.txt"
        ) from error
    events = {clip.name: united_events(clip.events or ()) for clip in reference}
    with_events = {label for of_clip in events.values() for _, _, label in of_clip}
    columns = {label: index for index, label in enumerate(labels) if label in with_events}
    if not columns:
        return math.nan
    tables = {
        clip.name: score_table(of_clip, columns, cut_edges(edges_seconds, duration))
        for clip, of_clip, duration in zip(reference, scores, durations, strict=True)
    }
    has_cross_triggers = scenario.cross_trigger_tolerance is not None and len(columns) > 1
    value, *_ = psds_of_package(
        tables,
        events,
        {clip.name: duration for clip, duration in zip(reference, durations, strict=True)},
        dtc_threshold=scenario.tolerance,
        gtc_threshold=scenario.tolerance,
        cttc_threshold=scenario.cross_trigger_tolerance if has_cross_triggers else None,
        alpha_ct=scenario.cross_trigger_cost if has_cross_triggers else 0.0,
        alpha_st=instability_cost,
        unit_of_time="hour",
        max_efpr=max_false_positive_rate,
    )
    return float(value)


def score_psds(
    reference: Sequence[Clip],
    scores: np.ndarray,
    *,
    labels: Sequence[str],
    scoring: ScoringSettings,
    edges_seconds: np.ndarray,
    durations: Sequence[float],
) -> PsdsScores:
    """Compute PSDS1 and PSDS2; the parameters and errors are those of `psds`."""
    psds1, psds2 = (
        psds(
            reference,
            scores,
            scenario,
            labels=labels,
            edges_seconds=edges_seconds,
            durations=durations,
            instability_cost=scoring.psds_instability_cost,
            max_false_positive_rate=scoring.psds_max_false_positive_rate,
        )
        for scenario in psds_scenarios(scoring)
    )
    return PsdsScores(psds1, psds2)
