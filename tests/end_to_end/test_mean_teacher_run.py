"""Runs on several subsets through the stage commands: what they save, log and lower."""

import json
import re
from pathlib import Path

import pytest
import torch

from tests.commands import assert_user_error, run_command, run_well
from tests.conftest import Trained, copy_inputs
from tests.settings_for_tests import SETTINGS
from tests.small import new_workspace
from utils.dataset.tables import read_strong_table
from utils.workspace.paths import RunPaths
from utils.workspace.run import STUDENT, TEACHER, Run, Variant

LABELLED = "train_weak+train_synthetic"
ALL_SUBSETS = "train_weak+train_synthetic+train_unlabel_in_domain"
ITERATIONS = 3
pytestmark = pytest.mark.xdist_group("taught")  # one process runs all these tests, as they share a run


@pytest.fixture(scope="module")
def taught(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A run of the baseline, a few iterations long."""
    run = Run(ALL_SUBSETS, "1", "Crnn", "mean_teacher", 4, 1234)
    mine = Trained(trained.dataset_dir, copy_inputs(trained, tmp_path_factory.mktemp("taught")), run, "")
    output = run_well("pytorch/main.py", "train", *mine.run_arguments(), "--iterations", ITERATIONS)
    return Trained(mine.dataset_dir, mine.workspace, run, output)


def records(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def events_of(paths: RunPaths, weights: str) -> list[tuple]:
    clips = read_strong_table(paths.submission(ITERATIONS, Variant(weights)), SETTINGS.features.labels)
    return [(clip.name, event.onset, event.offset, event.label) for clip in clips for event in clip.events]


def test_log_tells_the_clips_of_each_subset_and_the_scores_of_student_and_teacher(taught):
    counts = "10 of train_weak, 10 of train_synthetic, 4 of train_unlabel_in_domain"
    assert f"Training clips: {counts}\n" in taught.train_output
    start = f"evaluation at {ITERATIONS}"
    student, teacher = (taught.train_output.index(f"{start}{end}") for end in (": train", ", teacher: mAP "))
    assert student < teacher
    (record,) = records(taught.paths.training_statistics)
    assert record["validation"]["clips"] == record["teacher_validation"]["clips"] == 5


def test_log_is_kept_in_a_file(taught):
    (log,) = taught.paths.new_log("").parent.glob("*_train.log")
    assert log.read_text().splitlines() == taught.train_output.splitlines()


def test_checkpoint_holds_both_and_the_teacher_is_the_average_of_the_student(taught):
    content = torch.load(taught.paths.checkpoint(ITERATIONS), weights_only=True)
    assert content["model"].keys() == content["teacher"].keys()
    name = "classifier.weight"
    assert not torch.equal(content["model"][name], content["teacher"][name])


@pytest.mark.parametrize("weights", [STUDENT, TEACHER])
def test_inference_with_the_checkpoint_gives_what_training_gave(taught, weights):
    from_training = events_of(taught.paths, weights)
    assert from_training, "there is something to compare"
    taught.paths.submission(ITERATIONS, Variant(weights)).unlink()
    arguments = [*taught.run_arguments(), "--iteration", ITERATIONS, "--weights", weights, "--visualize", 1]
    output = run_well("pytorch/inference.py", "inference_validation", *arguments)
    assert events_of(taught.paths, weights) == from_training
    assert "event F1 micro" in output
    assert len(list(taught.paths.clip_figures(ITERATIONS, Variant(weights)).iterdir())) == 1


def test_student_and_teacher_detect_different_events(taught):
    of_student, of_teacher = (events_of(taught.paths, w) for w in (STUDENT, TEACHER))
    assert of_student != of_teacher


def test_student_is_the_default_of_inference_and_the_table_has_a_row_for_each(taught):
    inference = ("pytorch/inference.py", "inference_validation", *taught.run_arguments())
    run_well(*inference, "--iteration", ITERATIONS)
    assert "validation" in records(taught.paths.inference_statistics)[-1]
    run_well(*inference, "--iteration", ITERATIONS, "--weights", "teacher")
    assert "teacher_validation" in records(taught.paths.inference_statistics)[-1]
    table = run_well("utils/plot_results.py", "table", "--workspace", taught.workspace.root)
    names = " ".join(re.sub(r"  +[\d.–].*", "", line) for line in table.splitlines())
    name = "Weak + synthetic + unlabelled audio, mean teacher loss"
    assert f"1. {name} 1:teacher. {name} " in " ".join(names.split()) + " "
    assert "All runs: Crnn, batch 4, seed 1234" in table
    run_well("utils/plot_results.py", "training_curves", "--workspace", taught.workspace.root)


def test_subsets_in_another_order_are_the_same_run(taught):
    other_order = "train_unlabel_in_domain+train_weak+train_synthetic"
    arguments = taught.run_arguments(data_type=other_order)
    run_well("pytorch/inference.py", "inference_validation", *arguments, "--iteration", ITERATIONS)


def test_run_without_a_teacher_has_no_teachers_weights(trained):
    arguments = [*trained.run_arguments(), "--iteration", 2, "--weights", "teacher"]
    result = run_command("pytorch/inference.py", "inference_validation", *arguments)
    assert_user_error(result, "has no teacher; leave out --weights, or train with --loss_type mean_teacher")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data_type": LABELLED}, f"needs --data_type {ALL_SUBSETS}, but it is {LABELLED}"),
        ({"batch_size": 6}, "a --batch_size that 4 divides, but it is 6"),
    ],
)
def test_run_that_does_not_fit_mean_teacher_is_a_user_error(taught, change, message):
    result = run_command("pytorch/main.py", "train", *taught.run_arguments(**change))
    assert_user_error(result, message)


def test_unknown_subset_lists_the_known_ones(taught):
    result = run_command("pytorch/main.py", "train", *taught.run_arguments(data_type="train_weak+dogs"))
    assert result.returncode == 2
    assert "invalid choice: 'dogs' (choose from train_weak, train_synthetic, train_unl" in result.stderr
    assert "Traceback" not in result.stderr


def test_short_run_with_a_teacher_lowers_every_term_of_the_loss(small, finished, tmp_path):
    """The teacher begins as a copy, so consistency is 0 before the first step: the first mean says how far
    the student runs ahead at first, and the last how close the two have come."""
    run = Run(ALL_SUBSETS, "1", "Cnn_9layers_MaxPooling", "mean_teacher", 4, 1234)
    paths = new_workspace(finished, tmp_path, "features", "scalars").run_paths(run)
    small = small.with_settings(tmp_path, "log_interval = 12\nevaluation_interval = 48\n")
    small.run(*small.train(tmp_path, run, 48))
    first, *_, last = records(paths.loss_statistics)
    terms = {"loss", "clipwise", "framewise", "clipwise_consistency", "framewise_consistency"}
    assert first.keys() == terms | {"iteration"}
    assert all(last[term] < first[term] for term in terms)


def test_loss_of_weak_and_strong_clips_falls_without_a_teacher(small, finished, tmp_path):
    run = Run(LABELLED, "1", "Crnn", "weak_and_strong", 4, 1234)
    paths = new_workspace(finished, tmp_path, "features", "scalars").run_paths(run)
    output = small.run(*small.train(tmp_path, run, 20))
    first, *_, last = records(paths.loss_statistics)
    assert first.keys() == {"iteration", "loss", "clipwise", "framewise"}
    assert all(last[term] < first[term] for term in ("loss", "clipwise", "framewise"))
    assert "Training clips: 12 of train_weak, 8 of train_synthetic\n" in output
    content = torch.load(paths.checkpoint(20), weights_only=True)
    assert "teacher" not in content
