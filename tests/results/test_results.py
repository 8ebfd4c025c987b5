"""The statistics and the results table: its rows, and when the published results stand beside them."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from tests.conftest import workspace_at
from tests.settings_for_tests import SETTINGS
from utils.dataset.tables import Clip, Event
from utils.events.probabilities import Probabilities
from utils.results.figures import (
    plot_clip,
    plot_scores_over_time,
    plot_training_curves,
)
from utils.results.runs import read_runs
from utils.results.statistics import (
    RunSettings,
    append_record,
    forget_records,
    read_records,
    read_run_settings,
    training_minutes,
    write_run_settings,
)
from utils.results.table import results_table
from utils.results.table_text import table_lines
from utils.scoring.sed_eval_scores import score_events
from utils.settings.groups import MEASURED_RECIPE, PUBLISHED_TRAINING
from utils.system.errors import SedError
from utils.system.terminal import LINE_LENGTH
from utils.workspace.paths import Workspace
from utils.workspace.run import Run

WEAK = Run("train_weak", "1", "Cnn_9layers_MaxPooling", "clipwise_binary_crossentropy", 32, 1234)
FRAMEWISE = Run("train_synthetic", "1", "Cnn_9layers_MaxPooling", "framewise_binary_crossentropy", 32, 1234)
TRAITS = "Cnn_9layers_MaxPooling, batch 32, seed 1234"  # of both, in titles
BASELINE = Run("train_weak+train_synthetic+train_unlabel_in_domain", "1", "Crnn", "mean_teacher", 24, 1234)
REFERENCE = [Clip("a.wav", frozenset(["Dog"]), (Event(1.0, 2.0, "Dog"),))]


OTHER_RATE = replace(WEAK, training=replace(WEAK.training, learning_rate=0.01))


def begin(workspace: Workspace, run: Run, *, resume: bool = False, **changes: object) -> str:
    """Write the settings of a run as a training does; return its ID."""
    settings = replace(RunSettings(run, SETTINGS.features, "fp32", {}), **changes)
    path = workspace.run_paths(run).settings
    write_run_settings(path, settings, resume=resume)
    return read_run_settings(path).training_id


def add_run(workspace: Workspace, run: Run, mean_ap: float, clips_listed: int) -> dict:
    """Leave the statistics of a run with a perfect submission; return a record as of its inference."""
    training_id = begin(workspace, run)
    labels, scoring = SETTINGS.features.labels, SETTINGS.scoring
    scores = score_events(REFERENCE, REFERENCE, labels=labels, scoring=scoring).to_json()
    validation = {"mean_average_precision": mean_ap, "clips_listed": clips_listed, **scores}
    record = {"iteration": 200, "loss": 0.1, "train_mean_average_precision": 0.9, "validation": validation}
    record["train_seconds"] = 90.0
    paths = workspace.run_paths(run)
    append_record(paths.training_statistics, record)
    append_record(paths.loss_statistics, {"iteration": 20, "loss": 0.5})
    return record | {"training_id": training_id}


def rows_of(workspace: Workspace) -> list[list[str]]:
    header, rows = results_table(read_runs(workspace), SETTINGS.scoring, single_runs=True)
    return [header, *(row.cells for row in rows)]


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return workspace_at(tmp_path)


def test_rows_stand_in_the_order_of_the_published_results(workspace):
    add_run(workspace, FRAMEWISE, 0.25, 60)
    add_run(workspace, WEAK, 0.5, 60)
    header, *rows = rows_of(workspace)
    assert header[3:6] == ["mAP", "event F1", "event F1 micro"]
    assert header[6:] == ["segment F1 0.2s", "segment F1 0.2s micro", "segment F1 1s", "segment F1 1s micro"]
    assert [row[0] for row in rows] == [
        f"Weak audio, clipwise loss ({TRAITS})",
        f"Synthetic audio, framewise loss ({TRAITS})",
    ]
    assert [row[3] for row in rows] == ["50.0", "25.0"]
    assert all(row[4:] == ["100.0"] * 6 for row in rows)


def test_published_results_stand_beside_ones_own_on_the_real_set_only(workspace):
    add_run(workspace, WEAK, 0.5, 1168)
    header, *rows = rows_of(workspace)
    assert header[-3:] == ["published mAP", "published event F1", "published segment F1"]
    assert [[row[0], *row[3:5], *row[-3:]] for row in rows] == [
        [f"Weak audio, clipwise loss ({TRAITS})", "50.0", "100.0", "78.8", "22.4", "61.3"],
        ["Official baseline (CRNN, mean teacher)", "-", "-", "-", "23.5", "54.7"],
        ["Synthetic audio, clipwise loss", "-", "-", "56.4", "12.3", "38.6"],
        ["Synthetic audio, framewise loss", "-", "-", "50.8", "11.7", "40.9"],
    ]
    add_run(workspace, FRAMEWISE, 0.5, 60)
    header, *rows = rows_of(workspace)
    assert header[-1] == "segment F1 1s micro"
    assert len(rows) == 2


def test_the_baseline_is_the_first_row_and_its_teacher_has_one_where_it_was_asked_for(workspace):
    add_run(workspace, WEAK, 0.5, 1168)
    record = add_run(workspace, BASELINE, 0.25, 1168)
    record["teacher_validation"] = record["validation"] | {"mean_average_precision": 0.75}
    append_record(workspace.run_paths(BASELINE).training_statistics, record)
    rows = rows_of(workspace)[1:]
    assert [row[3] for row in rows[:2]] == ["25.0", "50.0"]
    del record["validation"]
    append_record(workspace.run_paths(BASELINE).inference_statistics, record)
    rows = rows_of(workspace)[1:]
    name = "Weak + synthetic + unlabelled audio, mean teacher loss (Crnn, batch 24, seed 1234)"
    assert [(row[0], row[3], row[-2]) for row in rows[:2]] == [
        (name, "25.0", "23.5"),
        (f"{name}, teacher", "75.0", "23.5"),
    ]


def test_another_model_has_no_published_result_beside_it(workspace):
    add_run(workspace, replace(WEAK, model_type="Cnn_5layers_AvgPooling"), 0.5, 1168)
    rows = rows_of(workspace)[1:]
    assert rows[0][-3:] == ["-", "-", "-"]
    assert len(rows) == 5


def test_training_that_ended_before_its_first_loss_point_has_the_losses_of_its_evaluations(workspace):
    add_run(workspace, WEAK, 0.5, 60)
    workspace.run_paths(WEAK).loss_statistics.unlink()
    (run,) = read_runs(workspace)
    assert [(point["iteration"], point["loss"]) for point in run.loss_points] == [(200, 0.1)]


def test_last_inference_counts_before_the_training_log(workspace):
    record = add_run(workspace, WEAK, 0.5, 60)
    record["validation"]["mean_average_precision"] = 0.75
    append_record(workspace.run_paths(WEAK).inference_statistics, record)
    assert rows_of(workspace)[1][3] == "75.0"


def test_scores_that_are_not_defined_show_as_dashes(workspace):
    add_run(workspace, WEAK, float("nan"), 60)
    assert (
        read_records(workspace.run_paths(WEAK).training_statistics)[0]["validation"]["event"]["classwise"][
            "Cat"
        ]["f1"]
        is None
    )
    assert rows_of(workspace)[1][3] == "-"


def printed(workspace: Workspace) -> list[str]:
    """The table as it is printed, which fits a terminal."""
    lines = table_lines(read_runs(workspace), SETTINGS.scoring, single_runs=False)
    assert max(map(len, lines)) == LINE_LENGTH
    return lines


def test_printed_table_has_the_main_scores_below_their_names(workspace):
    add_run(workspace, WEAK, 0.5, 60)
    _, _, heading, _, row, _, shared = printed(workspace)
    assert heading.split("  ")[0] == "training"
    for name, cell in (("mAP", "50.0"), ("event F1", "100.0"), ("segment F1 1s", "100.0")):
        end = heading.index(name) + len(name)
        assert row[:end].endswith(f" {cell}")
    assert "micro" not in heading
    assert row.startswith("1. Weak audio, clipwise loss  ")
    assert shared == f"All runs: {TRAITS}, 200 iterations, 1 validation clip."


def test_table_without_validated_runs_is_printed_without_rows(workspace):
    begin(workspace, replace(WEAK, holdout_fold="none"))
    heading, body = printed(workspace)[2:4]
    assert heading.startswith("training ")
    assert set(body) == {"-"}


def test_printed_names_leave_out_what_all_runs_or_all_but_the_recipe_share(workspace):
    settings = replace(MEASURED_RECIPE, mixup_probability=0.1)
    recipe = Run("train_weak", "1", "Crnn_8layers_AttentionPooling", "recipe", 12, 1234, training=settings)
    slower = replace(FRAMEWISE, training=OTHER_RATE.training)
    for run in (recipe, OTHER_RATE, slower):
        add_run(workspace, run, 0.5, 60)
    *_, shared, others = printed(workspace)
    assert shared == "All runs: seed 1234, 200 iterations, 1 validation clip."
    assert others == "All but the recipe: Cnn_9layers_MaxPooling, batch 32, learning_rate=0.01."
    names = " ".join(re.split(r"\s{2,}", line.strip())[0] for line in printed(workspace))
    assert "recipe (Crnn_8layers_AttentionPooling, batch 12, mixup_probability=0.1) 2. " in names
    assert "2. Weak audio, clipwise loss 3. Synthetic audio, framewise loss ---" in names


def test_published_scores_are_printed_below_ones_own_and_in_rows_of_their_own(workspace):
    add_run(workspace, WEAK, 0.5, 1168)
    rows = [re.split(r"\s{2,}", line.strip()) for line in printed(workspace)[4:]]
    assert rows[:3] == [
        ["1. Weak audio, clipwise loss", "50.0", "100.0", "100.0"],
        ["published", "78.8", "22.4", "61.3"],
        ["Official baseline (CRNN, mean teacher), published", "-", "23.5", "54.7"],
    ]


LABELS = SETTINGS.features.labels
AT_THE_EDGES = (Event(0.0, 2.0, LABELS[0]), Event(9.5, 10.1, LABELS[-1]))


@pytest.mark.parametrize(("events", "lowest"), [((), 50), (AT_THE_EDGES, 50), ((), 9000)])
def test_figures_of_odd_clips_are_drawn(tmp_path, events, lowest):
    clip = Clip("clip.wav", frozenset(), events)
    features = replace(SETTINGS.features, mel_min_frequency=lowest)
    logmel = np.full((features.clip_frames, features.mel_bins), -100, np.float32)
    outputs = np.zeros((features.clip_frames // 8, features.classes_num), np.float32)
    probabilities = Probabilities(outputs, outputs[0], stride_frames=8, frames=features.clip_frames)
    path: Path = tmp_path / "figures" / "clip.png"
    plot_clip(path, logmel, clip, probabilities, clip, features=features)
    assert path.stat().st_size > 10_000


def test_curves_of_a_run_without_validation_are_drawn(workspace):
    run = replace(WEAK, holdout_fold="none")
    begin(workspace, run)
    record = {"iteration": 2, "train_mean_average_precision": 0.5}
    append_record(workspace.run_paths(run).training_statistics, record)
    plot_training_curves(workspace.training_curves, read_runs(workspace), SETTINGS.scoring)
    assert workspace.training_curves.is_file()


def test_titles_name_the_training_settings_that_are_not_the_published_ones(workspace):
    add_run(workspace, WEAK, 0.5, 60)
    add_run(workspace, OTHER_RATE, 0.25, 60)
    assert {row[0]: row[3] for row in rows_of(workspace)[1:]} == {
        f"Weak audio, clipwise loss ({TRAITS})": "50.0",
        f"Weak audio, clipwise loss ({TRAITS}, learning_rate=0.01)": "25.0",
    }


def test_scores_of_earlier_weights_do_not_count_after_a_new_training(workspace):
    record = add_run(workspace, WEAK, 0.5, 60)
    record["validation"]["mean_average_precision"] = 0.75
    record["tuned_validation"] = record["teacher_validation"] = record["validation"]
    append_record(workspace.run_paths(WEAK).inference_statistics, record)
    assert begin(workspace, WEAK, resume=True) == record["training_id"]
    assert [row[3] for row in rows_of(workspace)[1:]] == ["75.0"] * 3
    begin(workspace, WEAK)
    assert [row[3] for row in rows_of(workspace)[1:]] == ["50.0"]
    del record["training_id"]  # as in a file of an earlier version
    append_record(workspace.run_paths(WEAK).inference_statistics, record)
    assert [row[3] for row in rows_of(workspace)[1:]] == ["50.0"]


def test_settings_of_a_run_are_read_as_they_were_written(workspace):
    training_id = begin(workspace, OTHER_RATE)
    settings = read_run_settings(workspace.run_paths(OTHER_RATE).settings)
    assert settings.run == OTHER_RATE
    assert settings.features == SETTINGS.features
    assert (settings.precision, settings.training_id) == ("fp32", training_id)
    assert [path.settings for path in workspace.all_run_paths()] == [workspace.run_paths(OTHER_RATE).settings]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"precision": "bf16"}, "precision = fp32, but now it is bf16"),
        (
            {"features": replace(SETTINGS.features, log_floor=1e-8)},
            "log_floor = 1e-10, but now it is 1e-08",
        ),
    ],
)
def test_resumed_training_must_have_the_same_settings_and_a_new_one_may_have_others(
    workspace, changes, message
):
    training_id = begin(workspace, WEAK)
    assert begin(workspace, WEAK, resume=True) == training_id
    with pytest.raises(SedError, match=f"{message}.*leave out --resume"):
        begin(workspace, WEAK, resume=True, **changes)
    assert read_run_settings(workspace.run_paths(WEAK).settings).training_id == training_id
    new_id = begin(workspace, WEAK, **changes)
    assert new_id != training_id
    assert begin(workspace, WEAK, resume=True, **changes) == new_id


def test_resumed_training_must_have_the_same_training_settings_though_the_folder_is_the_same(workspace):
    begin(workspace, OTHER_RATE)
    nearly = replace(OTHER_RATE, training=replace(OTHER_RATE.training, learning_rate=0.01 + 1e-15))
    assert workspace.run_paths(nearly) == workspace.run_paths(OTHER_RATE)
    with pytest.raises(SedError, match="learning_rate = 0.01, but now it is 0.01000"):
        begin(workspace, nearly, resume=True)


def test_training_to_resume_begins_where_there_is_none(workspace):
    assert begin(workspace, WEAK, resume=True)


BROKEN_SETTINGS = {
    "no JSON": lambda content: "{",
    "no object": lambda content: [content],
    "no run": lambda content: content | {"run": None},
    "unknown flag": lambda content: content | {"run": content["run"] | {"speed": 1}},
    "no training": lambda content: content | {"run": content["run"] | {"training": {}}},
    "no features": lambda content: content | {"features": {}},
    "ID is no text": lambda content: content | {"training_id": 1},
}


@pytest.mark.parametrize("kind", BROKEN_SETTINGS)
def test_settings_that_are_not_valid_are_refused_with_their_path(workspace, kind):
    begin(workspace, WEAK)
    path = workspace.run_paths(WEAK).settings
    broken = BROKEN_SETTINGS[kind](json.loads(path.read_text()))
    path.write_text(broken if isinstance(broken, str) else json.dumps(broken))
    for read in (lambda: read_runs(workspace), lambda: begin(workspace, WEAK, resume=True)):
        with pytest.raises(SedError, match=r"run\.json: not a valid settings file of a run: "):
            read()
    begin(workspace, WEAK)
    assert read_runs(workspace)


@pytest.mark.parametrize("line", ["nothing", "[1]", "2", '{"loss": 0.5}', '{"iteration": "2"}', "\xff"])
def test_records_that_are_not_valid_are_refused_with_file_and_line(tmp_path, line):
    path = tmp_path / "loss.jsonl"
    append_record(path, {"iteration": 1})
    path.write_bytes(path.read_bytes() + f"{line}\n".encode("latin-1"))
    with pytest.raises(SedError, match=r"loss\.jsonl, line 2: not .*; remove the line"):
        read_records(path)


def test_records_survive_a_killed_process_and_those_of_later_iterations_are_forgotten(tmp_path):
    path = tmp_path / "loss.jsonl"
    assert read_records(path) == []
    append_record(path, {"iteration": 1, "loss": float("nan")})
    path.write_bytes(path.read_bytes() + b'{"iterat')
    assert read_records(path) == [{"iteration": 1, "loss": None}]
    append_record(path, {"iteration": 2})
    append_record(path, {"iteration": 3})
    forget_records(path, after=2)
    assert [record["iteration"] for record in read_records(path)] == [1, 2]


def test_long_titles_below_the_curves_are_not_cut_off(workspace):
    training = replace(
        PUBLISHED_TRAINING, learning_rate=0.003, teacher_decay=0.97, learning_rate_decay_interval=1000
    )
    for seed in (1, 2):
        add_run(
            workspace,
            replace(WEAK, seed=seed, model_type="Cnn_13layers_AvgPooling", training=training),
            0.5,
            60,
        )
    plot_training_curves(workspace.training_curves, read_runs(workspace), SETTINGS.scoring)
    picture = imread(workspace.training_curves)
    for edge in (picture[:, 0], picture[:, -1]):
        assert (edge == 1).all(), "white: nothing reaches over it"


def test_time_of_training_adds_up_from_evaluation_to_evaluation():
    assert training_minutes([{"train_seconds": 30.0}, {"train_seconds": 90.0}]) == [0.5, 2.0]


def test_scores_over_time_name_runs_that_differ_in_their_seed_once(workspace, monkeypatch):
    for seed in (1, 2):
        add_run(workspace, replace(WEAK, seed=seed), 0.5, 60)
    labels = []
    monkeypatch.setattr(
        Figure, "legend", lambda figure, **_: labels.extend(figure.axes[0].get_legend_handles_labels()[1])
    )
    plot_scores_over_time(workspace.scores_over_time, read_runs(workspace), SETTINGS.scoring)
    assert labels == ["Weak audio, clipwise loss (Cnn_9layers_MaxPooling, batch 32)"]
    assert workspace.scores_over_time.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("has_teacher", "named"), [(True, "teacher_decay=0.9"), (False, "learning_rate_decay=0.5")]
)
def test_settings_of_the_other_system_do_not_name_a_run(has_teacher, named):
    changed = replace(PUBLISHED_TRAINING, teacher_decay=0.9, learning_rate_decay=0.5)
    assert Run(
        "train_weak", "1", "Crnn", "any", 8, 1, training=changed.of_system(has_teacher=has_teacher)
    ).own_settings == [named]
