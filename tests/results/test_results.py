"""The results table: its rows, and when the published results stand beside them."""

from pathlib import Path

import numpy as np
import pytest

from utils import config
from utils.dataset.tables import Clip, Event
from utils.results.figures import plot_clip, plot_training_curves
from utils.results.statistics import append_record, claim_run_folder, read_records
from utils.results.table import format_table, read_runs, results_rows
from utils.scoring.sed_eval_scores import score_events
from utils.workspace.paths import Run, Workspace

WEAK = Run("train_weak", "1", "Cnn_9layers_MaxPooling", "clipwise_binary_crossentropy", 32, 1234)
FRAMEWISE = Run("train_synthetic", "1", "Cnn_9layers_MaxPooling", "framewise_binary_crossentropy", 32, 1234)
BASELINE = Run("train_weak+train_synthetic+train_unlabel_in_domain", "1", "Crnn", "mean_teacher", 24, 1234)
REFERENCE = [Clip("a.wav", frozenset(["Dog"]), (Event(1.0, 2.0, "Dog"),))]


def add_run(workspace: Workspace, run: Run, mean_ap: float, clips_listed: int) -> dict:
    """Leave the statistics of a run with a perfect submission."""
    claim_run_folder(workspace.run_settings(run), run, config.precision)
    scores = score_events(REFERENCE, REFERENCE).to_json()
    validation = {"mean_average_precision": mean_ap, "clips_listed": clips_listed, **scores}
    record = {"iteration": 200, "loss": 0.1, "train_mean_average_precision": 0.9, "validation": validation}
    append_record(workspace.training_statistics(run), record)
    append_record(workspace.loss_statistics(run), {"iteration": 20, "loss": 0.5})
    return record


def test_rows_stand_in_the_order_of_the_published_results(tmp_path):
    workspace = Workspace(tmp_path)
    add_run(workspace, FRAMEWISE, 0.25, 60)
    add_run(workspace, WEAK, 0.5, 60)
    header, *rows = results_rows(read_runs(workspace))
    assert header[3:6] == ["mAP", "event F1", "event F1 micro"]
    assert header[6:] == ["segment F1 0.2s", "segment F1 0.2s micro", "segment F1 1s", "segment F1 1s micro"]
    assert [row[0] for row in rows] == [
        "Weak audio, clipwise loss (batch 32, seed 1234)",
        "Synthetic audio, framewise loss (batch 32, seed 1234)",
    ]
    assert [row[3] for row in rows] == ["50.0", "25.0"]
    assert all(row[4:] == ["100.0"] * 6 for row in rows)


def test_published_results_stand_beside_ones_own_on_the_real_set_only(tmp_path):
    workspace = Workspace(tmp_path)
    add_run(workspace, WEAK, 0.5, 1168)
    header, *rows = results_rows(read_runs(workspace))
    assert header[-3:] == ["published mAP", "published event F1", "published segment F1"]
    assert [[row[0], *row[3:5], *row[-3:]] for row in rows] == [
        ["Weak audio, clipwise loss (batch 32, seed 1234)", "50.0", "100.0", "78.8", "22.4", "61.3"],
        ["Official baseline (CRNN, mean teacher)", "-", "-", "-", "23.5", "54.7"],
        ["Synthetic audio, clipwise loss", "-", "-", "56.4", "12.3", "38.6"],
        ["Synthetic audio, framewise loss", "-", "-", "50.8", "11.7", "40.9"],
    ]
    add_run(workspace, FRAMEWISE, 0.5, 60)
    header, *rows = results_rows(read_runs(workspace))
    assert header[-1] == "segment F1 1s micro"
    assert len(rows) == 2


def test_the_baseline_is_the_first_row_and_its_teacher_has_one_where_it_was_asked_for(tmp_path):
    workspace = Workspace(tmp_path)
    add_run(workspace, WEAK, 0.5, 1168)
    record = add_run(workspace, BASELINE, 0.25, 1168)
    record["teacher_validation"] = record["validation"] | {"mean_average_precision": 0.75}
    append_record(workspace.training_statistics(BASELINE), record)
    rows = results_rows(read_runs(workspace))[1:]
    assert [row[3] for row in rows[:2]] == ["25.0", "50.0"]
    asked = {"iteration": 200, "teacher_validation": record["teacher_validation"]}
    append_record(workspace.inference_statistics(BASELINE), asked)
    rows = results_rows(read_runs(workspace))[1:]
    name = "Weak + synthetic + unlabelled audio, mean teacher loss (Crnn, batch 24, seed 1234)"
    assert [(row[0], row[3], row[-2]) for row in rows[:2]] == [
        (name, "25.0", "23.5"),
        (f"{name}, teacher", "75.0", "23.5"),
    ]


def test_another_model_has_no_published_result_beside_it(tmp_path):
    workspace = Workspace(tmp_path)
    add_run(workspace, Run(**(vars(WEAK) | {"model_type": "Cnn_5layers_AvgPooling"})), 0.5, 1168)
    rows = results_rows(read_runs(workspace))[1:]
    assert rows[0][-3:] == ["-", "-", "-"]
    assert len(rows) == 5


def test_last_inference_counts_before_the_training_log(tmp_path):
    workspace = Workspace(tmp_path)
    record = add_run(workspace, WEAK, 0.5, 60)
    record["validation"]["mean_average_precision"] = 0.75
    append_record(workspace.inference_statistics(WEAK), record)
    assert results_rows(read_runs(workspace))[1][3] == "75.0"


def test_scores_that_are_not_defined_show_as_dashes(tmp_path):
    workspace = Workspace(tmp_path)
    add_run(workspace, WEAK, float("nan"), 60)
    assert (
        read_records(workspace.training_statistics(WEAK))[0]["validation"]["event"]["classwise"]["Cat"]["f1"]
        is None
    )
    assert results_rows(read_runs(workspace))[1][3] == "-"


def test_table_is_aligned(tmp_path):
    workspace = Workspace(tmp_path)
    add_run(workspace, WEAK, 0.5, 60)
    lines = format_table(results_rows(read_runs(workspace))).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert "Weak audio" in lines[3]


AT_THE_EDGES = (Event(0.0, 2.0, config.labels[0]), Event(9.5, 10.1, config.labels[-1]))


@pytest.mark.parametrize("events", [(), AT_THE_EDGES])
def test_figures_of_odd_clips_are_drawn(tmp_path, events):
    clip = Clip("clip.wav", frozenset(), events)
    logmel = np.full((config.clip_frames, config.mel_bins), -100, np.float32)
    framewise = np.zeros((config.clip_frames, config.classes_num), np.float32)
    path: Path = tmp_path / "figures" / "clip.png"
    plot_clip(path, logmel, clip, framewise, framewise[0], clip)
    assert path.stat().st_size > 10_000


def test_curves_of_a_run_without_validation_are_drawn(tmp_path):
    workspace = Workspace(tmp_path)
    run = Run(**(vars(WEAK) | {"holdout_fold": "none"}))
    claim_run_folder(workspace.run_settings(run), run, config.precision)
    append_record(workspace.training_statistics(run), {"iteration": 2, "train_mean_average_precision": 0.5})
    plot_training_curves(workspace.training_curves, read_runs(workspace))
    assert workspace.training_curves.is_file()
