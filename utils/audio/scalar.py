"""The scalar: mean and standard deviation of each mel band, by which the models' input is standardized."""

import h5py
import numpy as np

from utils.audio.feature_file import Scalar, open_features, read_origin, write_scalar
from utils.audio.logmel import decibels
from utils.dataset.subsets import SYNTHETIC, WEAK
from utils.settings.groups import FeatureSettings
from utils.settings.overrides import CONFIG_VARIABLE, settings_file, settings_source
from utils.system.errors import MissingInputError, SedError
from utils.system.log import logger
from utils.system.terminal import short_path
from utils.workspace.paths import Workspace

SCALAR_DATA_TYPES = (WEAK, SYNTHETIC)  # of one of them; the challenge's runs take the first


def existing_scalar(workspace: Workspace) -> str | None:
    """Return the subset that the workspace's scalar is of; None where there is no scalar."""
    return next((name for name in SCALAR_DATA_TYPES if workspace.scalar(name).is_file()), None)


def scalar_of_features(logmel: np.ndarray | h5py.Dataset, origin_digest: str) -> Scalar:
    """Compute mean and standard deviation of each mel band over all frames, in double precision.

    It reads one clip at a time. The variance is the variance of the clips' means plus the mean of the
    variances within the clips, as mean square minus squared mean would lose digits. A band that never changes
    gets the standard deviation 1, so that it becomes 0 when it is standardized.

    Parameters
    ----------
    logmel : np.ndarray or h5py.Dataset, shape (clips, frames, mel_bins), dB
    origin_digest : str
        Tells what the features were made from.
    """
    means, variances = np.empty((2, *logmel.shape[::2]))
    for index in range(len(logmel)):
        frames = logmel[index].astype(np.float64)
        means[index], variances[index] = frames.mean(axis=0), frames.var(axis=0)
    std = np.sqrt(variances.mean(axis=0) + means.var(axis=0))
    return Scalar(means.mean(axis=0), np.where(std > 0, std, 1.0), origin_digest)


def require_no_others(workspace: Workspace, data_type: str) -> None:
    """Raise MissingInputError where there are no features of a subset, but others, as with other settings."""
    source = workspace.features(data_type)
    if not source.is_file() and (others := workspace.existing_features()):
        there = ", ".join(str(path.relative_to(workspace.root)) for path in others)
        unset = "" if settings_file() else f" ({CONFIG_VARIABLE} is not set)"
        raise MissingInputError(
            source,
            f"there is no feature file yet; the workspace has {there}, which may be of another --data_type "
            f"or of other settings than those in {settings_source()}{unset}",
        )


def calculate_scalar(workspace: Workspace, data_type: str, settings: FeatureSettings) -> None:
    """Compute the scalar of a subset's features, and write it.

    Raises
    ------
    MissingInputError
        If there are no features of the subset with these settings.
    SedError
        If the runs of the workspace standardize by the scalar of another subset, or all clips are silent.
    """
    other = existing_scalar(workspace)
    if other not in (None, data_type):
        raise SedError(
            f"{workspace.scalar(other)}: the runs of this workspace standardize by the scalar of "
            f"{other}; take another --workspace, or remove that file and train again"
        )
    require_no_others(workspace, data_type)
    source = workspace.features(data_type)
    origin = read_origin(source)
    with open_features(source, settings) as features:
        scalar = scalar_of_features(features.logmel, origin.digest())
    if np.allclose(scalar.mean, decibels(np.zeros(settings.mel_bins), settings.log_floor)):
        raise SedError(
            f"{source}: all recordings of {data_type} are silent; put the ones with sound into the data set, "
            "and compute the features again"
        )
    path = workspace.scalar(data_type)
    write_scalar(path, scalar)
    logger.info(f"Scalar of {data_type}: {short_path(path)}")
