"""What training and inference read from the workspace, with the command that makes it where it is missing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pytorch.data_generator import (
    Batch,
    BatchPart,
    Share,
    Standardizer,
    concatenate,
    hold,
    mixed_batches,
    training_batches,
)
from pytorch.evaluation import ValidationSet
from pytorch.losses import SYNTHETIC, Loss
from utils.audio.feature_file import Features, Scalar, open_features, read_features, read_origin, read_scalar
from utils.dataset.tables import SUBSETS
from utils.features import features_command, require_fresh, scalar_command, scalar_data_type
from utils.scoring.validation import read_reference
from utils.system.errors import SedError
from utils.workspace.paths import Run, Workspace


def load_features(workspace: Workspace, dataset_dir: Path, data_type: str, mini_data: bool) -> Features:
    """Read the features of a subset, which must be of the data set as it is now."""
    require_fresh(dataset_dir, workspace, data_type, mini_data)
    remedy = features_command(dataset_dir, workspace, data_type, mini_data)
    return read_features(workspace.features(data_type, mini_data), remedy)


@contextmanager
def open_annotated_clips(
    workspace: Workspace, dataset_dir: Path, data_type: str, mini_data: bool
) -> Iterator[ValidationSet]:
    """Open the features of a subset with events, which stay in their file, and read its annotation."""
    require_fresh(dataset_dir, workspace, data_type, mini_data)
    remedy = features_command(dataset_dir, workspace, data_type, mini_data)
    with open_features(workspace.features(data_type, mini_data), remedy) as features:
        yield ValidationSet(features, read_reference(dataset_dir, data_type, features))


def load_validation_set(workspace: Workspace, dataset_dir: Path, mini_data: bool) -> ValidationSet:
    """Read the features of the validation clips and their annotation."""
    features = load_features(workspace, dataset_dir, "validation", mini_data)
    return ValidationSet(features, read_reference(dataset_dir, "validation", features))


def load_training_subsets(
    workspace: Workspace, dataset_dir: Path, run: Run, validation: Features
) -> dict[str, Features]:
    """Read the features of the subsets that a run trains on.

    Where the run holds nothing out, the validation clips join the subset that is annotated most like them.
    """
    subsets = {name: load_features(workspace, dataset_dir, name, run.mini_data) for name in run.data_types}
    if run.holdout_fold == "none":
        host = SYNTHETIC if SYNTHETIC in subsets else run.data_types[0]
        subsets[host] = concatenate([subsets[host], validation])
    return subsets


def labelled_clips(subsets: dict[str, Features]) -> Features:
    """Return those clips of the subsets whose labels are known."""
    return concatenate([features for features in subsets.values() if features.weak_target is not None])


def batches_of(
    subsets: dict[str, Features], loss: Loss, run: Run, standardize: Standardizer, share: Share, skip: int
) -> Iterator[Batch]:
    """Yield this process's share of the batches of a run without end, mixed as its loss needs them.

    The first `skip` batches are left out, as the run has seen them before.
    """
    device = standardize.mean.device
    order = {"seed": run.seed, "share": share, "skip": skip}
    if loss.batch_shares is None:
        clips = hold(concatenate(list(subsets.values())), device)
        return training_batches(clips, standardize, batch_size=run.batch_size, **order)
    parts = [
        BatchPart(hold(subsets[name], device), round(share * run.batch_size), SUBSETS[name].annotation)
        for name, share in loss.batch_shares.items()
    ]
    return mixed_batches(parts, standardize, **order)


def load_scalar(workspace: Workspace, mini_data: bool) -> Scalar:
    """Read the scalar that every run standardizes by, which must be of the features as they are now."""
    data_type = scalar_data_type(workspace, mini_data)
    remedy = scalar_command(workspace, data_type, mini_data)
    path = workspace.scalar(data_type, mini_data)
    scalar = read_scalar(path, remedy)
    features = workspace.features(data_type, mini_data)
    if features.is_file() and read_origin(features, remedy).digest() != scalar.features:
        raise SedError(f"{path}: is of other features than those in {features}; make it again with: {remedy}")
    return scalar


def describe_count(features: Features) -> str:
    """Return how many clips there are, and how many are missing."""
    there, listed = len(features.names), features.clips_listed
    return (
        f"{there}"
        if there == listed
        else f"{there} of {listed} ({listed - there} recordings are missing or unreadable)"
    )


def describe_counts(subsets: dict[str, Features]) -> str:
    """Return how many clips there are of each subset; where there is one, without its name."""
    if len(subsets) == 1:
        return describe_count(*subsets.values())
    return ", ".join(f"{describe_count(features)} of {name}" for name, features in subsets.items())
