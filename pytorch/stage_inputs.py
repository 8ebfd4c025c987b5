"""What training and inference read from the workspace, with the command that makes it where it is missing."""

from pathlib import Path

from pytorch.evaluation import ValidationSet, read_reference
from utils.feature_file import Features, Scalar, read_features, read_scalar
from utils.features import SCALAR_DATA_TYPES, features_command, scalar_command
from utils.workspace import Workspace


def load_features(workspace: Workspace, dataset_dir: Path, data_type: str, mini_data: bool) -> Features:
    """Read the features of a subset."""
    remedy = features_command(dataset_dir, workspace, data_type, mini_data)
    return read_features(workspace.features(data_type, mini_data), remedy)


def load_validation_set(workspace: Workspace, dataset_dir: Path, mini_data: bool) -> ValidationSet:
    """Read the features of the validation clips and their reference."""
    features = load_features(workspace, dataset_dir, "validation", mini_data)
    return ValidationSet(features, read_reference(dataset_dir, features.names))


def load_scalar(workspace: Workspace, mini_data: bool) -> Scalar:
    """Read the scalar that every run standardizes by."""
    data_type = SCALAR_DATA_TYPES[0]
    remedy = scalar_command(workspace, data_type, mini_data)
    return read_scalar(workspace.scalar(data_type, mini_data), remedy)


def describe_count(features: Features) -> str:
    """Return how many clips there are, and how many are missing."""
    there, listed = len(features.names), features.clips_listed
    return f"{there}" if there == listed else f"{there} of {listed} ({listed - there} recordings are missing)"
