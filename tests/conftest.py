"""What several tests share: where things lie, how commands are run, and a small trained run."""

import os
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

from utils.demo_dataset import make_demo_dataset
from utils.metadata import SUBSETS
from utils.workspace import Run, Workspace

PROJECT = Path(__file__).resolve().parents[1]
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


def run_command(*arguments: object, **environment: str) -> subprocess.CompletedProcess:
    """Run a stage command as a user would, from another directory than the project's."""
    script, *rest = map(str, arguments)
    return subprocess.run(
        [sys.executable, PROJECT / script, *rest],
        capture_output=True,
        text=True,
        cwd="/",
        env=os.environ | environment,
        timeout=300,
    )


def run_well(*arguments: object, **environment: str) -> str:
    """Run a stage command that must succeed, and return what it printed."""
    result = run_command(*arguments, **environment)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def assert_user_error(result: subprocess.CompletedProcess, *expected: object) -> None:
    """Assert that a command ended with one clear line that holds the expected words, and exit code 2."""
    assert result.returncode == 2, result.stdout + result.stderr
    assert "Traceback" not in result.stderr
    error_lines = result.stderr.strip().splitlines()
    assert len(error_lines) == 1, result.stderr
    assert error_lines[0].startswith("error: ")
    for words in expected:
        assert str(words) in error_lines[0]


@dataclass(frozen=True)
class Trained:
    """A small data set, and a workspace with its features, scalar and one trained run."""

    dataset_dir: Path
    workspace: Workspace
    run: Run
    train_output: str

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
        command = "calculate_feature_for_all_audio_files"
        run_well("utils/features.py", command, *place, "--data_type", data_type, *options, **environment)
    scalar_place = ["--workspace", workspace, "--data_type", "train_weak"]
    run_well("utils/features.py", "calculate_scalar", *scalar_place, *options, **environment)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the slow tests too, and all tests longer")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: is left out of the ordinary run")
    settings.register_profile("fuzz", deadline=None, max_examples=FUZZ_EXAMPLES[config.getoption("--slow")])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if "slow" in item.keywords and not config.getoption("--slow"):
            item.add_marker(pytest.mark.skip(reason="slow; run with: bash tests/run.sh --slow"))


@pytest.fixture(scope="session")
def tiny_dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demonstration data set of a few clips."""
    path = tmp_path_factory.mktemp("tiny_dataset")
    make_demo_dataset(path, clips=TINY_CLIPS, seed=1)
    return path


def copy_inputs(trained: Trained, root: Path) -> Workspace:
    """A new workspace with the features and the scalar of another."""
    for kind in ("features", "scalars"):
        (root / kind).symlink_to(trained.workspace.root / kind)
    return Workspace(root)


@pytest.fixture(scope="session")
def trained(tiny_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The tiny data set's features, scalar, and a run of two iterations."""
    workspace = Workspace(tmp_path_factory.mktemp("workspace"))
    make_features(tiny_dataset, workspace.root, data_types=SUBSETS)
    trained = Trained(tiny_dataset, workspace, TINY_RUN, "")
    output = run_well("pytorch/main.py", "train", *trained.run_arguments(), "--iterations", 2)
    return Trained(tiny_dataset, workspace, TINY_RUN, output)
