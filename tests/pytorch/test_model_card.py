"""The model card of a detector says what its checkpoint and its statistics say."""

import json
import re
import shutil
from dataclasses import replace

import pytest
import torch
from torch import nn

from pytorch.chosen_model import ChosenModel
from pytorch.compute import choose_compute
from pytorch.data_generator import Standardizer
from pytorch.detector import StoredDetector
from pytorch.model_card import model_card, score_lines
from tests.commands import run_well
from tests.settings_for_tests import SETTINGS, rule_named, same_for_all
from tests.small import CNN, ITERATIONS
from utils.results.runs import RunResults
from utils.workspace.run import UNTUNED_STUDENT

CARD = ("pytorch/export.py", "card", "--checkpoint_path")


@pytest.fixture(scope="module")
def paths(finished):
    return finished.workspace.run_paths(CNN)


@pytest.fixture(scope="module")
def card(small, paths, tmp_path_factory):
    path = tmp_path_factory.mktemp("card") / "detector.md"
    run_well(*CARD, paths.checkpoint(ITERATIONS), "--output", path, **small.environment)
    return path.read_text()


def in_percent(score: float) -> str:
    return f"{100 * score:.1f}"


def test_card_has_labels_data_training_and_settings(card, paths):
    for label in SETTINGS.features.labels:
        assert f"| {label} | double_threshold | 0.5 | 0.9 | 0.5 | 0.25 | 0.25 |" in card
    assert "- Data: train_weak; " in card
    assert f"{ITERATIONS} iterations of 4 clips, clipwise_binary_crossentropy, seed 1\n" in card
    assert "8000 Hz; clips of 2 s in training" in card
    assert "probability of each class, 4 times a second" in card
    seconds = [json.loads(row)["train_seconds"] for row in paths.training_statistics.read_text().splitlines()]
    assert f"- Time: {sum(seconds) / 60:.1f} minutes" in card
    assert "- License of the detector: *(to fill in)*" in card


def test_scores_are_those_of_the_last_inference(card, paths):
    scores = json.loads(paths.inference_statistics.read_text().splitlines()[-1])["validation"]
    assert f"On {scores['clips']} validation clips" in card
    assert f"| mAP | {in_percent(scores['mean_average_precision'])} |" in card
    assert f"| event F1 | {in_percent(scores['event']['macro']['f1'])} |" in card
    assert f"| segment F1 1s micro | {in_percent(scores['segment']['1s']['micro']['f1'])} |" in card


def test_intervals_stand_beside_their_scores(paths):
    results = RunResults.read(paths)
    record = json.loads(json.dumps(results.inferences[-1]))
    intervals = {
        "event/macro/f1": [0.12, 0.345],
        "event/micro/f1": [0.5, 0.5],
        "segment/1s/macro/f1": [None, None],
    }
    record["validation"]["bootstrap"]["intervals"] = intervals
    text = "\n".join(score_lines(replace(results, inferences=[record]), ITERATIONS, UNTUNED_STUDENT))
    assert re.search(r"\| event F1 \| [\d.]+ \| 12.0 to 34.5 \|", text)
    assert re.search(r"\| event F1 micro \| [\d.]+ \| 50.0 \|", text)
    assert re.search(r"\| segment F1 1s \| [\d.]+ \| - \|", text)


def test_checkpoint_alone_has_a_card_without_scores(small, paths, tmp_path):
    shutil.copy(paths.checkpoint(ITERATIONS), tmp_path / "birds.pth")
    run_well(*CARD, tmp_path / "birds.pth", **small.environment)
    card = (tmp_path / "detector.md").read_text()
    assert "- Data: *(to fill in)*" in card
    assert "Not measured" in card
    assert "| mAP |" not in card


def test_statistics_of_another_training_do_not_count(paths):
    def card_of(training_id: str, iteration: int) -> str:
        model = nn.Linear(1, 1)
        model.stride_frames = 8
        features = replace(SETTINGS.features, labels=("Dog|Wolf",))
        detector = StoredDetector(
            model,
            "Cnn_5layers_AvgPooling",
            Standardizer(torch.zeros(1), torch.ones(1)),
            features,
            SETTINGS.events,
            choose_compute(cuda=False, precision="fp32"),
            batch_size=1,
            iteration=iteration,
            training_id=training_id,
            tuned=same_for_all(rule_named("median_filter"), features.labels),
        )
        return model_card(ChosenModel(paths.checkpoint(ITERATIONS), UNTUNED_STUDENT), detector)

    training_id = RunResults.read(paths).training_id
    assert "validation clips, in percent" in card_of(training_id, ITERATIONS)
    assert "Not measured" in card_of("another", ITERATIONS)
    assert "Not measured" in card_of(training_id, 3)
    assert r"| Dog\|Wolf | median_filter |" in card_of(training_id, ITERATIONS)
