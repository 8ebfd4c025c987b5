"""What later stages read: features and scalar, with the command that makes them where they are missing."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from utils.audio.feature_file import Features, Scalar, open_features, read_features, read_origin, read_scalar
from utils.audio.origin import digest, table_digest, what_changed
from utils.audio.scalar import SCALAR_DATA_TYPES, existing_scalar, require_no_others
from utils.dataset.subsets import SUBSETS, listed_clips
from utils.settings.groups import Settings
from utils.settings.overrides import with_settings
from utils.system.errors import MissingInputError, made_by
from utils.workspace.paths import Workspace

SCRIPT = Path(__file__).resolve().parents[1] / "features.py"


def features_command(dataset_dir: Path, workspace: Workspace, data_type: str) -> str:
    """Return the command that makes the features of a subset, for error messages."""
    command = ["calculate_feature_for_all_audio_files", "--dataset_dir", dataset_dir]
    return stage_command(command, workspace, data_type)


def scalar_command(workspace: Workspace, data_type: str) -> str:
    """Return the command that makes the scalar, for error messages."""
    return stage_command(["calculate_scalar"], workspace, data_type)


def stage_command(words: Sequence[str | Path], workspace: Workspace, data_type: str) -> str:
    """Return a command of `features.py`, in which `words` are followed by its place."""
    place = ["--workspace", workspace.root, "--data_type", data_type, *["--mini_data"] * workspace.mini_data]
    return with_settings(SCRIPT, *words, *place)


def require_fresh(workspace: Workspace, dataset_dir: Path, data_type: str, settings: Settings) -> None:
    """Raise MissingInputError unless the features of a subset are those that would be made now."""
    path = workspace.features(data_type)
    table = table_digest(listed_clips(dataset_dir, data_type, settings, mini_data=workspace.mini_data))
    audio_folder = dataset_dir / SUBSETS[data_type].audio_folder
    changed = what_changed(read_origin(path), settings.features, table, audio_folder)
    if changed:
        raise MissingInputError(path, changed)


def load_features(workspace: Workspace, dataset_dir: Path, data_type: str, settings: Settings) -> Features:
    """Read the features of a subset into memory.

    Raises
    ------
    SedError
        If there are none, or they are not of the data set and the settings as they are now; with the command
        that makes them.
    """
    with made_by(features_command(dataset_dir, workspace, data_type)):
        require_fresh(workspace, dataset_dir, data_type, settings)
        return read_features(workspace.features(data_type), settings.features)


@contextmanager
def open_fresh_features(
    workspace: Workspace, dataset_dir: Path, data_type: str, settings: Settings
) -> Iterator[Features]:
    """Open the features of a subset, whose large arrays stay in the file; errors as of `load_features`."""
    with ExitStack() as stack:
        with made_by(features_command(dataset_dir, workspace, data_type)):
            require_fresh(workspace, dataset_dir, data_type, settings)
            features = stack.enter_context(open_features(workspace.features(data_type), settings.features))
        yield features


def scalar_data_type(workspace: Workspace, wanted: Sequence[str] = ()) -> str:
    """Return the subset whose scalar the runs of the workspace standardize by: the first that there is.

    Where there is none yet, one of those `wanted`, so that a message names no subset that is not there.
    """
    with_features = [name for name in SCALAR_DATA_TYPES if workspace.features(name).is_file()]
    possible = [name for name in SCALAR_DATA_TYPES if name in wanted]
    return existing_scalar(workspace) or [*with_features, *possible, *SCALAR_DATA_TYPES][0]


def load_scalar(workspace: Workspace, mel_bins: int, data_types: Sequence[str] = ()) -> Scalar:
    """Read the scalar of the workspace, for a run on the subsets `data_types`.

    Raises
    ------
    SedError
        If there is none, or it is not of the features as they are now; with the command that makes it.
    """
    data_type = scalar_data_type(workspace, data_types)
    path, features = workspace.scalar(data_type), workspace.features(data_type)
    if not path.is_file():
        require_no_others(workspace, data_type)
    with made_by(scalar_command(workspace, data_type)):
        scalar = read_scalar(path, mel_bins)
        if features.is_file() and read_origin(features).digest() != scalar.features:
            raise MissingInputError(path, f"was computed from features other than those in {features}")
    return scalar


def input_digests(workspace: Workspace, data_types: Sequence[str], scalar: Scalar) -> dict[str, str]:
    """Return digests of the features of subsets and of a scalar, by what they are of."""
    features = {f"features of {name}": read_origin(workspace.features(name)).digest() for name in data_types}
    return features | {"scalar": digest(scalar.mean.tolist(), scalar.std.tolist())}
