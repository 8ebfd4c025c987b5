"""The reference of the validation clips, and the scores of a model's probabilities on them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from utils.audio.feature_file import Features
from utils.audio.inputs import load_features, open_fresh_features
from utils.dataset.subsets import VALIDATION, read_clips
from utils.dataset.tables import Clip, write_strong_table
from utils.events.post_processing import PostProcessing
from utils.events.probabilities import Probabilities
from utils.scoring.sed_eval_scores import DetectionScores, mean_average_precision, score_events
from utils.settings.groups import ScoringSettings, Settings
from utils.system.files import file_digest
from utils.workspace.paths import Workspace


@dataclass(frozen=True)
class ValidationReference:
    """The annotation of the clips of a subset that there are features of, in the features' order.

    Attributes
    ----------
    clips : list of Clip
    weak_target : np.ndarray, shape (clips, classes), bool
    clips_listed : int
        Clips in the table; more where recordings are missing.
    """

    clips: list[Clip]
    weak_target: np.ndarray
    clips_listed: int


@dataclass(frozen=True)
class ValidationSet:
    """Clips to validate or to tune on: their features, and their annotation in the same order."""

    features: Features
    reference: ValidationReference


@dataclass(frozen=True)
class ValidationScores:
    """The scores of a model on the validation clips, and the digest of the submission that has them."""

    mean_average_precision: float
    detection: DetectionScores
    clips_listed: int
    submission_digest: str

    def to_json(self) -> dict[str, Any]:
        """Return the scores as nested dictionaries, for a line of statistics."""
        return {
            "mean_average_precision": self.mean_average_precision,
            "clips_listed": self.clips_listed,
            "submission_digest": self.submission_digest,
            **self.detection.to_json(),
        }


def read_reference(
    dataset_dir: Path, data_type: str, features: Features, labels: Sequence[str]
) -> ValidationReference:
    """Read the annotation of those clips of a subset that there are features of."""
    by_name = {clip.name: clip for clip in read_clips(dataset_dir, data_type, labels)}
    clips = [by_name[name] for name in features.names]
    return ValidationReference(clips, features.weak_target, features.clips_listed)


@contextmanager
def open_validation_set(
    workspace: Workspace, dataset_dir: Path, data_type: str, settings: Settings
) -> Iterator[ValidationSet]:
    """Open the features of a subset with events, which stay in their file, and read its annotation."""
    with open_fresh_features(workspace, dataset_dir, data_type, settings) as features:
        labels = settings.features.labels
        yield ValidationSet(features, read_reference(dataset_dir, data_type, features, labels))


def load_validation_set(workspace: Workspace, dataset_dir: Path, settings: Settings) -> ValidationSet:
    """Read the features of the validation clips into memory, and their annotation."""
    features = load_features(workspace, dataset_dir, VALIDATION, settings)
    labels = settings.features.labels
    return ValidationSet(features, read_reference(dataset_dir, VALIDATION, features, labels))


def score_submission(
    submission: Sequence[Clip],
    clipwise: np.ndarray,
    reference: ValidationReference,
    path: Path,
    *,
    labels: Sequence[str],
    scoring: ScoringSettings,
    show_progress: bool = True,
) -> ValidationScores:
    """Write a submission to `path`, and score it and its clip probabilities."""
    mean_ap = mean_average_precision(reference.weak_target, clipwise)
    write_strong_table(path, submission, list_eventless=False)
    digest = file_digest(path)
    scores = score_events(
        reference.clips, submission, labels=labels, scoring=scoring, show_progress=show_progress
    )
    return ValidationScores(mean_ap, scores, reference.clips_listed, digest)


def score_probabilities(
    probabilities: Probabilities,
    reference: ValidationReference,
    path: Path,
    *,
    post_processing: PostProcessing,
    scoring: ScoringSettings,
) -> ValidationScores:
    """Turn probabilities into a submission, written to `path`, and score both."""
    submission = post_processing.submission([clip.name for clip in reference.clips], probabilities)
    return score_submission(
        submission,
        probabilities.clipwise,
        reference,
        path,
        labels=post_processing.labels,
        scoring=scoring,
        show_progress=False,
    )
