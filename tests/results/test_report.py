"""The results page's data and file; test_report_page.py looks at the page in a browser."""

import base64
import io
import json
import os
import re
import shutil
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.commands import assert_user_error, run_command, run_well
from tests.conftest import Trained, workspace_at
from tests.settings_for_tests import SETTINGS
from utils.audio.logmel import frequency_ticks, logmel_of_clip
from utils.audio.mp3 import mp3
from utils.audio.reading import read_clip
from utils.dataset.subsets import read_clips
from utils.dataset.tables import Clip, Event, read_strong_table, write_strong_table
from utils.events.post_processing import POST_PROCESSINGS, DoubleThreshold, class_post_processing
from utils.events.tuning import TunedClass, write_tuned
from utils.report import write_report
from utils.results.page import json_for_script
from utils.results.page_clips import spread_over_f1, thresholds_of
from utils.results.page_media import probability_text, spectrogram_png
from utils.results.runs import RunResults, read_runs
from utils.results.scored_models import ScoredModel, best_model
from utils.results.statistics import (
    RunSettings,
    append_record,
    read_run_settings,
    value_at,
    write_run_settings,
)
from utils.results.table import results_table
from utils.scoring.event_errors import CORRECT, FALSE, MISSED, WRONG_BOUNDARY, JudgedClip, JudgedEvent
from utils.system.errors import SedError
from utils.system.files import file_digest
from utils.workspace.paths import RunPaths, Workspace, tuned_beside
from utils.workspace.run import STUDENT, UNTUNED_STUDENT, Run, Variant

pytestmark = pytest.mark.xdist_group("report")  # one process runs all these tests, as they share a page
FEATURES = SETTINGS.features
RUN = Run("train_weak", "1", "Cnn_9layers_MaxPooling", "clipwise_binary_crossentropy", 32, 1234)


def page_data(path: Path) -> dict:
    """What a page shows, taken out of its file."""
    block = re.search(r'<script type="application/json" id="report-data">(.*?)</script>', path.read_text())
    return json.loads(block[1])


def content(data_uri: str) -> bytes:
    return base64.b64decode(data_uri.split(";base64,")[1])


def predictions_with_every_verdict(reference: list[Clip]) -> tuple[list[Clip], dict[str, set[str]]]:
    """A submission, and the verdicts that each clip's events must get."""
    right, late, confused, *undetected = (clip for clip in reference if clip.events)
    absent = next(label for label in FEATURES.labels if label not in confused.labels)
    submission = [
        right,
        Clip(late.name, events=tuple(replace(event, offset=event.offset + 3) for event in late.events)),
        Clip(confused.name, events=tuple(replace(event, label=absent) for event in confused.events)),
    ]
    assert undetected
    verdicts = {clip.name: set() for clip in reference} | {clip.name: {MISSED} for clip in undetected}
    verdicts |= {right.name: {CORRECT}, late.name: {WRONG_BOUNDARY}, confused.name: {MISSED, FALSE}}
    return submission, verdicts


def submit(trained: Trained, paths: RunPaths, submission: list[Clip]) -> None:
    """Let a run, whose statistics are those of `trained`, have submitted something else."""
    write_strong_table(paths.submission(2), submission, list_eventless=False)
    scored = file_digest(trained.paths.submission(2))
    for statistics in (paths.training_statistics, paths.inference_statistics):
        if statistics.is_file():
            text = statistics.read_text()
            statistics.write_text(text.replace(scored, file_digest(paths.submission(2))))


def workspace_with_submission(trained: Trained, root: Path, submission: list[Clip]) -> Workspace:
    """A workspace like that of `trained`, in which the model has submitted something else."""
    for kind in ("features", "scalars", "checkpoints"):
        (root / kind).symlink_to(trained.workspace.root / kind)
    shutil.copytree(trained.workspace.statistics, root / "statistics")
    workspace = workspace_at(root)
    submit(trained, workspace.run_paths(trained.run), submission)
    return workspace


def add_seed(trained: Trained, workspace: Workspace, submission: list[Clip]) -> RunPaths:
    """Add a run of another seed, with the same scores and weights but another submission."""
    seed = trained.run.seed + 1
    paths = workspace.run_paths(replace(trained.run, seed=seed))
    shutil.copytree(trained.paths.statistics, paths.statistics)
    text = paths.settings.read_text()
    paths.settings.write_text(text.replace(f'"seed": {trained.run.seed}', f'"seed": {seed}'))
    checkpoints = workspace.root / "checkpoints"
    if checkpoints.is_symlink():
        checkpoints.unlink()
        shutil.copytree(trained.workspace.root / "checkpoints", checkpoints)
    shutil.copytree(trained.paths.checkpoint(2).parent, paths.checkpoint(2).parent)
    submit(trained, paths, submission)
    return paths


@pytest.fixture(scope="module")
def every_verdict(trained, tmp_path_factory) -> tuple[Path, dict[str, set[str]]]:
    """A page of clips with events of every verdict, and the verdicts of each."""
    submission, verdicts = predictions_with_every_verdict(
        read_clips(trained.dataset_dir, "validation", FEATURES.labels)
    )
    workspace = workspace_with_submission(trained, tmp_path_factory.mktemp("report"), submission)
    place = ["--workspace", workspace.root, "--dataset_dir", trained.dataset_dir]
    output = run_well("utils/report.py", *place)
    assert f"Results page: {workspace.report}" in output
    return workspace.report, verdicts


@pytest.fixture(scope="module")
def two_runs(trained, tmp_path_factory) -> Workspace:
    """A workspace with a page of two runs: one with events of every verdict, one that detected nothing."""
    reference = read_clips(trained.dataset_dir, "validation", FEATURES.labels)
    submission, _ = predictions_with_every_verdict(reference)
    workspace = workspace_with_submission(trained, tmp_path_factory.mktemp("two_runs"), submission)
    add_seed(trained, workspace, [])
    make_report(trained, workspace.root, clips=5)
    return workspace


def make_report(trained: Trained, root: Path, *, clips: int, output: Path | None = None, **options) -> None:
    """Write the page of a workspace on the data set of `trained`."""
    place = {"workspace": root, "dataset_dir": trained.dataset_dir, "output": output}
    others = {"run": "best", "runs": 6} | options
    write_report(Namespace(**place, clips=clips, **others), SETTINGS)


def delay_samples(samples: np.ndarray, original: np.ndarray) -> int:
    """How much later the samples have what the original has: the shift of the highest correlation."""
    spectrum = np.fft.rfft(samples) * np.conj(np.fft.rfft(original))
    shift = int(np.fft.irfft(spectrum, len(samples)).argmax())
    return shift if shift < len(samples) / 2 else shift - len(samples)


def test_page_shows_the_verdict_of_every_event(every_verdict, trained):
    path, verdicts = every_verdict
    shown = page_data(path)["clips"]
    clips = read_clips(trained.dataset_dir, "validation", FEATURES.labels)
    reference = {clip.name: clip for clip in clips}
    assert {clip["name"] for clip in shown["clips"]} == set(reference)
    (model,) = shown["models"]
    for clip, found in zip(shown["clips"], model["clips"], strict=True):
        of_predicted = {judged["verdict"] for judged in found["predicted"]}
        assert of_predicted | {*found["reference_verdicts"]} == verdicts[clip["name"]]
        assert clip["reference"] == [vars(event) for event in reference[clip["name"]].events]
        assert len(found["reference_verdicts"]) == len(clip["reference"])
    counted = [sum(of_label.values()) for of_label in model["reference_verdicts"].values()]
    assert sum(counted) == sum(len(clip.events) for clip in reference.values())
    assert sum(map(sum, model["confusion"])) > 0


def test_page_holds_the_events_of_every_run_and_each_clip_once(two_runs, trained, tmp_path):
    shown = page_data(two_runs.report)["clips"]
    assert [model["number"] for model in shown["models"]] == [1, 2]
    for model, run in zip(shown["models"], read_runs(two_runs), strict=True):
        assert model["title"] == run.title
        submitted = {c.name: c.events for c in read_strong_table(run.paths.submission(2), FEATURES.labels)}
        for clip, found in zip(shown["clips"], model["clips"], strict=True):
            events = [judged["event"] for judged in found["predicted"]]
            assert events == [vars(event) for event in submitted.get(clip["name"], ())]
            assert len(found["frame_probabilities"]) == FEATURES.classes_num
    assert two_runs.report.read_text().count("data:audio/mpeg") == len(shown["clips"]) == 5
    make_report(trained, two_runs.root, clips=5, output=tmp_path / "one.html", runs=1)
    more = two_runs.report.stat().st_size - (tmp_path / "one.html").stat().st_size
    assert 0 < more < 5 * 5000, "bytes of a further run"


def test_page_shows_the_chosen_run_first_and_as_many_as_asked_for(two_runs, trained, tmp_path):
    output = tmp_path / "page.html"
    make_report(trained, two_runs.root, clips=5, output=output, run="2")
    data = page_data(output)
    assert [model["number"] for model in data["clips"]["models"]] == [2, 1]
    assert data["shown_title"] == data["clips"]["models"][0]["title"] == data["class_scores"][0]["title"]
    make_report(trained, two_runs.root, clips=5, output=output, run="2", runs=1)
    assert [model["number"] for model in page_data(output)["clips"]["models"]] == [2]


def test_run_whose_events_are_gone_is_left_out_of_the_clips(trained, tmp_path, capsys):
    workspace = workspace_with_submission(trained, tmp_path, [])
    gone = add_seed(trained, workspace, []).submission(2)
    gone.unlink()
    make_report(trained, tmp_path, clips=1)
    data = page_data(workspace.report)
    assert [model["number"] for model in data["clips"]["models"]] == [1]
    assert len(data["class_scores"]) == 2
    assert f"left out of the clips: {gone}" in capsys.readouterr().err


def test_page_holds_the_recordings_spectrograms_and_probabilities(every_verdict, trained):
    shown = page_data(every_verdict[0])["clips"]
    (model,) = shown["models"]
    for clip, found in zip(shown["clips"], model["clips"], strict=True):
        samples, rate = soundfile.read(io.BytesIO(content(clip["audio"])))
        original = read_clip(trained.dataset_dir / "audio/validation" / clip["name"], FEATURES)
        assert rate == FEATURES.sample_rate
        assert len(samples) == len(original)
        assert delay_samples(samples, original) == 0
        image = Image.open(io.BytesIO(content(clip["spectrogram"])))
        assert image.size == (FEATURES.clip_frames, FEATURES.mel_bins)
        assert len(found["clip_probabilities"]) == FEATURES.classes_num
        outputs = {len(base64.b64decode(text)) for text in found["frame_probabilities"]}
        assert outputs == {FEATURES.clip_frames // 8}  # the model gives out one for eight frames


def test_page_has_the_rows_of_the_results_table(every_verdict, trained):
    data = page_data(every_verdict[0])
    header, rows = results_table(read_runs(trained.workspace), SETTINGS.scoring, single_runs=True)
    assert data["columns"] == header
    assert [row["cells"] for row in data["rows"]] == [row.cells for row in rows]
    assert [(row["numbers"], row["is_best"]) for row in data["rows"]] == [("1", True)]
    assert data["rows"][0]["runs"] == []


def test_page_has_the_curves_of_training_and_validation(every_verdict, trained):
    (record,) = read_runs(trained.workspace)[0].evaluations
    tagging, event = page_data(every_verdict[0])["panels"][1:3]
    drawn = {curve["kind"]: curve["points"] for curve in tagging["curves"]}
    assert drawn["validation"] == [[2, record["validation"]["mean_average_precision"]]]
    assert drawn["training"] == [[2, record["train_mean_average_precision"]]]
    assert event["curves"][0]["points"] == [[2, record["validation"]["event"]["macro"]["f1"]]]


def test_page_is_one_file_that_names_no_other(every_verdict):
    text = every_verdict[0].read_text()
    addresses = set(re.findall(r"https?://[^\"' ]+", text))
    assert addresses == {"http://www.w3.org/2000/svg"}  # a name, which no browser looks up
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", text)


def test_clips_are_limited_and_the_counts_are_of_all(trained, tmp_path):
    workspace_with_submission(trained, tmp_path, [])
    output = tmp_path / "elsewhere/page.html"
    make_report(trained, tmp_path, clips=2, output=output)
    clips = page_data(output)["clips"]
    assert len(clips["clips"]) == 2
    assert clips["clips_judged"] == 5


def test_clips_without_a_checkpoint_have_no_probabilities(trained, tmp_path):
    workspace = workspace_with_submission(trained, tmp_path, [])
    (tmp_path / "checkpoints").unlink()
    make_report(trained, tmp_path, clips=1)
    ((clip,),) = (model["clips"] for model in page_data(workspace.report)["clips"]["models"])
    assert clip["clip_probabilities"] == clip["frame_probabilities"] == []


def test_checkpoint_of_an_earlier_training_gives_no_probabilities(trained, tmp_path):
    workspace = workspace_with_submission(trained, tmp_path, [])
    paths = workspace.run_paths(trained.run)
    write_run_settings(paths.settings, RunSettings(trained.run, FEATURES, "auto", {}), resume=False)
    make_report(trained, tmp_path, clips=1)
    ((clip,),) = (model["clips"] for model in page_data(workspace.report)["clips"]["models"])
    assert clip["clip_probabilities"] == clip["frame_probabilities"] == []


def test_submission_that_does_not_have_the_scores_is_not_shown_as_theirs(trained, tmp_path):
    """As one that `inference_validation` of an earlier training's checkpoint has written there since."""
    workspace = workspace_with_submission(trained, tmp_path, [])
    path = workspace.run_paths(trained.run).submission(2)
    write_strong_table(path, [Clip("a.wav", events=(Event(1.0, 2.0, "Dog"),))])
    with pytest.raises(SedError, match=r"submission\.csv: is not the submission that has the scores"):
        make_report(trained, tmp_path, clips=1)


def test_page_shows_the_tuned_thresholds_of_a_tuned_model(trained, tmp_path):
    workspace = workspace_with_submission(trained, tmp_path, [])
    (tmp_path / "checkpoints").unlink()
    shutil.copytree(trained.workspace.root / "checkpoints", tmp_path / "checkpoints")
    paths = workspace.run_paths(trained.run)
    write_strong_table(paths.submission(2, Variant(tuned=True)), [], list_eventless=False)
    assert file_digest(paths.submission(2, Variant(tuned=True))) == file_digest(paths.submission(2))
    scores = read_runs(workspace)[0].evaluations[0]["validation"]
    best = scores | {"event": scores["event"] | {"macro": scores["event"]["macro"] | {"f1": 1.0}}}
    training_id = read_run_settings(paths.settings).training_id
    record = {"iteration": 2, "training_id": training_id, "tuned_validation": best}
    append_record(paths.inference_statistics, record)
    tuned = [
        TunedClass(label, 1, DoubleThreshold(0.3, 0.8, round(0.01 * index, 2), 0, 0), 0, 1)
        for index, label in enumerate(FEATURES.labels)
    ]
    write_tuned(tuned_beside(paths.checkpoint(2), STUDENT), tuned, "train_synthetic", training_id)
    make_report(trained, tmp_path, clips=1)
    data = page_data(workspace.report)
    assert data["shown_title"].endswith(", tuned")
    assert data["clips"]["models"][0]["thresholds"] == [
        {"frames": [round(0.01 * index, 2), 0.8], "clip": 0.3} for index in range(FEATURES.classes_num)
    ]


def test_page_has_the_features_of_its_run_whatever_the_settings_are(trained, tmp_path):
    with_other_mel = replace(SETTINGS, features=replace(FEATURES, mel_bins=16))
    pages = []
    for name, settings in (("one.html", SETTINGS), ("other.html", with_other_mel)):
        place = {"workspace": trained.workspace.root, "dataset_dir": trained.dataset_dir}
        write_report(Namespace(**place, output=tmp_path / name, clips=1, run="best", runs=1), settings)
        pages.append(page_data(tmp_path / name)["clips"])
    assert pages[0] == pages[1]


def test_page_without_a_data_set_has_scores_but_no_clips(trained, tmp_path):
    workspace = workspace_at(tmp_path / os.fsdecode(b"not UTF-8: \xff"))
    shutil.copytree(trained.workspace.statistics, workspace.statistics)
    output = tmp_path / "page.html"
    printed = run_well("utils/report.py", "--workspace", workspace.root, "--output", output)
    assert "Without --dataset_dir the page has no errors and no clips." in printed
    data = page_data(output)
    assert data["clips"] is None
    assert data["class_labels"] == list(FEATURES.labels)
    assert len(data["panels"]) == 4


def test_what_cannot_be_shown_is_said(trained, tmp_path):
    assert_user_error(run_command("utils/report.py", "--workspace", tmp_path), "there are no results yet")
    missing = run_command("utils/report.py", "--workspace", tmp_path / "demo")
    assert_user_error(missing, "demo: there is no such workspace")
    for name, message in (
        ("2", "there is no run '2'"),
        ("1:teacher", "there are no such scores"),
    ):
        result = run_command("utils/report.py", "--workspace", trained.workspace.root, "--run", name)
        assert_user_error(result, message)


def model(run: Run, event_f1: float | None, mean_ap: float) -> ScoredModel:
    scores = {"mean_average_precision": mean_ap, "event": {"macro": {"f1": event_f1}}}
    results = RunResults(run, FEATURES, RunPaths(Path(), run.folder), "start", [], [], [], "fp32")
    return ScoredModel(results, UNTUNED_STUDENT, {"validation": scores})


def test_best_model_has_the_highest_event_f1_then_map():
    models = [model(RUN, *scores) for scores in ((0.2, 0.9), (0.3, 0.5), (0.3, 0.6), (None, 1.0))]
    assert best_model(models) is models[2]


def test_model_trained_on_the_validation_clips_is_not_the_best_beside_another():
    honest = model(RUN, 0.1, 0.1)
    for changes in ({"holdout_fold": "none"}, {"mini_data": True}):
        assert best_model([model(replace(RUN, **changes), 1.0, 1.0), honest]) is honest


def clip_with_correct(correct: int, index: int) -> JudgedClip:
    """A clip of ten reference events, so many of which were found."""
    verdicts = [CORRECT] * correct + [MISSED] * (10 - correct)
    events = tuple(JudgedEvent(Event(0, 1, "Dog"), verdict) for verdict in verdicts)
    return JudgedClip(f"{index}.wav", events, tuple(e for e in events if e.verdict == CORRECT))


@given(st.lists(st.integers(0, 10), min_size=1, max_size=30), st.integers(1, 40))
def test_shown_clips_are_spread_from_the_lowest_to_the_highest_f1(numbers_correct, count):
    clips = [clip_with_correct(correct, index) for index, correct in enumerate(numbers_correct)]
    indexes = spread_over_f1(clips, count)
    assert len(indexes) == min(count, len(clips))
    assert (np.diff(indexes) > 0).all()
    chosen = [clips[index].f1 for index in indexes]
    assert min(chosen) == min(clip.f1 for clip in clips)
    if count > 1:
        assert max(chosen) == max(clip.f1 for clip in clips)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
)


@given(json_values)
def test_nothing_in_the_data_can_end_its_script_element(data):
    text = json_for_script([data, "</script><!--"])
    assert "<" not in text
    assert json.loads(text) == [data, "</script><!--"]


def test_a_score_of_zero_is_a_score():
    assert value_at({"event": {"f1": 0.0}}, ("event", "f1")) == 0
    for record in ({}, {"event": None}, {"event": {"f1": None}}):
        assert np.isnan(value_at(record, ("event", "f1")))


@pytest.mark.parametrize("name", POST_PROCESSINGS)
def test_the_thresholds_of_every_post_processing_are_known(name):
    thresholds = thresholds_of(class_post_processing(name, SETTINGS.events))
    assert bool(thresholds.frames) == (name != "event_boxes"), "which has one of its boxes' confidence"
    assert all(0 < threshold < 1 for threshold in thresholds.frames)


def test_spectrogram_has_low_bands_at_the_bottom_and_grows_lighter_with_the_level():
    logmel = np.full((FEATURES.clip_frames, FEATURES.mel_bins), -100.0)
    logmel[100, 0], logmel[200, 0] = 0.0, -40.0
    image = np.asarray(Image.open(io.BytesIO(spectrogram_png(logmel))).convert("RGB")).astype(int).sum(axis=2)
    loud, middle, silent = image[-1, 100], image[-1, 200], image[0, 100]
    assert loud > middle > silent


def test_frequencies_stand_at_their_bands():
    for frequency, height in frequency_ticks(FEATURES):
        tone = np.sin(2 * np.pi * frequency * np.arange(FEATURES.clip_samples) / FEATURES.sample_rate)
        band = logmel_of_clip(tone, FEATURES)[FEATURES.clip_frames // 2].argmax()
        assert abs(height * FEATURES.mel_bins - (band + 0.5)) <= 1


def test_recordings_of_any_rate_can_be_compressed():
    samples, rate = soundfile.read(io.BytesIO(mp3(np.zeros(50000), 20000)))  # Hz; MP3 does not allow it
    assert len(samples) / rate == pytest.approx(2.5, abs=0.01)


@given(st.lists(st.floats(0, 1), max_size=50))
def test_probabilities_survive_as_bytes(values):
    back = np.frombuffer(base64.b64decode(probability_text(np.array(values, float))), np.uint8) / 255
    assert back == pytest.approx(values, abs=0.5 / 255 + 1e-9)
