"""Features and scalar as later stages read them, and errors that name the command that makes them."""

import shutil
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.settings_for_tests import SETTINGS
from utils.audio.extraction import extract_features
from utils.audio.inputs import load_features, load_scalar, open_fresh_features, scalar_data_type
from utils.audio.scalar import calculate_scalar
from utils.settings.groups import Settings
from utils.synthesis.demo_clips import make_demo_dataset
from utils.system.errors import MissingInputError, SedError
from utils.system.workers import local_workers
from utils.workspace.paths import Workspace

SMALL = replace(
    SETTINGS,
    features=replace(
        SETTINGS.features, sample_rate=8000, window_size=256, hop_size=500, mel_bins=8, mel_max_frequency=4000
    ),
)
CLIPS = {"train_weak": 3, "train_synthetic": 2}


def workspace_in(root: Path, settings: Settings = SMALL) -> Workspace:
    return Workspace(root, settings.features.folder_name)


@pytest.fixture(scope="module")
def dataset_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data")
    make_demo_dataset(path, clips=CLIPS, seed=2)
    return path


@pytest.fixture(scope="module")
def made(dataset_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace with the features of two subsets, and a scalar."""
    workspace = workspace_in(tmp_path_factory.mktemp("made"))
    for data_type in CLIPS:
        extract_features(
            dataset_dir, workspace, data_type, settings=SMALL, workers=local_workers(1), strict=True
        )
    calculate_scalar(workspace, "train_weak", SMALL.features)
    return workspace


@pytest.fixture
def workspace(made: Workspace, tmp_path: Path) -> Workspace:
    """A copy, to change."""
    shutil.copytree(made.root, tmp_path / "workspace")
    return workspace_in(tmp_path / "workspace")


def test_features_have_the_shapes_that_the_settings_say(made, dataset_dir):
    weak = load_features(made, dataset_dir, "train_weak", SMALL)
    assert weak.logmel.shape == (3, 160, 8)
    assert (weak.logmel.dtype, weak.weak_target.shape, weak.strong_target) == (np.float32, (3, 10), None)
    strong = load_features(made, dataset_dir, "train_synthetic", SMALL)
    assert strong.strong_target.shape == (2, 160, 10)
    np.testing.assert_array_equal(strong.strong_target.any(axis=1), strong.weak_target)


def test_opened_features_equal_the_loaded_ones(made, dataset_dir):
    loaded = load_features(made, dataset_dir, "train_weak", SMALL)
    with open_fresh_features(made, dataset_dir, "train_weak", SMALL) as opened:
        assert isinstance(opened.logmel, h5py.Dataset)
        assert opened.names == loaded.names
        np.testing.assert_array_equal(opened.logmel, loaded.logmel)


def test_scalar_is_of_all_frames(made, dataset_dir):
    frames = load_features(made, dataset_dir, "train_weak", SMALL).logmel.astype(np.float64).reshape(-1, 8)
    scalar = load_scalar(made, 8)
    np.testing.assert_allclose(scalar.mean, frames.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(scalar.std, frames.std(axis=0), rtol=1e-12)


def test_silent_training_clips_have_no_scalar(workspace):
    with h5py.File(workspace.features("train_weak"), "r+") as file:
        file["feature"][:] = -100
    with pytest.raises(SedError, match=r"weak\.h5: all recordings of train_weak are silent; put "):
        calculate_scalar(workspace, "train_weak", SMALL.features)
    with h5py.File(workspace.features("train_weak"), "r+") as file:
        file["feature"][2, 10:20] = -60
    calculate_scalar(workspace, "train_weak", SMALL.features)


def test_missing_features_name_the_command_that_makes_them(made, dataset_dir, tmp_path):
    workspace = workspace_in(tmp_path / "two words")
    command = (
        rf"make it with: \S*python\S* \S*utils/features\.py calculate_feature_for_all_audio_files "
        rf"--dataset_dir {dataset_dir} --workspace '{tmp_path}/two words' --data_type train_weak$"
    )
    with pytest.raises(SedError, match=r"weak\.h5: there is no feature file yet; " + command):
        load_features(workspace, dataset_dir, "train_weak", SMALL)
    mini = replace(workspace, mini_data=True)
    with pytest.raises(SedError, match=command.removesuffix("$") + " --mini_data$"):
        load_features(mini, dataset_dir, "train_weak", SMALL)
    with pytest.raises(
        SedError, match=r"weak\.h5: there is no scalar yet; .* calculate_scalar .*train_weak$"
    ):
        load_scalar(workspace, 8)


def test_features_of_other_settings_name_setting_and_command(made, dataset_dir):
    other = replace(SMALL, features=replace(SMALL.features, log_floor=1e-8))
    message = r"weak\.h5: made with log_floor = 1e-10, and now it is 1e-08; make it with: \S*python"
    with pytest.raises(SedError, match=message):
        load_features(made, dataset_dir, "train_weak", other)
    with (
        pytest.raises(SedError, match=message),
        open_fresh_features(made, dataset_dir, "train_weak", other),
    ):
        pass


def test_the_command_is_not_added_to_errors_of_those_who_read(made, dataset_dir):
    with (
        pytest.raises(MissingInputError, match=r"^elsewhere: is missing$"),
        open_fresh_features(made, dataset_dir, "train_weak", SMALL),
    ):
        raise MissingInputError(Path("elsewhere"), "is missing")


def test_scalar_of_other_features_is_refused(workspace, dataset_dir):
    (workspace.features("train_weak")).unlink()
    other = replace(SMALL, features=replace(SMALL.features, log_floor=1e-8))
    extract_features(
        dataset_dir, workspace, "train_weak", settings=other, workers=local_workers(1), strict=True
    )
    with pytest.raises(
        SedError, match=r"was computed from features other than those in .*; make it with: .*calculate_sc"
    ):
        load_scalar(workspace, 8)
    with pytest.raises(SedError, match=r"not a valid scalar: 'mean' is float64 of shape \(8,\) instead of"):
        load_scalar(workspace, 16)


def test_one_scalar_is_for_all_runs_of_a_workspace(workspace):
    with pytest.raises(SedError, match="standardize by the scalar of train_weak; take another --workspace"):
        calculate_scalar(workspace, "train_synthetic", SMALL.features)
    assert scalar_data_type(workspace) == "train_weak"
    workspace.scalar("train_weak").unlink()
    workspace.features("train_weak").unlink()
    assert scalar_data_type(workspace) == "train_synthetic"
    calculate_scalar(workspace, "train_synthetic", SMALL.features)
    assert load_scalar(workspace, 8).mean.shape == (8,)


def test_scalar_without_positive_deviation_is_refused(workspace):
    with h5py.File(workspace.scalar("train_weak"), "a") as file:
        file["std"][3] = 0.0
    with pytest.raises(SedError, match=r"not a valid scalar: standard deviation must be positive; make it"):
        load_scalar(workspace, 8)
