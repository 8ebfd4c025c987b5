"""The stage commands on the demonstration data: what they make, and how they take mistakes."""

import os
import pty
import re
import shutil
import subprocess
import sys
import termios
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tests.commands import PROJECT, assert_user_error, run_command, run_well
from tests.conftest import LABELLED_SUBSETS, Trained, make_features, workspace_at
from tests.settings_for_tests import SETTINGS
from tests.small import CNN as SMALL_CNN
from tests.small import EXTRACT
from utils.audio.feature_file import read_features
from utils.dataset.subsets import SUBSETS, read_clips
from utils.dataset.tables import (
    Clip,
    Event,
    read_rows,
    read_strong_table,
    write_strong_table,
    write_weak_table,
)
from utils.system.files import make_folder
from utils.workspace.run import Run

FEATURES = SETTINGS.features
MINI_DATA_CLIPS = SETTINGS.defaults.mini_data_clips


def inference(trained: Trained, *options: object, **changes: object):
    arguments = trained.run_arguments(**changes)
    return run_command("pytorch/inference.py", "inference_validation", *arguments, *options)


def test_features_are_where_the_reference_has_them(trained):
    root = trained.workspace.root
    folder = root / "features/logmel_64frames_64melbins"
    for name in ("train/weak.h5", "train/synthetic.h5", "validation.h5"):
        features = read_features(folder / name, FEATURES)
        assert features.logmel.shape[1:] == (640, 64)
        assert features.names == sorted(features.names)
        assert features.weak_target.shape == (len(features.names), 10)
    assert features.strong_target.shape == (5, 640, 10)
    assert (root / "scalars/logmel_64frames_64melbins/train/weak.h5").is_file()


def test_run_settings_stand_in_the_folder_names(trained):
    expected = (
        "checkpoints/logmel_64frames_64melbins/train_weak/holdout_fold=1/Cnn_9layers_MaxPooling/"
        "clipwise_binary_crossentropy/batch_size=4/seed=1234/md_2_iters.pth"
    )
    assert (trained.workspace.root / expected).is_file()


def test_workspace_has_the_folders_of_the_reference_and_no_leftovers(trained):
    run_well("utils/plot_results.py", "training_curves", "--workspace", trained.workspace.root)
    files = [path.relative_to(trained.workspace.root) for path in trained.workspace.root.rglob("*")]
    kinds = {"features", "scalars", "checkpoints", "submissions", "statistics", "logs", "figures"}
    assert {path.parts[0] for path in files} == kinds
    assert not [path for path in files if path.name.endswith(".unfinished")]


def test_inference_writes_the_submission_that_training_wrote_and_scores_it_alike(trained):
    path = trained.paths.submission(2)
    from_training = path.read_text()
    path.unlink()
    result = inference(trained, "--iteration", 2)
    assert result.returncode == 0, result.stderr
    assert path.read_text() == from_training
    (line,) = [line for line in trained.train_output.splitlines() if line.startswith("evaluation at 2: ")]
    after = r"train mAP \S+, validation mAP (\S+), event F1 (\S+), segment F1 (\S+) \(0.2s\), (\S+) \(1s\)"
    of_training = re.search(after, line).groups()
    for name, shown in zip(("mAP", "event F1", "segment F1 0.2s", "segment F1 1s"), of_training, strict=True):
        (score,) = re.findall(rf"^{name} +(\d+\.\d+)", result.stdout, re.MULTILINE)
        assert float(score) == pytest.approx(float(shown), abs=0.056), name


def test_checkpoints_linked_into_a_workspace_are_scored_on_its_clips(trained, tmp_path):
    """As appendixes/homemix.md scores finished models on a test set."""
    for kind in ("checkpoints", "features"):
        (tmp_path / kind).symlink_to(trained.workspace.root / kind)
    shutil.copytree(trained.workspace.statistics, tmp_path / "statistics")
    result = inference(trained, "--iteration", 2, workspace=tmp_path)
    assert result.returncode == 0, result.stderr
    submission = workspace_at(tmp_path).run_paths(trained.run).submission(2)
    assert submission.read_text() == trained.paths.submission(2).read_text()
    run_well("utils/plot_results.py", "compare", "--workspace", tmp_path, "1", "1")


def test_score_of_the_written_submission_agrees_with_inference(trained):
    reference = trained.dataset_dir / "metadata/validation/validation.csv"
    path = trained.paths.submission(2)
    output = run_well("pytorch/inference.py", "score", "--reference_csv", reference, "--submission_csv", path)
    events = sum(len(clip.events) for clip in read_strong_table(path, FEATURES.labels))
    assert output.splitlines()[0].startswith("5 clips")
    assert f"{events} in the submission" in output.splitlines()[0]


def test_visualize_draws_the_clips(trained):
    result = inference(trained, "--iteration", 2, "--visualize", 2)
    assert result.returncode == 0, result.stderr
    names = [clip.name for clip in read_clips(trained.dataset_dir, "validation", FEATURES.labels)[:2]]
    for name in names:
        figure = trained.paths.clip_figures(2) / f"{name}.png"
        assert figure.read_bytes().startswith(b"\x89PNG")
    assert len(list(figure.parent.iterdir())) == 2


def test_table_and_curves_of_a_workspace(trained):
    output = run_well("utils/plot_results.py", "table", "--workspace", trained.workspace.root)
    assert "1. Weak audio, clipwise loss  " in output
    assert "All runs: Cnn_9layers_MaxPooling, batch 4, seed 1234, 2 iterations, 5 validation clips." in output
    assert "published" not in output, "the demonstration data is not the challenge's"
    assert trained.workspace.results_table.read_text().startswith("training\titeration\tclips\tmAP\t")
    run_well("utils/plot_results.py", "training_curves", "--workspace", trained.workspace.root)
    assert trained.workspace.training_curves.read_bytes().startswith(b"\x89PNG")


def test_mini_data_takes_a_few_clips_into_folders_of_its_own(tmp_path):
    dataset_dir, workspace = tmp_path / "data", tmp_path / "workspace"
    counts = ["--train_weak", 13, "--train_synthetic", 11, "--validation", 12, "--train_unlabel_in_domain", 1]
    run_well("utils/demo_dataset.py", "make", "--output_dir", dataset_dir, *counts)
    make_features(dataset_dir, workspace, "--mini_data")
    path = workspace / "features/minidata_logmel_64frames_64melbins/train/weak.h5"
    assert len(read_features(path, FEATURES).names) == MINI_DATA_CLIPS
    trained = Trained(
        dataset_dir,
        workspace_at(workspace, mini_data=True),
        Run("train_weak", "1", "Cnn_9layers_MaxPooling", "clipwise_binary_crossentropy", 5, 1234, True),
        "",
    )
    arguments = [*trained.run_arguments(), "--mini_data"]
    output = run_well("pytorch/main.py", "train", *arguments, "--iterations", 1)
    assert f"Training clips: {MINI_DATA_CLIPS} of train_weak\n" in output
    run_well("pytorch/inference.py", "inference_validation", *arguments, "--iteration", 1)
    assert trained.paths.submission(1).is_file()


def test_another_task_needs_nothing_but_a_config(tmp_path):
    """Two classes of one's own, 16 kHz, 5 s clips, other bands and frames (501 of them, no multiple of 8)."""
    generator = np.random.default_rng(0)
    dataset_dir, workspace = tmp_path / "data", tmp_path / "workspace"
    for subset in [SUBSETS[name] for name in LABELLED_SUBSETS]:
        folder = make_folder(dataset_dir / subset.audio_folder)
        clips = []
        for index in range(4):
            event = Event(1.0, 3.0, ("whistle", "hiss")[index % 2])
            time = np.arange(5 * 16000) / 16000
            sound = np.sin(2 * np.pi * 1000 * time) if index % 2 else generator.standard_normal(len(time))
            soundfile.write(folder / f"{index}.wav", 0.1 * sound * ((time > 1) & (time < 3)), 16000)
            clips.append(Clip(f"{index}.wav", frozenset([event.label]), (event,)))
        write = write_weak_table if subset.annotation == "weak" else write_strong_table
        write(dataset_dir / f"{subset.table}.tsv", clips)
    task = tmp_path / "task.py"
    task.write_text(
        "labels = ['whistle', 'hiss']\nsample_rate = 16000\nclip_seconds = 5.01\nhop_size = 160\n"
        "mel_bins = 40\nmel_max_frequency = 8000\n"
    )
    environment = {"SED_CONFIG": str(task)}
    make_features(dataset_dir, workspace, **environment)
    place = ["--dataset_dir", dataset_dir, "--workspace", workspace]
    run = [*place, "--data_type", "train_synthetic", "--holdout_fold", 1, "--batch_size", 2]
    run += ["--loss_type", "framewise_binary_crossentropy"]
    run_well("pytorch/main.py", "train", *run, "--iterations", 1, **environment)
    inference = ["inference_validation", *run, "--iteration", 1, "--visualize", 1]
    output = run_well("pytorch/inference.py", *inference, **environment)
    assert "whistle" in output
    assert (workspace / "features/logmel_100frames_40melbins/train/weak.h5").is_file()
    result = run_command("pytorch/main.py", "train", *run, "--iterations", 1)
    assert_user_error(result, "no feature file yet", "logmel_100frames_40melbins", "of other settings than")


@pytest.fixture
def damaged(tiny_dataset, tmp_path) -> Path:
    """A copy of the tiny data set that a test may damage."""
    return Path(shutil.copytree(tiny_dataset, tmp_path / "damaged"))


def extract(dataset_dir: Path, workspace: Path, data_type: str, *options: str):
    place = ["--dataset_dir", dataset_dir, "--workspace", workspace, "--data_type", data_type]
    return run_command(*EXTRACT, *place, *options)


def test_missing_recordings_are_skipped_counted_and_listed(trained, damaged, tmp_path):
    audio = sorted((damaged / "audio/validation").iterdir())
    for path in audio[:2]:
        path.unlink()
    workspace = tmp_path / "workspace"
    make_features(damaged, workspace)
    missing = workspace / "features/logmel_64frames_64melbins/validation_missing.csv"
    assert missing.read_text().splitlines() == ["filename", *(path.name for path in audio[:2])]

    copied = Trained(damaged, workspace_at(workspace), trained.run, "")
    output = run_well("pytorch/main.py", "train", *copied.run_arguments(), "--iterations", 1)
    assert "Validation clips: 3 of 5 (2 recordings are missing or unreadable)" in output
    result = inference(copied, "--iteration", 1)
    assert "Validation clips: 3 of 5 (2 recordings are missing or unreadable)" in result.stdout

    result = extract(damaged, workspace, "validation", "--strict")
    assert_user_error(result, "2 missing recordings", audio[0].name, "--strict")


def test_list_of_missing_recordings_goes_when_none_is_missing(tiny_dataset, tmp_path):
    missing = workspace_at(tmp_path).missing_clips("validation")
    missing.parent.mkdir(parents=True)
    missing.write_text("filename\nold.wav\n")
    assert extract(tiny_dataset, tmp_path, "validation").returncode == 0
    assert not missing.exists()


def test_subset_without_any_recording_is_a_user_error(damaged, tmp_path):
    shutil.rmtree(damaged / "audio/validation")
    result = extract(damaged, tmp_path / "workspace", "validation")
    assert_user_error(result, "audio/validation: none of the 5 recordings of validation is there")


@pytest.mark.parametrize("content", [b"", b"this is no audio", b"RIFF\x00\x00\x00\x00WAVE"])
def test_unreadable_recording_is_skipped_and_listed_with_its_reason(damaged, tmp_path, content):
    path = sorted((damaged / "audio/validation").iterdir())[1]
    path.write_bytes(content)
    result = extract(damaged, tmp_path, "validation")
    assert result.returncode == 0, result.stderr
    listed = workspace_at(tmp_path).unreadable_clips("validation")
    assert f"Unreadable recordings: 1, skipped and listed with their reasons in {listed}" in result.stdout
    (row,) = read_rows(listed, ("filename", "reason"))
    assert row.cells["filename"] == path.name
    assert f"{path}: cannot be read as audio" in row.cells["reason"]
    assert path.name not in read_features(workspace_at(tmp_path).features("validation"), FEATURES).names
    result = extract(damaged, tmp_path, "validation", "--strict")
    assert_user_error(result, path, "cannot be read as audio")


def test_missing_dataset_folder_and_table_say_which_path_was_expected(damaged, tmp_path):
    result = extract(Path("/no/such/folder"), tmp_path, "validation")
    assert_user_error(result, "/no/such/folder: there is no such data set folder")
    table = damaged / "metadata/validation/validation.csv"
    table.unlink()
    assert_user_error(extract(damaged, tmp_path, "validation"), table, "no such table")


def test_unknown_label_and_missing_column_say_where(damaged, tmp_path):
    table = damaged / "metadata/train/weak.csv"
    table.write_text("filename\tevent_labels\na.wav\tDog\nb.wav\tWolf\n")
    assert_user_error(extract(damaged, tmp_path, "train_weak"), f"{table}, line 3: unknown label 'Wolf'")
    table.write_text("filename\tlabels\na.wav\tDog\n")
    assert_user_error(extract(damaged, tmp_path, "train_weak"), f"{table}, line 1: no column 'event_labels'")


def test_missing_features_and_scalar_say_which_command_makes_them(trained, tmp_path):
    result = run_command(
        "utils/features.py", "calculate_scalar", "--workspace", tmp_path, "--data_type", "train_weak"
    )
    assert_user_error(result, "there is no feature file yet", "calculate_feature_for_all_audio_files")
    result = run_command("pytorch/main.py", "train", *trained.run_arguments(workspace=tmp_path))
    assert_user_error(result, "there is no scalar yet", "calculate_scalar --workspace")
    (tmp_path / "scalars").symlink_to(trained.workspace.root / "scalars")
    result = run_command("pytorch/main.py", "train", *trained.run_arguments(workspace=tmp_path))
    assert_user_error(result, "there is no feature file yet", "--data_type validation")


def test_the_named_command_makes_what_is_missing(trained, tmp_path):
    result = run_command("pytorch/main.py", "train", *trained.run_arguments(workspace=tmp_path))
    while "yet; make " in result.stderr:
        _, script, *arguments = result.stderr.split("with: ")[1].split()
        command = [Path(script).relative_to(PROJECT), *arguments]
        if "DATASET_DIR" in command:
            command[command.index("DATASET_DIR")] = trained.dataset_dir
        result = run_command(*command)
        if result.returncode == 0:
            arguments = [*trained.run_arguments(workspace=tmp_path), "--iterations", 1]
            result = run_command("pytorch/main.py", "train", *arguments)
    assert result.returncode == 0, result.stderr


def test_iteration_never_saved_lists_those_that_exist(trained):
    assert_user_error(
        inference(trained, "--iteration", 999), "iteration 999 was never saved; the saved ones are: 2"
    )
    assert_user_error(
        inference(trained, "--iteration", 2, batch_size=5), "there is no checkpoint of this run; train it"
    )


OTHER_LABELS = [f"sound {number}" for number in range(10)]


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("model_type",), "Cnn_5layers_AvgPooling", "its weights are not those of a Cnn_5layers_AvgPooling"),
        (("features", "labels"), ["a", "b"], "its weights are not those of a Cnn_9layers_MaxPooling"),
        (
            ("features", "labels"),
            OTHER_LABELS,
            f"was trained with labels = {(*OTHER_LABELS,)}, and now it is ('Speech', ",
        ),
        (("features", "log_floor"), 1e-8, "was trained with log_floor = 1e-08, and now it is 1e-10; set it"),
        (("features", "hop_size"), 0, "hop_size must be at least 1, but is 0"),
        (("events", "low_threshold"), 0.95, "low_threshold 0.95 must be at most high_threshold 0.9"),
        (("events", "join_gap"), "0.25", "join_gap must be a number, but is '0.25'"),
        (("outputs_in_float32",), "yes", "'outputs_in_float32' is not valid"),
        (("model",), {}, "its weights are not those of a Cnn_9layers_MaxPooling"),
    ],
)
def test_checkpoint_with_a_wrong_value_or_of_other_features_is_refused(
    trained, tmp_path, place, value, message
):
    (tmp_path / "checkpoints").mkdir()
    for kind in ("features", "scalars"):
        (tmp_path / kind).symlink_to(trained.workspace.root / kind)
    path = workspace_at(tmp_path).run_paths(trained.run).checkpoint(2)
    path.parent.mkdir(parents=True)
    content = torch.load(trained.paths.checkpoint(2), weights_only=True)
    *groups, name = place
    group = content
    for key in groups:
        group = group[key]
    assert name in group
    group[name] = value
    torch.save(content, path)
    assert_user_error(inference(trained, "--iteration", 2, workspace=tmp_path), path, message)


def test_file_that_is_no_checkpoint_is_refused(trained, tmp_path):
    path = workspace_at(tmp_path).run_paths(trained.run).checkpoint(2)
    path.parent.mkdir(parents=True)
    path.write_text("no checkpoint")
    result = inference(trained, "--iteration", 2, workspace=tmp_path)
    assert_user_error(result, path, "is not a valid checkpoint")


def test_unwritable_workspace_is_a_user_error(tiny_dataset, trained, tmp_path):
    (tmp_path / "file").write_text("a file, not a folder")
    workspace = tmp_path / "file" / "workspace"
    assert_user_error(extract(tiny_dataset, workspace, "validation"), workspace.parent)
    result = run_command("pytorch/main.py", "train", *trained.run_arguments(workspace=workspace))
    assert_user_error(result, workspace.parent)


def run_on_terminal(*arguments: object) -> str:
    """Run a stage command on a pseudo-terminal, and return what it showed."""
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 100))
    script, *rest = map(str, arguments)
    process = subprocess.Popen([sys.executable, PROJECT / script, *rest], stdout=slave, stderr=slave)
    os.close(slave)
    shown = b""
    try:
        while chunk := os.read(master, 4096):
            shown += chunk
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(master)
    assert process.wait() == 0, shown.decode()
    return shown.decode()


def test_progress_bars_are_drawn_on_a_terminal(small, tmp_path, monkeypatch):
    for name, value in small.environment.items():
        monkeypatch.setenv(name, value)
    for data_type in ("train_weak", "validation"):
        assert "clip/s" in run_on_terminal(*small.extract(tmp_path, data_type))
    small.run(*small.scalar(tmp_path))
    shown = run_on_terminal(*small.train(tmp_path, SMALL_CNN, 2))
    assert re.search(r"Training: 100%.*2/2.*loss=0?\.?\d+.*ms_per_iteration=\d+", shown)
    assert "iteration 2: loss" not in shown, "the bar shows it already"
    assert "Scoring: 100%" in run_on_terminal(*small.inference(tmp_path, SMALL_CNN, 2))


def test_workspace_without_results_is_a_user_error(tmp_path):
    for command in ("table", "training_curves"):
        result = run_command("utils/plot_results.py", command, "--workspace", tmp_path)
        assert_user_error(result, "there are no results yet")


def test_score_refuses_tables_that_do_not_fit(tiny_dataset, tmp_path):
    reference = tiny_dataset / "metadata/validation/validation.csv"
    header = "filename\tonset\toffset\tevent_label\n"
    (tmp_path / "empty.csv").write_text(header)
    (tmp_path / "stranger.csv").write_text(header + "stranger.wav\t0\t1\tDog\n")
    (tmp_path / "durations.csv").write_text("filename\tduration\nother.wav\t10\n")

    def score(reference, submission, *options):
        tables = ["--reference_csv", reference, "--submission_csv", submission]
        return run_command("pytorch/inference.py", "score", *tables, *options)

    assert_user_error(score(tmp_path / "empty.csv", reference), "empty.csv: lists no clips")
    assert_user_error(score(tmp_path / "nothing.csv", reference), "nothing.csv: there is no such table")
    durations = ("--durations_csv", tmp_path / "durations.csv")
    assert_user_error(
        score(reference, reference, *durations), "durations.csv: has no duration of validation_0000"
    )
    result = score(reference, tmp_path / "stranger.csv")
    assert result.returncode == 0
    assert "Left out: 1 predicted events of 1 clips" in result.stdout
    assert "F1" in score(reference, tmp_path / "empty.csv").stdout


def test_demonstration_data_is_in_the_challenges_layout(tiny_dataset):
    output = run_well("utils/metadata.py", "check", "--dataset_dir", tiny_dataset)
    for subset in ("train_weak: 10 clips", "train_unlabel_in_domain: 4 clips", "validation: 5 clips, "):
        assert subset in output
    assert output.count(", all recordings there\n") == 4
    assert "missing" not in output
    assert "of the full challenge set" not in output, "it has the classes, not the clips"
    assert "44100 Hz stereo" in output


def test_same_seed_gives_the_same_demonstration_data(tiny_dataset, tmp_path):
    counts = ["--train_weak", 1, "--train_synthetic", 1, "--train_unlabel_in_domain", 1, "--validation", 2]
    run_well("utils/demo_dataset.py", "make", "--output_dir", tmp_path, *counts, "--seed", 1)
    for path in sorted((tmp_path / "audio").rglob("*.wav")):
        assert path.read_bytes() == (tiny_dataset / path.relative_to(tmp_path)).read_bytes()
