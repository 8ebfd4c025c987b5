"""What several tests share: where things lie, how commands are run, and a small trained run."""

import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

from tests.commands import PROJECT, run_well
from tests.settings_for_tests import SETTINGS
from tests.small import EXTRACT, Finished, Small, finish_all_stages, make_small
from utils.dataset.subsets import SUBSETS
from utils.synthesis.demo_clips import make_demo_dataset
from utils.workspace.paths import RunPaths, Workspace
from utils.workspace.run import Run

SHARED = PROJECT.parent / "shared"
TINY_CLIPS = {"train_weak": 10, "train_synthetic": 10, "train_unlabel_in_domain": 4, "validation": 5}
LABELLED_SUBSETS = ("train_weak", "train_synthetic", "validation")
FUZZ_EXAMPLES = {False: 300, True: 10_000}  # by whether the run is a slow one
TINY_RUN = Run("train_weak", "1", "Cnn_9layers_MaxPooling", "clipwise_binary_crossentropy", 4, 1234)


def shared_path(relative: str) -> Path:
    """Return a path of the shared data, or skip the test where it is absent."""
    path = SHARED / relative
    if not path.exists():
        pytest.skip(f"needs ../shared/{relative}")
    return path


@dataclass(frozen=True)
class Trained:
    """A small data set, and a workspace with its features, scalar and one trained run."""

    dataset_dir: Path
    workspace: Workspace
    run: Run
    train_output: str

    @property
    def paths(self) -> RunPaths:
        return self.workspace.run_paths(self.run)

    def run_arguments(self, **changes: object) -> list[object]:
        """Return the arguments that tell the run, with changes."""
        values = {
            "dataset_dir": self.dataset_dir,
            "workspace": self.workspace.root,
            "data_type": self.run.data_type,
            "holdout_fold": self.run.holdout_fold,
            "model_type": self.run.model_type,
            "loss_type": self.run.loss_type,
            "batch_size": self.run.batch_size,
        } | changes
        return [word for name, value in values.items() for word in (f"--{name}", value)]


def make_features(
    dataset_dir: Path,
    workspace: Path,
    *options: str,
    data_types: Iterable[str] = LABELLED_SUBSETS,
    **environment: str,
) -> None:
    """Run the feature stages: those of the subsets, and the scalar's."""
    place = ["--dataset_dir", dataset_dir, "--workspace", workspace]
    for data_type in data_types:
        run_well(*EXTRACT, *place, "--data_type", data_type, *options, **environment)
    scalar_place = ["--workspace", workspace, "--data_type", "train_weak"]
    run_well("utils/features.py", "calculate_scalar", *scalar_place, *options, **environment)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the slow tests too, and all tests longer")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: is left out of the ordinary run")
    settings.register_profile(
        "fuzz",
        deadline=None,
        max_examples=FUZZ_EXAMPLES[config.getoption("--slow")],
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    settings.load_profile("fuzz")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if "slow" in item.keywords and not config.getoption("--slow"):
            item.add_marker(pytest.mark.skip(reason="slow; run with: bash tests/run.sh --slow"))


def workspace_at(root: Path, *, mini_data: bool = False) -> Workspace:
    """Return the workspace that the commands find there with the project's own settings."""
    return Workspace(root, SETTINGS.features.folder_name, mini_data)


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """Return a folder with what `make` puts into it: one process makes it, the others copy it."""
    own = factory.mktemp(name)
    if "PYTEST_XDIST_WORKER" not in os.environ:
        make(own)
        return own
    common = factory.getbasetemp().parent / name
    with FileLock(f"{common}.lock"):
        if not common.is_dir():
            make(own)
            shutil.copytree(own, common)
            return own
    return shutil.copytree(common, own, dirs_exist_ok=True)  # with the times of change, as features know them


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demonstration data set of a few clips."""
    return made_once(
        tmp_path_factory, "tiny_dataset", lambda path: make_demo_dataset(path, clips=TINY_CLIPS, seed=1)
    )


def copy_inputs(trained: Trained, root: Path) -> Workspace:
    """A new workspace with the features and the scalar of another."""
    for kind in ("features", "scalars"):
        (root / kind).symlink_to(trained.workspace.root / kind)
    return workspace_at(root)


@pytest.fixture(scope="session")
def trained(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The tiny data set's features, scalar, and a run of two iterations."""

    def make(folder: Path) -> None:
        root = folder / "workspace"
        make_features(tiny_dataset, root, data_types=SUBSETS)
        training = Trained(tiny_dataset, workspace_at(root), TINY_RUN, "")
        output = run_well("pytorch/main.py", "train", *training.run_arguments(), "--iterations", 2)
        (folder / "output.txt").write_text(output.replace(str(root), "WORKSPACE"))

    folder = made_once(tmp_path_factory, "trained", make)
    root = folder / "workspace"
    output = (folder / "output.txt").read_text().replace("WORKSPACE", str(root))
    return Trained(tiny_dataset, workspace_at(root), TINY_RUN, output)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    """A data set and settings for trainings of a second; tests must not change it."""
    return make_small(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="session")
def finished(small: Small, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """A workspace in which every stage on the small data set came to its end undisturbed."""
    return finish_all_stages(small, tmp_path_factory.mktemp("finished"))
