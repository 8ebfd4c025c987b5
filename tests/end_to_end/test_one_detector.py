"""A trained model is one detector: the commands take all that it needs from its checkpoint, and so agree."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from pytorch.compute import choose_compute
from pytorch.detector import load_detector
from tests.commands import assert_user_error, run_command, run_well
from tests.settings_for_tests import LABELS
from tests.small import CONFIG, FEATURES_FOLDER, Small, make_small
from utils.audio.feature_file import read_features, read_scalar, write_scalar
from utils.dataset.tables import Event, read_strong_table
from utils.settings.groups import PUBLISHED_TRAINING
from utils.workspace.paths import RunPaths, Workspace
from utils.workspace.run import STUDENT, Run

pytestmark = pytest.mark.xdist_group("detector")  # one process runs all these tests, as they share a run

RUN = Run("train_synthetic", "1", "Cnn_5layers_AvgPooling", "framewise_binary_crossentropy", 4, 1234)
FLIPPED = replace(RUN, training=replace(PUBLISHED_TRAINING, outputs_in_float32=False))
ITERATIONS = 6
PRECISION = ("--precision", "bf16")  # in float32 it would not matter where the outputs are computed
# After so few iterations hardly anything is sure: thresholds at which events are found all the same.
EAGER = (
    "clip_threshold = 0.05\nhigh_threshold = 0.1\nlow_threshold = 0.08\njoin_gap = 0.0\ndrop_length = 0.0\n"
)
Events = dict[str, list[Event]]


def events_by_name(path: Path) -> Events:
    clips = read_strong_table(path, LABELS)
    return {clip.name: sorted(clip.events, key=lambda e: (e.label, e.onset)) for clip in clips}


@dataclass(frozen=True)
class Scored:
    """A trained run, and what was detected and tuned with it before anything was changed."""

    small: Small
    workspace: Workspace
    detected: Events
    tuned: str

    @property
    def paths(self) -> RunPaths:
        return self.workspace.run_paths(RUN)

    @property
    def clips(self) -> Path:
        return self.small.dataset_dir / "audio/validation"

    def inference(self, paths: RunPaths, *options: object) -> tuple[str, Events]:
        """Run `inference_validation`; return what it printed, and the events of all clips."""
        output = self.small.run(
            *self.small.inference(self.workspace.root, RUN, ITERATIONS), *PRECISION, *options
        )
        eventless = {path.name: [] for path in self.clips.iterdir()}
        return output, eventless | events_by_name(paths.submission(ITERATIONS))

    def tune(self) -> list[object]:
        arguments = self.small.of_run(self.workspace.root, RUN)
        return ["pytorch/inference.py", "tune", *arguments, "--iteration", ITERATIONS, *PRECISION]

    def predicted(self, checkpoint: Path, output_dir: Path, config: str = "") -> Events:
        """Run `predict` on the validation clips and return its table."""
        place = ["--checkpoint_path", checkpoint, self.clips, "--output_dir", output_dir]
        run_well("pytorch/inference.py", "predict", *place, *PRECISION, SED_CONFIG=config)
        return events_by_name(output_dir / "events.csv")


@pytest.fixture(scope="module")
def scored(tmp_path_factory) -> Scored:
    folder = tmp_path_factory.mktemp("detector")
    small = make_small(folder)
    small.config.write_text(CONFIG + EAGER)
    for path in (small.dataset_dir / "audio/validation").iterdir():
        audio, rate = soundfile.read(path)
        soundfile.write(path, audio[: 2 * rate], rate)  # as long as a clip: `predict` has no second window
    workspace = Workspace(folder / "workspace", FEATURES_FOLDER)
    for data_type in ("train_synthetic", "train_weak", "validation"):
        small.run(*small.extract(workspace.root, data_type))
    small.run(*small.scalar(workspace.root))
    small.run(*small.train(workspace.root, RUN, ITERATIONS), *PRECISION)
    new = Scored(small, workspace, {}, "")
    _, detected = new.inference(new.paths)
    small.run(*new.tune())
    tuned = new.paths.checkpoint(ITERATIONS).with_name(f"md_{ITERATIONS}_iters_tuned.json")
    return replace(new, detected=detected, tuned=tuned.read_text())


@pytest.fixture
def changed(scored, tmp_path) -> Scored:
    """The same run in a workspace whose scalar is another one, with settings that a test may change."""
    root = tmp_path / "workspace"
    shutil.copytree(scored.workspace.root, root)
    for path in (*root.rglob("*_submission.csv"), *root.rglob("*_tuned.json")):
        path.unlink()
    workspace = Workspace(root, FEATURES_FOLDER)
    path = workspace.scalar("train_weak")
    scalar = read_scalar(path, 16)
    write_scalar(path, replace(scalar, mean=scalar.mean + 20, std=2 * scalar.std))
    config = tmp_path / "config.py"
    config.write_text(CONFIG + EAGER)
    return replace(scored, small=replace(scored.small, config=config), workspace=workspace)


def test_predict_and_inference_validation_agree(scored, tmp_path):
    assert sum(map(len, scored.detected.values())) > 10
    assert scored.predicted(scored.paths.checkpoint(ITERATIONS), tmp_path) == scored.detected


def test_scalar_of_the_workspace_does_not_matter_to_a_trained_model(scored, changed, tmp_path):
    _, detected = changed.inference(changed.paths)
    assert detected == scored.detected
    assert changed.predicted(changed.paths.checkpoint(ITERATIONS), tmp_path / "events") == scored.detected
    changed.small.run(*changed.tune())
    (tuned,) = changed.workspace.root.rglob("*_tuned.json")
    assert tuned.read_text() == scored.tuned

    shutil.rmtree(changed.workspace.root / "scalars")
    _, detected = changed.inference(changed.paths)
    assert detected == scored.detected


def test_float32_outputs_are_those_of_the_training_whatever_the_settings_are_now(scored, changed, tmp_path):
    """The folder of a run tells the settings of its training, so a run of others is not found by accident;
    whoever puts its checkpoint there gets the detector that was trained."""
    changed.small.config.write_text(f"{CONFIG}{EAGER}outputs_in_float32 = False\n")
    command = changed.small.inference(changed.workspace.root, RUN, ITERATIONS)
    result = run_command(*command, *PRECISION, **changed.small.environment)
    assert_user_error(result, "outputs_in_float32=False", "there is no checkpoint of this run")

    flipped = changed.workspace.run_paths(FLIPPED)
    flipped.checkpoint(ITERATIONS).parent.mkdir(parents=True)
    shutil.copy(changed.paths.checkpoint(ITERATIONS), flipped.checkpoint(ITERATIONS))
    _, detected = changed.inference(flipped)
    assert detected == scored.detected
    config = str(changed.small.config)
    assert changed.predicted(flipped.checkpoint(ITERATIONS), tmp_path / "a", config) == scored.detected
    assert changed.predicted(changed.paths.checkpoint(ITERATIONS), tmp_path / "b", config) == scored.detected


def test_thresholds_are_those_of_the_training_unless_sed_config_names_them(scored, changed):
    changed.small.config.write_text(CONFIG)
    output, detected = changed.inference(changed.paths)
    assert detected == scored.detected
    assert (
        "clip_threshold is 0.05, as in the checkpoint; name it in a SED_CONFIG file to replace it" in output
    )
    changed.small.config.write_text(f"{CONFIG}clip_threshold = 1.0\n")
    output, detected = changed.inference(changed.paths)
    assert not any(detected.values())
    assert "clip_threshold is" not in output


@pytest.mark.parametrize("change", ["scalar", "outputs_in_float32"])
def test_what_the_checkpoint_keeps_would_matter(scored, tmp_path, change):
    """Otherwise the tests above would show nothing."""
    path = scored.paths.checkpoint(ITERATIONS)
    content = torch.load(path, weights_only=True)
    mean, std = content["scalar"]["mean"], content["scalar"]["std"]
    values = {"scalar": {"mean": mean + 20, "std": 2 * std}, "outputs_in_float32": False}
    torch.save(content | {change: values[change]}, tmp_path / "changed.pth")
    compute = choose_compute(cuda=False, precision="bf16")
    detectors = [
        load_detector(one, STUDENT, compute, batch_size=32, event_values={})
        for one in (path, tmp_path / "changed.pth")
    ]
    logmel = read_features(scored.workspace.features("validation"), detectors[0].features).logmel
    before, after = (detector.probabilities(logmel).framewise for detector in detectors)
    assert not np.array_equal(before, after)
