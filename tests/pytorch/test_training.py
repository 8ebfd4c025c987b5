"""What training promises: the same seed gives the same weights, losses fall, statistics tell the run."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score
from torch.nn import functional as F

from pytorch.compute import Compute, choose_compute, make_repeatable
from pytorch.data_generator import Standardizer
from pytorch.detector import StoredDetector, load_detector
from pytorch.distributed import ALONE
from pytorch.models import create_model
from pytorch.training import new_training, training_step
from pytorch.training_data import batches_of, evenly_chosen
from tests.commands import PROJECT, assert_user_error, run_command, run_well
from tests.conftest import Trained, copy_inputs
from tests.settings_for_tests import SETTINGS
from tests.small import CNN, ITERATIONS, new_workspace
from utils.audio.feature_file import read_features, read_scalar
from utils.settings.groups import PUBLISHED_TRAINING
from utils.system.terminal import LINE_LENGTH
from utils.workspace.paths import RunPaths
from utils.workspace.run import STUDENT, TEACHER, Run

ALL_SUBSETS = "train_weak+train_synthetic+train_unlabel_in_domain"
FEATURES = SETTINGS.features


def weights(paths: RunPaths, iteration: int) -> dict[str, torch.Tensor]:
    return torch.load(paths.checkpoint(iteration), weights_only=True)["model"]


def load_student(path: Path, precision: str = "auto") -> StoredDetector:
    compute = choose_compute(cuda=False, precision=precision)
    return load_detector(path, STUDENT, compute, batch_size=32, event_values={})


def test_same_seed_gives_the_same_weights_and_another_does_not(small, finished, tmp_path):
    workspace = new_workspace(finished, tmp_path, "features", "scalars")
    small.run(*small.train(tmp_path, CNN, ITERATIONS))
    paths = workspace.run_paths(CNN)
    first = weights(finished.workspace.run_paths(CNN), ITERATIONS)
    again = weights(paths, ITERATIONS)
    assert all(torch.equal(first[name], again[name]) for name in first)

    other_seed = replace(CNN, seed=7)
    small.run(*small.train(tmp_path, other_seed, ITERATIONS))
    other = weights(workspace.run_paths(other_seed), ITERATIONS)
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])
    assert weights(paths, ITERATIONS).keys() == first.keys(), "the other run's files are gone"


def test_log_has_few_lines_and_none_is_long_but_for_the_path_of_the_checkpoint(trained):
    clips, compute, *absent_classes, checkpoint, scores, command = trained.train_output.splitlines()
    assert all(line.startswith("The mAP leaves out ") for line in absent_classes)
    assert clips == "Training clips: 10 of train_weak"
    assert re.fullmatch(r"Validation clips: 5; compute: cpu, \w+", compute)
    assert checkpoint == f"Checkpoint: {trained.paths.checkpoint(2)}"
    (record,) = map(json.loads, trained.paths.training_statistics.read_text().splitlines())
    validation = record["validation"]
    shown = (
        record["train_mean_average_precision"],
        validation["mean_average_precision"],
        validation["event"]["macro"]["f1"],
        *(validation["segment"][key]["macro"]["f1"] for key in ("0.2s", "1s")),
    )
    names = "train mAP {}, validation mAP {}, event F1 {}, segment F1 {} (0.2s), {} (1s)"
    assert scores == "evaluation at 2: " + names.format(*(f"{100 * score:.1f}" for score in shown))
    assert len(scores) <= LINE_LENGTH
    assert command.startswith("Best model so far; detect events with: ")
    assert f" predict --workspace {trained.workspace.root} --run best RECORDINGS " in command


def test_statistics_are_json_lines(trained):
    lines = trained.paths.training_statistics.read_text().splitlines()
    (record,) = map(json.loads, lines)
    assert record["iteration"] == 2
    assert record["loss"] > 0
    assert set(record["validation"]) == {
        "mean_average_precision",
        "clips_listed",
        "clips",
        "event",
        "segment",
        "submission_digest",
    }
    assert record["validation"]["clips"] == 5


def test_step_by_hand_gives_the_trained_weights(trained, tmp_path):
    """One Adam step written out, on the batch that the seed's permutation gives, in float32."""
    workspace = copy_inputs(trained, tmp_path)
    arguments = [*trained.run_arguments(workspace=tmp_path), "--iterations", 1]
    output = run_well("pytorch/main.py", "train", *arguments, "--precision", "fp32")
    assert "compute: cpu, float32" in output

    with h5py.File(workspace.features("train_weak")) as file:
        order = np.random.default_rng(1234).permutation(10)[:4]
        logmel, target = file["feature"][:][order], file["weak_target"][:][order]
    with h5py.File(workspace.scalar("train_weak")) as file:
        logmel = ((logmel - file["mean"][:]) / file["std"][:]).astype(np.float32)
    torch.manual_seed(1234)
    model = create_model("Cnn_9layers_MaxPooling", 10, "frame_vectors", outputs_in_float32=True, mel_bins=64)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    output = model(torch.from_numpy(logmel))
    F.binary_cross_entropy(output.clipwise_output, torch.from_numpy(target.astype(np.float32))).backward()

    after = weights(workspace.run_paths(trained.run), 1)
    for name, parameter in model.named_parameters():
        # Adam's first step: each weight moves by the learning rate against the sign of its gradient.
        step = 0.001 * parameter.grad / (parameter.grad.abs() + 1e-8)
        far_from_zero = parameter.grad.abs() > 1e-5
        difference = (before[name] - step - after[name])[far_from_zero]
        assert difference.abs().max() < 2e-5, name


@pytest.mark.parametrize(
    ("data_type", "model_type", "loss_type"),
    [
        ("train_weak", "Cnn_5layers_AvgPooling", "clipwise_binary_crossentropy"),
        (ALL_SUBSETS, "Crnn", "mean_teacher"),
    ],
)
def test_main_and_calls_of_training_step_give_the_same_weights(
    trained, tmp_path, data_type, model_type, loss_type
):
    workspace = copy_inputs(trained, tmp_path)
    run = replace(trained.run, data_type=data_type, model_type=model_type, loss_type=loss_type)
    mine = Trained(trained.dataset_dir, workspace, run, "")
    run_well("pytorch/main.py", "train", *mine.run_arguments(), "--iterations", 4)
    saved = torch.load(mine.paths.checkpoint(4), weights_only=True)

    make_repeatable(run.seed, gpu_repeatable=False)
    compute = choose_compute(cuda=False, precision="auto")
    scalar = read_scalar(workspace.scalar("train_weak"), FEATURES.mel_bins)
    standardize = Standardizer.of(scalar, compute.device)
    subsets = {name: read_features(workspace.features(name), FEATURES) for name in run.data_types}
    ranks = ALONE
    training = new_training(
        run, FEATURES, iterations=4, standardize=standardize, compute=compute, ranks=ranks
    )
    batches = batches_of(run, subsets, standardize, gpu_data_fraction=0.0, ranks=ranks, skip=0)
    for _ in range(4):
        training_step(training, next(batches))
    for key, model in {"model": training.model, "teacher": training.models.get(TEACHER)}.items():
        assert (key in saved) == (model is not None)
        for name, value in model.state_dict().items() if model is not None else ():
            assert torch.equal(saved[key][name], value), f"{key} {name}"


def test_loss_falls(small, finished, tmp_path):
    workspace = new_workspace(finished, tmp_path, "features", "scalars")
    run = Run("train_synthetic", "1", "Cnn_9layers_MaxPooling", "framewise_binary_crossentropy", 4, 1234)
    small.run(*small.train(tmp_path, run, 12))
    points = [json.loads(line) for line in workspace.run_paths(run).loss_statistics.read_text().splitlines()]
    assert [point["iteration"] for point in points] == [2, 4, 6, 8, 10, 12]
    assert points[-1]["loss"] < points[0]["loss"] / 2


@pytest.mark.parametrize(
    ("data_type", "loss_type", "is_baseline"),
    [(ALL_SUBSETS, "mean_teacher", True), ("train_weak", "clipwise_binary_crossentropy", False)],
)
def test_each_published_system_has_its_own_adam_and_learning_rates(data_type, loss_type, is_baseline):
    """The baseline: plain Adam of 0.001 throughout; the CNNs: AMSGrad, and 0.9 times less every 200 steps."""
    training = new_training(
        Run(data_type, "1", "Crnn", loss_type, 24, 1),
        SETTINGS.features,
        iterations=1000,
        standardize=Standardizer(torch.zeros(64), torch.ones(64)),
        compute=Compute(torch.device("cpu"), torch.float32),
        ranks=ALONE,
    )
    (group,) = training.optimizer.param_groups
    assert group["amsgrad"] != is_baseline
    training.optimizer.step()
    for _ in range(400):
        training.scheduler.step()
    assert group["lr"] == pytest.approx(0.001 if is_baseline else 0.00081)


def test_learning_rate_decays_and_checkpoints_come_at_their_intervals(small, finished, tmp_path):
    workspace = new_workspace(finished, tmp_path, "features", "scalars")
    settings = "learning_rate_decay_interval = 2\ncheckpoint_interval = 2\nevaluation_interval = 4\n"
    small = small.with_settings(tmp_path, settings)
    small.run(*small.train(tmp_path, CNN, 5))
    run = replace(CNN, training=replace(PUBLISHED_TRAINING, learning_rate_decay_interval=2))
    paths = workspace.run_paths(run)
    assert paths.saved_iterations() == [2, 4, 5]
    rates = [
        torch.load(paths.checkpoint(n), weights_only=True)["optimizer"]["param_groups"][0] for n in (2, 4, 5)
    ]
    assert [group["lr"] for group in rates] == pytest.approx([0.0009, 0.00081, 0.00081])
    assert rates[0]["betas"] == (0.9, 0.999)
    assert rates[0]["eps"] == 1e-8
    assert rates[0]["amsgrad"]
    assert rates[0]["weight_decay"] == 0
    lines = paths.training_statistics.read_text().splitlines()
    assert [json.loads(line)["iteration"] for line in lines] == [4, 5]


def test_evaluations_beside_the_training_are_logged_in_order_and_all_there_at_the_end(
    small, finished, tmp_path
):
    workspace = new_workspace(finished, tmp_path, "features", "scalars")
    small = small.with_settings(tmp_path, "evaluation_interval = 1\n")
    output = small.run(*small.train(tmp_path, CNN, 4))
    evaluated = re.findall(r"^evaluation at (\d+): .*validation mAP", output, re.MULTILINE)
    assert [int(iteration) for iteration in evaluated] == [1, 2, 3, 4]
    lines = workspace.run_paths(CNN).training_statistics.read_text().splitlines()
    assert [json.loads(line)["iteration"] for line in lines] == [1, 2, 3, 4]


def test_failure_of_an_evaluation_beside_the_training_fails_the_run(small, finished, tmp_path):
    new_workspace(finished, tmp_path, "features", "scalars")
    (tmp_path / "submissions").write_text("a file where the folder of the submissions should be")
    result = run_command(*small.train(tmp_path, CNN, 1), **small.environment)
    assert_user_error(result, tmp_path / "submissions")


def test_training_map_is_of_some_clips_where_there_are_many(trained, tmp_path):
    workspace = copy_inputs(trained, tmp_path)
    (tmp_path / "config.py").write_text("train_eval_clips = 6\n")
    arguments = [*trained.run_arguments(workspace=tmp_path), "--iterations", 2]
    run_well("pytorch/main.py", "train", *arguments, SED_CONFIG=str(tmp_path / "config.py"))
    chosen = [0, 1, 3, 5, 6, 8]
    assert evenly_chosen(10, 6).tolist() == chosen
    with h5py.File(workspace.features("train_weak")) as file:
        logmel, weak_target = file["feature"][chosen], file["weak_target"][chosen]
    detector = load_student(workspace.run_paths(trained.run).checkpoint(2))
    clipwise = detector.probabilities(logmel).clipwise
    by_class = [
        average_precision_score(target, scores)
        for target, scores in zip(weak_target.T, clipwise.T, strict=True)
        if target.any()
    ]
    (line,) = workspace.run_paths(trained.run).training_statistics.read_text().splitlines()
    assert json.loads(line)["train_mean_average_precision"] == pytest.approx(np.mean(by_class))


def test_holdout_none_trains_on_the_validation_clips_too(small, finished, tmp_path):
    new_workspace(finished, tmp_path, "features", "scalars")
    run = replace(CNN, holdout_fold="none")
    output = small.run(*small.train(tmp_path, run, 1))
    assert "Training clips: 18 of train_weak\n" in output
    assert "validation mAP" not in output
    assert "Best model" not in output, "it was not validated"
    output = small.run(*small.inference(tmp_path, run, 1))
    assert "The model was trained on these clips too" in output
    assert "Validation clips: 6\n" in output


def test_run_of_other_training_settings_has_a_folder_and_a_row_of_its_own(small, finished, tmp_path):
    workspace = new_workspace(finished, tmp_path, "features", "scalars")
    small.run(*small.train(tmp_path, CNN, 1))
    first = weights(workspace.run_paths(CNN), 1)
    changed = small.with_settings(tmp_path, "learning_rate = 0.01\nweight_decay = 0.001\n")
    changed.run(*changed.train(tmp_path, CNN, 1))
    settings = replace(PUBLISHED_TRAINING, learning_rate=0.01, weight_decay=0.001)
    other = workspace.run_paths(replace(CNN, training=settings))
    assert other.checkpoint(1).parts[-3:-1] == ("learning_rate=0.01,weight_decay=0.001", "seed=1")
    assert not torch.equal(weights(other, 1)["classifier.weight"], first["classifier.weight"])
    again = weights(workspace.run_paths(CNN), 1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    table = run_well("utils/plot_results.py", "table", "--workspace", tmp_path)
    assert "1. Weak audio, clipwise loss  " in table
    assert "2. Weak audio, clipwise loss (learning_rate=0.01, weight_decay=0.001)  " in table


def test_training_does_not_resume_with_another_precision(trained):
    arguments = [*trained.run_arguments(), "--iterations", 3, "--resume"]
    result = run_command("pytorch/main.py", "train", *arguments, "--precision", "fp32")
    assert_user_error(result, trained.paths.statistics, "precision = auto, but now it is fp32", "set it back")
    assert trained.paths.saved_iterations() == [2]


def test_loss_that_needs_times_refuses_weak_clips(trained):
    arguments = trained.run_arguments(loss_type="framewise_binary_crossentropy")
    result = run_command("pytorch/main.py", "train", *arguments)
    assert_user_error(result, "needs events with times, which train_weak does not have")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_cuda_without_a_gpu_is_a_user_error(trained):
    result = run_command("pytorch/main.py", "train", *trained.run_arguments(), "--cuda")
    assert_user_error(result, "torch sees no GPU here")


def test_unknown_precision_is_refused(trained, tmp_path):
    (tmp_path / "config.py").write_text("precision = 'fp8'\n")
    train = ("pytorch/main.py", "train", *trained.run_arguments())
    result = run_command(*train, SED_CONFIG=str(tmp_path / "config.py"))
    assert_user_error(result, "precision must be one of auto, fp32, tf32, bf16, but is 'fp8'")


@pytest.mark.parametrize(
    ("argument", "known"),
    [("model_type", "Cnn_13layers_AvgPooling"), ("loss_type", "framewise_binary_crossentropy")],
)
def test_unknown_name_lists_the_known_ones(trained, argument, known):
    result = run_command("pytorch/main.py", "train", *trained.run_arguments(**{argument: "Unknown"}))
    assert result.returncode == 2
    assert "invalid choice: 'Unknown'" in result.stderr
    assert known in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(("set_before", "expected"), [({}, "10000"), ({"GOMP_SPINCOUNT": "7"}, "7")])
def test_waiting_threads_sleep_soon_unless_the_user_says_otherwise(set_before, expected):
    code = "import os, pytorch.training; print(os.environ['GOMP_SPINCOUNT'])"
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"} | set_before
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == expected
