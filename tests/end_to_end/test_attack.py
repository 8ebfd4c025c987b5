"""Nothing stale is shown as new, nothing is lost in silence, and nothing hangs."""

import json
import os
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pytorch.distributed import Ranks
from pytorch.run_start import begin_run
from tests.commands import assert_user_error, run_command
from tests.small import CNN, FEATURES_FOLDER, ITERATIONS, Small, new_workspace
from tests.system.test_files import write
from utils.dataset.tables import read_rows
from utils.results.runs import RunResults
from utils.results.statistics import RunSettings, read_run_settings

pytestmark = pytest.mark.xdist_group("small")
NOT_UTF8 = os.fsdecode(b"\xff")
EAGER = "clip_threshold = 0.0\nhigh_threshold = 0.0\nlow_threshold = 0.0\n"


def test_new_training_never_has_the_statistics_of_an_earlier_one(finished, tmp_path):
    """Not even where it is killed as soon as it has begun."""
    workspace = new_workspace(finished, tmp_path / "workspace")
    shutil.copytree(finished.workspace.statistics, workspace.statistics)
    paths = workspace.run_paths(CNN)
    before = RunResults.read(paths)
    assert before.evaluations and before.inferences and before.loss_curve
    features = read_run_settings(paths.settings).features
    begin_run(paths, RunSettings(CNN, features, "auto", {}), 1000, resume=False, ranks=Ranks(0, 1, 0))
    after = RunResults.read(paths)
    assert (after.evaluations, after.inferences, after.loss_curve) == ([], [], [])


def test_resuming_to_fewer_iterations_and_back_keeps_the_loss_curve_whole(small, finished, tmp_path):
    workspace = new_workspace(finished, tmp_path / "workspace", "features", "scalars")
    for kind in ("statistics", "checkpoints"):
        shutil.copytree(finished.workspace.root / kind, workspace.root / kind)
    expected, paths = RunResults.read(finished.workspace.run_paths(CNN)), workspace.run_paths(CNN)
    for iterations in (5, ITERATIONS, ITERATIONS + 2):
        small.run(*small.train(workspace.root, CNN, iterations), "--resume")
        found = RunResults.read(paths)
        if iterations <= ITERATIONS:
            assert found.loss_curve == expected.loss_curve
            assert [one["iteration"] for one in found.evaluations][-1] == ITERATIONS
    assert [point["iteration"] for point in found.loss_curve] == [2, 4, 6, 8, 10, 12]
    assert {5, ITERATIONS, ITERATIONS + 2} <= set(paths.saved_iterations())


def test_resuming_over_changed_inputs_is_refused_by_name(small, finished, tmp_path):
    changed = Small(tmp_path / "data", small.config)
    shutil.copytree(small.dataset_dir, changed.dataset_dir, copy_function=shutil.copy2)
    workspace = new_workspace(finished, tmp_path / "workspace")
    for kind in ("features", "scalars"):
        shutil.copytree(finished.workspace.root / kind, workspace.root / kind)
    changed.run(*changed.train(workspace.root, CNN, 3))
    table = changed.dataset_dir / "metadata/train/weak.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:-1]))
    changed.run(*changed.extract(workspace.root, "train_weak"))
    changed.run(*changed.scalar(workspace.root))
    resume = [*changed.train(workspace.root, CNN, 4), "--resume"]
    words = "the features of train_weak and the scalar are not those that the training to resume began with"
    assert_user_error(run_command(*resume, **changed.environment), words, "leave out --resume")
    changed.run(*changed.train(workspace.root, CNN, 4))


@pytest.fixture
def recordings(tmp_path) -> dict[str, Path]:
    """A folder of recordings with names and contents that are not usual; its own is not UTF-8."""
    folder = tmp_path / NOT_UTF8
    folder.mkdir()
    sound = 0.1 * np.random.default_rng(0).standard_normal(8000)
    long_name = "n" * 251 + ".wav"
    names = [
        '"quoted".wav',
        'half"quoted.wav',
        long_name,
        "line\nend.wav",
        "tab\t.wav",
        f"{NOT_UTF8}.wav",
    ]
    paths = {name: folder / name for name in names}
    for path in paths.values():
        soundfile.write(os.fsencode(path), sound, 8000)
    for samples in (1, 2, 3):
        paths[f"{samples} samples.wav"] = folder / f"{samples} samples.wav"
        soundfile.write(os.fsencode(folder / f"{samples} samples.wav"), sound[:samples], 44100)
    paths["1 Hz.wav"] = folder / "1 Hz.wav"
    soundfile.write(os.fsencode(folder / "1 Hz.wav"), sound, 8000)
    with paths["1 Hz.wav"].open("r+b") as file:
        file.seek(24)
        file.write(struct.pack("<I", 1))
    os.mkfifo(folder / "pipe.wav")
    paths["pipe.wav"] = folder / "pipe.wav"
    return paths


def test_each_recording_is_in_the_table_or_listed_with_its_reason(small, finished, tmp_path, recordings):
    eager = tmp_path / "eager.py"
    eager.write_text(EAGER)
    output = tmp_path / "events"
    checkpoint = finished.workspace.run_paths(CNN).checkpoint(ITERATIONS)
    result = run_command(
        *("pytorch/inference.py", "predict", "--checkpoint_path", checkpoint, *recordings.values()),
        *("--output_dir", output, "--format", "csv,audacity,json", "--probabilities"),
        SED_CONFIG=str(eager),
    )
    assert result.returncode == 1, result.stderr
    rows = read_rows(output / "events.csv", ("filename", "onset"))
    in_table = {row.cells["filename"] for row in rows}
    content = json.loads((output / "events.json").read_text(encoding="utf-8"))
    assert {one["filename"] for one in content["recordings"]} == in_table
    reasons = {Path(one["path"]).name: one["reason"] for one in content["unreadable"]}
    assert in_table | reasons.keys() == recordings.keys()
    assert not in_table & reasons.keys()
    assert {"1 samples.wav", '"quoted".wav', 'half"quoted.wav', "n" * 251 + ".wav"} <= in_table
    assert "its name cannot stand in a table" in reasons["line\nend.wav"]
    assert "is not a regular file" in reasons["pipe.wav"]
    assert "has a sample rate of 1 Hz" in reasons["1 Hz.wav"]
    assert f"Not read: {len(reasons)} of {len(recordings)}" in result.stdout
    for suffix in (".txt", ".probabilities.csv"):
        assert len(list(output.glob(f"*{suffix}"))) == len(in_table)

    own = output / "events.csv"
    scores = run_command(
        *("pytorch/inference.py", "score", "--submission_csv", own, "--reference_csv", own),
        **small.environment,
    )
    assert "Left out" not in scores.stdout
    with_events = [row for row in rows if row.cells["onset"]]
    assert (
        f"{len(with_events)} events in the reference, {len(with_events)} in the submission" in scores.stdout
    )


def test_pipe_in_a_data_set_is_listed_and_does_not_stop_the_others(small, tmp_path):
    changed = Small(tmp_path / NOT_UTF8, small.config)
    shutil.copytree(small.dataset_dir, changed.dataset_dir)
    pipe = next((changed.dataset_dir / "audio/validation").iterdir())
    pipe.unlink()
    os.mkfifo(pipe)
    changed.run(*changed.extract(tmp_path / "workspace", "validation"))
    check = changed.run("utils/metadata.py", "check", "--dataset_dir", changed.dataset_dir)
    assert f"missing: 1 ({pipe.name})" in check.partition("validation:")[2]
    listed = tmp_path / "workspace/features" / FEATURES_FOLDER / "validation_unreadable.csv"
    (row,) = read_rows(listed, ("filename", "reason"))
    assert row.cells["filename"] == pipe.name
    assert "is not a regular file" in row.cells["reason"]


def test_event_after_the_end_of_its_recording_is_refused(tmp_path):
    header, event = "filename\tonset\toffset\tevent_label\n", "a.wav\t{}\t{}\tDog\n"
    write(tmp_path / "reference.csv", header + event.format(1, 2))
    write(tmp_path / "submission.csv", header + event.format(70, 80))
    write(tmp_path / "durations.csv", "filename\tduration\na.wav\t10\n")
    tables = [
        word for name in ("reference", "submission") for word in (f"--{name}_csv", tmp_path / f"{name}.csv")
    ]
    command = ["pytorch/inference.py", "score", *tables]
    assert run_command(*command).returncode == 0
    result = run_command(*command, "--durations_csv", tmp_path / "durations.csv")
    assert_user_error(result, "submission.csv: an event of a.wav begins at 70 s, after its duration of 10 s")
