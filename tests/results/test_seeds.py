"""Runs of several seeds in one row, intervals in the table, and two runs compared."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.commands import assert_user_error, run_command, run_well
from tests.conftest import workspace_at
from tests.results.test_results import FRAMEWISE, WEAK, begin
from tests.settings_for_tests import LABELS, SETTINGS
from utils.dataset.tables import Clip, Event
from utils.results.choice import find_group, find_models
from utils.results.comparison import comparison_lines
from utils.results.page_data import groups_of_runs, table_rows
from utils.results.runs import read_runs
from utils.results.scored_models import best_first, grouped_by_seed, scored_models
from utils.results.statistics import append_record
from utils.results.table import results_table, rows_for_programs
from utils.results.table_text import table_lines
from utils.scoring.bootstrap import ResampledScores, fingerprint, resample_clips, resample_detection
from utils.scoring.sed_eval_scores import score_events
from utils.system.errors import SedError
from utils.system.terminal import LINE_LENGTH
from utils.workspace.paths import Workspace
from utils.workspace.run import Run, Variant

SCORING = replace(SETTINGS.scoring, bootstrap_resamples=200)
TRAITS = "Cnn_9layers_MaxPooling, batch 32"  # of the runs here, in titles
EVENTS = [Event(1.0, 2.0, "Dog"), Event(4.0, 8.0, "Speech")]
REFERENCE = [Clip(f"{index:02d}.wav", frozenset({"Dog", "Speech"}), tuple(EVENTS)) for index in range(12)]
MAP_OF_SEEDS = {1: 0.5, 2: 0.6, 10: 0.9}


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    return workspace_at(tmp_path)


def add_validated(
    workspace: Workspace, run: Run, *, found: int, mean_ap: float = 0.5, weights: str = "", **options: object
) -> ResampledScores:
    """Leave what a training and inference_validation do: a model that finds the events of so many clips."""
    training_id = begin(workspace, run, resume=True, precision=options.get("precision", "fp32"))
    paths, clips = workspace.run_paths(run), options.get("clips", REFERENCE)
    scoring = options.get("scoring", SCORING)
    scores = score_events(clips, clips[:found], labels=LABELS, scoring=scoring, show_progress=False)
    resampled = resample_detection(scores, resample_clips(len(clips), scoring))
    kept = ResampledScores(training_id, fingerprint(clips), scoring, resampled)
    iteration = options.get("iteration", 200)
    kept.write(paths.resampled_scores(iteration, Variant("teacher" if weights else "student")))
    validation = scores.to_json() | {"mean_average_precision": mean_ap, "clips_listed": len(clips)}
    validation |= options.get("psds", {})
    record = {"iteration": iteration, "training_id": training_id, f"{weights}validation": validation}
    record[f"{weights}validation"]["bootstrap"] = kept.to_json()
    append_record(paths.training_statistics, {"iteration": iteration})
    append_record(paths.inference_statistics, record)
    return kept


def add_seeds(workspace: Workspace) -> None:
    for found, (seed, mean_ap) in zip((2, 3, 6), MAP_OF_SEEDS.items(), strict=True):
        add_validated(workspace, replace(WEAK, seed=seed), found=found, mean_ap=mean_ap)


def f1_percent(found: int) -> float:
    return 100 * 2 * found / (12 + found)


def test_runs_that_differ_only_in_their_seed_share_a_row(workspace):
    add_seeds(workspace)
    add_validated(workspace, FRAMEWISE, found=8)
    header, rows = results_table(read_runs(workspace), SCORING, single_runs=False)
    assert [row.numbers for row in rows] == [[1, 2, 3], [4]]
    assert rows[0].cells[0] == f"Weak audio, clipwise loss ({TRAITS}, 3 seeds: 1, 2, 10)"
    column = header.index("event F1")
    values = [f1_percent(found) for found in (2, 3, 6)]
    assert rows[0].cells[column] == f"{np.mean(values):.1f} ± {np.std(values, ddof=1):.1f}"
    assert rows[0].cells[header.index("mAP")] == "66.7 ± 20.8"
    assert rows[0].ends_name == "worst to best"
    assert rows[0].ends["event F1"] == (f"{values[0]:.1f}", f"{values[2]:.1f}")
    assert rows[1].cells[0] == f"Synthetic audio, framewise loss ({TRAITS}, seed 1234)"


def test_seeds_without_psds_stand_beside_a_run_that_has_it(workspace):
    add_seeds(workspace)
    add_validated(workspace, FRAMEWISE, found=8, psds={"psds": {"psds1": 0.5, "psds2": 0.6}})
    header, rows = results_table(read_runs(workspace), SCORING, single_runs=False)
    column = header.index("PSDS1")
    assert [(row.cells[column], row.ends.get("PSDS1")) for row in rows] == [("-", None), ("50.0", None)]


def test_single_runs_have_rows_of_their_own_with_their_intervals(workspace):
    add_seeds(workspace)
    kept = add_validated(workspace, FRAMEWISE, found=8)
    header, rows = results_table(read_runs(workspace), SCORING, single_runs=True)
    assert [row.numbers for row in rows] == [[1], [2], [3], [4]]
    assert [re.search(r"seed (\d+)", row.cells[0])[1] for row in rows] == ["1", "2", "10", "1234"]
    low, high = kept.scores["event/macro/f1"].interval(0.95)
    assert low < f1_percent(8) / 100 < high
    assert rows[3].ends_name == "95 % interval"
    assert rows[3].ends["event F1"] == (f"{100 * low:.1f}", f"{100 * high:.1f}")
    assert "mAP" not in rows[3].ends


@pytest.mark.parametrize(
    "other",
    [
        {"run": replace(WEAK, seed=2, batch_size=16)},
        {"run": replace(WEAK, seed=2, training=replace(WEAK.training, learning_rate=0.01))},
        {"run": replace(WEAK, seed=2), "iteration": 400},
        {"run": replace(WEAK, seed=2), "precision": "bf16"},
        {"run": replace(WEAK, seed=2), "clips": REFERENCE[:11]},
    ],
)
def test_runs_that_differ_in_more_than_their_seed_share_no_row(workspace, other):
    add_validated(workspace, WEAK, found=2)
    run = other.pop("run")
    add_validated(workspace, run, found=3, **other)
    assert len(grouped_by_seed(scored_models(read_runs(workspace)))) == 2


def test_student_and_teacher_of_several_seeds_have_a_row_each(workspace):
    for seed in (1, 2):
        add_validated(workspace, replace(WEAK, seed=seed), found=2)
        add_validated(workspace, replace(WEAK, seed=seed), found=3, weights="teacher_")
    titles = [group.title for group in grouped_by_seed(scored_models(read_runs(workspace)))]
    assert titles == [
        f"Weak audio, clipwise loss ({TRAITS}, 2 seeds: 1, 2)",
        f"Weak audio, clipwise loss ({TRAITS}, 2 seeds: 1, 2), teacher",
    ]


def test_the_best_models_are_those_of_the_best_mean_not_a_lucky_seed(workspace):
    for seed, found in ((1, 1), (2, 9)):
        add_validated(workspace, replace(WEAK, seed=seed), found=found)
    for seed, found in ((1, 7), (2, 8)):
        add_validated(workspace, replace(FRAMEWISE, seed=seed), found=found)
    runs = [model.results.run for model in best_first(scored_models(read_runs(workspace)))]
    wanted = [(FRAMEWISE.loss_type, 2), (FRAMEWISE.loss_type, 1), (WEAK.loss_type, 2), (WEAK.loss_type, 1)]
    assert [(run.loss_type, run.seed) for run in runs] == wanted


def test_printed_table_has_numbers_and_details_and_fits_a_terminal(workspace):
    add_seeds(workspace)
    add_validated(workspace, FRAMEWISE, found=12)
    lines = table_lines(read_runs(workspace), SCORING, single_runs=False)
    assert max(map(len, lines)) == LINE_LENGTH
    (row,) = [
        number for number, line in enumerate(lines) if line.startswith("1-3. Weak audio, clipwise loss")
    ]
    f1 = [f1_percent(found) for found in (2, 3, 6)]
    assert f"  66.7 ± 20.8  {np.mean(f1):.1f} ± {np.std(f1, ddof=1):.1f}  " in lines[row]
    assert "(3 seeds: 1, 2, 10)" in lines[row] + lines[row + 1]
    assert re.findall(r"\S+–\S+", lines[row + 1])[:2] == ["50.0–90.0", f"{f1[0]:.1f}–{f1[2]:.1f}"]
    (perfect,) = [number for number, line in enumerate(lines) if line.startswith("4. Synthetic audio")]
    assert lines[perfect + 1].split()[-2:] == ["100.0", "100.0"], "an interval without width is one number"

    lines = table_lines(read_runs(workspace), SCORING, single_runs=True)
    assert "Below the scores of a single run: 95 % interval." in lines
    assert [line[:20] for line in lines if line.startswith("3. ")] == ["3. Weak audio, clipw"]


def test_table_for_other_programs_has_the_ends_of_the_intervals_in_columns(workspace):
    add_seeds(workspace)
    header, *rows = rows_for_programs(read_runs(workspace), SCORING)
    assert header[-2:] == ["segment F1 1s micro low", "segment F1 1s micro high"]
    assert {len(row) for row in rows} == {len(header)}
    for row in rows:
        low, score, high = (float(row[header.index(f"event F1{end}")]) for end in (" low", "", " high"))
        assert low < score < high


def test_page_has_a_row_for_several_seeds_and_in_it_each_run(workspace):
    add_seeds(workspace)
    add_validated(workspace, FRAMEWISE, found=8)
    runs = read_runs(workspace)
    _, (several, single) = table_rows(runs, SCORING)
    assert (several.numbers, [row.numbers for row in several.runs]) == ("1-3", ["1", "2", "3"])
    assert [row.cells[0] for row in several.runs] == ["seed 1", "seed 2", "seed 10"]
    assert [row.is_best for row in (several, *several.runs, single)] == [False] * 4 + [True]
    assert (single.numbers, single.runs) == ("4", [])
    assert groups_of_runs(runs) == [0, 0, 0, 1]


def compared(workspace: Workspace, *names: str) -> list[str]:
    runs = read_runs(workspace)
    return comparison_lines(*(find_group(runs, workspace, name) for name in names))


def test_difference_of_two_runs_is_that_of_each_draw(workspace):
    kept = [add_validated(workspace, replace(WEAK, seed=seed), found=seed) for seed in (3, 9)]
    lines = compared(workspace, "1", "2")
    first, second = (of_run.scores["event/micro/f1"] for of_run in kept)
    low, high = np.quantile(second.draws - first.draws, [0.025, 0.975])
    shift = second.score - first.score - np.mean(second.draws - first.draws)
    low, high = low + shift, high + shift
    (line,) = [line for line in lines if line.startswith("event F1 micro")]
    scores = f1_percent(3), f1_percent(9)
    assert line.split()[3:] == [
        f"{scores[0]:.1f}",
        f"{scores[1]:.1f}",
        f"{scores[1] - scores[0]:+.1f}",
        f"{100 * low:+.1f}",
        "to",
        f"{100 * high:+.1f}",
        "*",
    ]
    (line,) = [line for line in compared(workspace, "2", "2") if line.startswith("event F1 micro")]
    assert line.split()[5:] == ["+0.0", "+0.0"]


def test_difference_of_means_over_seeds_is_that_of_each_draw(workspace):
    first, second = (
        [add_validated(workspace, replace(run, seed=seed), found=found) for seed, found in enumerate(founds)]
        for run, founds in ((WEAK, (2, 3, 5)), (FRAMEWISE, (8, 9)))
    )
    means = [
        np.mean([of_run.scores["event/micro/f1"].draws for of_run in group], axis=0)
        for group in (first, second)
    ]
    score = np.mean([f1_percent(found) for found in (8, 9)]) - np.mean([f1_percent(n) for n in (2, 3, 5)])
    difference = means[1] - means[0]
    ends = 100 * (np.quantile(difference, [0.025, 0.975]) - difference.mean()) + score
    for names in (("1-3", "4,5"), ("1,2-3", "4-5")):
        lines = compared(workspace, *names)
        assert "3 seeds: 0, 1, 2" in lines[0]
        (line,) = [line for line in lines if line.startswith("event F1 micro")]
        values = [f1_percent(found) for found in (2, 3, 5)]
        assert f"{np.mean(values):.1f} ± {np.std(values, ddof=1):.1f}" in line
        assert line.split()[-5:] == [f"{score:+.1f}", f"{ends[0]:+.1f}", "to", f"{ends[1]:+.1f}", "*"]
    with pytest.raises(SedError, match="1-4: these runs differ in more than their seed"):
        compared(workspace, "1-4", "5")
    with pytest.raises(SedError, match="there is no run '6'"):
        compared(workspace, "1-3", "4-6")
    with pytest.raises(SedError, match="there is no run '6'"):
        compared(workspace, "1-3", "4-1000000000000")
    with pytest.raises(SedError, match="3-1: 3-1 is no range; name its lower number first"):
        compared(workspace, "3-1", "4")


def test_runs_are_named_by_number_folder_and_variant(workspace, monkeypatch):
    add_seeds(workspace)
    add_validated(workspace, replace(WEAK, seed=2), found=4, weights="teacher_")
    runs = read_runs(workspace)
    folder = runs[1].paths.folder
    monkeypatch.chdir(workspace.root)
    for name in ("2", str(folder), f"statistics/{folder}", str(runs[1].paths.statistics)):
        both = [(model.results, model.variant.weights) for model in find_models(runs, workspace, name)]
        assert both == [(runs[1], "student"), (runs[1], "teacher")]
        assert [model.variant.weights for model in find_models(runs, workspace, f"{name}:teacher")] == [
            "teacher"
        ]
    for name in ("0", "4", "no/such", "2:"):
        with pytest.raises(SedError, match=f"there is no run '{name}'; name it best, by its number .1: "):
            find_models(runs, workspace, name)
    with pytest.raises(SedError, match="1:teacher: there are no such scores.* and --weights teacher"):
        find_models(runs, workspace, "1:teacher")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clips": REFERENCE[1:]}, "different clips"),
        ({"scoring": replace(SCORING, bootstrap_seed=1)}, "different settings of the scores"),
        ({"scoring": replace(SCORING, onset_collar=0.5)}, "different settings of the scores"),
    ],
)
def test_runs_on_other_clips_or_draws_are_not_compared(workspace, options, message):
    add_validated(workspace, WEAK, found=2)
    add_validated(workspace, FRAMEWISE, found=2, **options)
    with pytest.raises(SedError, match=f"{message}; validate all again with"):
        compared(workspace, "1", "2")


def test_runs_without_current_draws_are_not_compared(workspace):
    add_validated(workspace, WEAK, found=2)
    add_validated(workspace, FRAMEWISE, found=2)
    path = workspace.run_paths(WEAK).resampled_scores(200)
    content = path.read_text()
    path.unlink()
    with pytest.raises(SedError, match="there is no such file; make it with: pytorch/inference.py"):
        compared(workspace, "1", "2")
    path.write_text(content.replace('"training_id": "', '"training_id": "0'))
    with pytest.raises(SedError, match="is of an earlier training of this run"):
        compared(workspace, "1", "2")


def test_commands_show_single_runs_and_compare(workspace):
    add_seeds(workspace)
    place = ("--workspace", workspace.root)
    assert "± " in run_well("utils/plot_results.py", "table", *place)
    single = run_well("utils/plot_results.py", "table", *place, "--single_runs")
    assert "± " not in single
    assert "3. Weak audio, clipwise loss (seed 10) " in single
    output = run_well("utils/plot_results.py", "compare", *place, "1", "3")
    assert f"A: Weak audio, clipwise loss ({TRAITS}, seed 1)\nB: Weak audio" in output
    result = run_command("utils/plot_results.py", "compare", *place, "1", Path("/no/such/run"))
    assert_user_error(result, "there is no run '/no/such/run'; name it best, ")
