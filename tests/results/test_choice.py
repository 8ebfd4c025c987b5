"""A trained model is found by its workspace, and what the commands print leads on."""

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from tests.commands import assert_user_error, run_command, run_well
from tests.small import CNN, ITERATIONS, new_workspace
from utils.results.choice import checkpoint_of, find_models, predict_command
from utils.results.runs import read_evaluated_runs
from utils.results.scored_models import ScoredModel
from utils.results.statistics import keep_longer_curve, read_records
from utils.system.errors import SedError
from utils.system.files import require_writable
from utils.workspace.paths import Workspace
from utils.workspace.run import Run


def predict(*arguments: object):
    return run_command("pytorch/inference.py", "predict", *arguments)


def found(workspace: Workspace, name: str) -> list[ScoredModel]:
    return find_models(read_evaluated_runs(workspace), workspace, name)


def a_recording(small):
    return sorted((small.dataset_dir / "audio/validation").iterdir())[0]


def test_best_model_of_a_workspace_predicts_as_its_checkpoint_does(small, finished):
    recording, root = a_recording(small), finished.workspace.root
    checkpoint = finished.workspace.run_paths(CNN).checkpoint(ITERATIONS)
    by_path = predict("--checkpoint_path", checkpoint, recording)
    assert by_path.returncode == 0, by_path.stderr
    by_name = predict("--workspace", root, "--run", "best", recording)
    assert by_name.returncode == 0, by_name.stderr
    assert by_name.stdout == by_path.stdout


def test_best_model_of_a_single_run_is_that_of_its_number(finished):
    assert found(finished.workspace, "best") == found(finished.workspace, "1")


@pytest.mark.parametrize("name", ["0", "2", "Weak audio"])
def test_unknown_run_is_refused_with_those_that_there_are(finished, name):
    with pytest.raises(SedError, match=rf"no run '{name}'.*1: Weak audio, clipwise loss"):
        found(finished.workspace, name)


def test_last_checkpoint_is_taken_where_that_of_the_scores_was_never_saved(finished, tmp_path):
    workspace = new_workspace(finished, tmp_path, "statistics")
    (tmp_path / "checkpoints").mkdir()
    paths = workspace.run_paths(CNN)
    with pytest.raises(SedError, match="there is no checkpoint of Weak audio"):
        checkpoint_of(*found(workspace, "best"))
    paths.checkpoint(3).parent.mkdir(parents=True)
    shutil.copy(finished.workspace.run_paths(CNN).checkpoint(3), paths.checkpoint(3))
    torch.save({"training_id": "of an earlier training"}, paths.checkpoint(ITERATIONS))
    torch.save({"training_id": "of an earlier training"}, paths.checkpoint(ITERATIONS + 1))
    assert checkpoint_of(*found(workspace, "best")) == paths.checkpoint(3)


@pytest.mark.parametrize("named", [[], ["--workspace", "w", "--checkpoint_path", "c.pth"]])
def test_predict_asks_for_one_model(named):
    assert_user_error(predict(*named, "a.wav"), "either by --checkpoint_path, or by --workspace")


@pytest.mark.parametrize(
    ("named", "message"),
    [
        (["--workspace", "w", "--weights", "teacher"], "name the run, as in --run 2:teacher"),
        (["--checkpoint_path", "c.pth", "--run", "2"], "--run: names a model of a --workspace"),
    ],
)
def test_options_of_the_other_way_to_name_a_model_are_refused(named, message):
    assert_user_error(predict(*named, "a.wav"), message)


def test_folder_that_cannot_be_written_is_noticed(tmp_path):
    with pytest.raises(SedError, match="/proc: cannot be written to: "):
        require_writable(Path("/proc"))
    require_writable(tmp_path / "new/folder")
    assert not list((tmp_path / "new/folder").iterdir())


def test_output_folder_that_is_a_file_is_noticed_before_the_checkpoint_is_read(tmp_path):
    (tmp_path / "file").touch()
    result = predict("--checkpoint_path", "none.pth", "a.wav", "--output_dir", tmp_path / "file/events")
    assert_user_error(result, "file: is not a folder; ")


def test_best_prints_checkpoint_and_command(finished):
    output = run_well("utils/plot_results.py", "best", "--workspace", finished.workspace.root)
    checkpoint = finished.workspace.run_paths(CNN).checkpoint(ITERATIONS)
    assert f"Checkpoint: {checkpoint}\n" in output
    (command,) = re.findall("^Detect events with: (.*)", output, re.MULTILINE)
    assert f" predict --workspace {finished.workspace.root} --run best RECORDINGS " in command


@pytest.mark.parametrize(("event_f1", "end"), [(0.0, ": it detects no event correctly yet, "), (0.5, "\n")])
def test_best_model_that_detects_nothing_is_said_to(finished, tmp_path, event_f1, end):
    workspace = new_workspace(finished, tmp_path, "checkpoints")
    shutil.copytree(finished.workspace.statistics, workspace.statistics)
    path = workspace.run_paths(CNN).inference_statistics
    *others, last = read_records(path)
    last["validation"]["event"]["macro"]["f1"] = event_f1
    path.write_text("".join(json.dumps(record) + "\n" for record in [*others, last]))
    output = run_well("utils/plot_results.py", "best", "--workspace", tmp_path)
    assert f", event F1 {100 * event_f1:.1f} %{end}" in output


def test_command_to_predict_is_safe_to_paste(tmp_path):
    path = tmp_path / "it's mine"
    assert str(path) in shlex.split(predict_command(path))


def test_command_of_a_workspace_is_short_and_works_as_it_is_printed(small, finished, tmp_path, monkeypatch):
    (tmp_path / "here").symlink_to(finished.workspace.root)
    monkeypatch.chdir(tmp_path)
    command = predict_command(tmp_path / "here").replace("RECORDINGS", str(a_recording(small)))
    assert " predict --workspace here --run best " in command
    subprocess.run(command, shell=True, check=True, capture_output=True)
    assert (tmp_path / "events/events.csv").is_file()


def test_training_says_how_long_it_takes_and_what_its_checkpoint_is_for(small, finished, tmp_path):
    workspace = new_workspace(finished, tmp_path, "features", "scalars")
    output = small.run(*small.train(tmp_path, CNN, 4))
    lines = re.findall(
        r"^iteration (\d): (loss [\d.]+, )?\d+ ms/iteration(, \d+ s left)?$", output, re.MULTILINE
    )
    assert [(number, bool(loss), bool(left)) for number, loss, left in lines] == [
        ("2", True, True),
        ("3", False, True),
        ("4", True, False),
    ]
    last = output.strip().splitlines()[-1]
    assert last.startswith("Best model so far; detect events with: ")
    assert f" predict --workspace {tmp_path} --run best RECORDINGS " in last

    # A shorter training of the same run keeps the curves of the longer one
    output = small.run(*small.train(tmp_path, CNN, 2))
    assert "An earlier training of this run was longer; its curve is kept in " in output
    paths = workspace.run_paths(CNN)
    assert [one["iteration"] for one in read_records(paths.loss_statistics)] == [2]
    kept = paths.loss_statistics.with_name("loss_4_iterations.jsonl")
    assert [one["iteration"] for one in read_records(kept)] == [2, 4]


def test_curve_that_is_not_longer_is_not_kept(tmp_path):
    path = tmp_path / "loss.jsonl"
    assert keep_longer_curve(path, 5) is None
    path.write_text("".join(json.dumps({"iteration": i}) + "\n" for i in (2, 4)))
    assert keep_longer_curve(path, 4) is None
    assert keep_longer_curve(path, 3) == tmp_path / "loss_4_iterations.jsonl"


def test_hint_names_a_subset_that_the_run_is_trained_on(small, tmp_path):
    run = Run("train_synthetic", "1", CNN.model_type, "framewise_binary_crossentropy", 4, 1)
    result = run_command(*small.train(tmp_path, run, 2), **small.environment)
    assert_user_error(
        result,
        f"make it with: SED_CONFIG={small.config} ",
        "features.py calculate_scalar",
        "--data_type train_synthetic",
    )


def test_scalar_of_features_that_are_not_there_says_which_are(finished, tmp_path):
    workspace = Workspace(finished.workspace.root, "logmel_64frames_64melbins")
    command = (
        "utils/features.py",
        "calculate_scalar",
        "--workspace",
        workspace.root,
        "--data_type",
        "train_weak",
    )
    result = run_command(*command)
    assert_user_error(
        result, "the workspace has features/logmel_32frames_16melbins/train/synthetic.h5", "utils/config.py"
    )
