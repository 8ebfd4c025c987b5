"""The mean teacher: its average, and its consistency with the student."""

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from pytorch.compute import Compute
from pytorch.data_generator import NO_ROWS, Batch, ClipCounts, Standardizer
from pytorch.mean_teacher import MeanTeacher
from pytorch.models import Crnn, CrnnDesign, create_model
from tests.settings_for_tests import SETTINGS
from utils.settings.groups import TrainingSettings

CPU = Compute(torch.device("cpu"), torch.float32)
TRAINING = SETTINGS.training
NOISELESS = replace(TRAINING, teacher_noise=0.0)
STANDARDIZE = Standardizer(torch.full((64,), -50.0), torch.full((64,), 10.0))


def small_model() -> Crnn:
    """A CRNN without anything random in it once it is made."""
    return Crnn(CrnnDesign(dropout=0.0), 3, outputs_in_float32=True)


def unlabelled(logmel: torch.Tensor) -> Batch:
    counts = ClipCounts(0, 0, len(logmel))
    return Batch([""] * len(logmel), logmel, None, None, NO_ROWS, NO_ROWS, NO_ROWS, counts)


def teacher_of(
    student: nn.Module, iterations: int = 100, settings: TrainingSettings = TRAINING
) -> MeanTeacher:
    return MeanTeacher(student, settings, iterations, STANDARDIZE, CPU)


def test_teacher_is_the_closed_form_of_the_moving_average():
    """After n steps: sum over k of (1 - a_k) times all later a, times the student's weights of step k."""
    student = nn.Linear(3, 2).double()
    teacher = teacher_of(student, settings=replace(TRAINING, teacher_decay=0.8))
    history = [copy.deepcopy(student.weight.detach().numpy())]
    for step in range(1, 11):
        with torch.no_grad():
            student.weight.copy_(torch.tensor(np.random.default_rng(step).normal(size=(2, 3))))
        history.append(student.weight.detach().numpy().copy())
        teacher.follow(student)
    decays = [min(1 - 1 / (step + 1), 0.8) for step in range(1, 11)]
    assert decays[:5] == pytest.approx([1 / 2, 2 / 3, 3 / 4, 0.8, 0.8])
    fractions = [1.0, *(1 - decay for decay in decays)]
    closed_form = sum(
        fraction * math.prod(decays[step:]) * weights
        for step, (fraction, weights) in enumerate(zip(fractions, history, strict=True))
    )
    np.testing.assert_allclose(teacher.model.weight.numpy(), closed_form)


def test_teacher_begins_as_the_plain_average_of_all_that_the_student_was():
    student = nn.Linear(1, 1)
    values = [5.0, 1.0, 3.0, 7.0]
    nn.init.constant_(student.weight, values[0])
    teacher = teacher_of(student)
    for value in values[1:]:
        nn.init.constant_(student.weight, value)
        teacher.follow(student)
    assert teacher.model.weight.item() == pytest.approx(np.mean(values))
    teacher.step = 10_000
    assert teacher.decay == 0.999


def test_consistency_is_zero_where_the_teacher_is_the_student_and_its_input_the_same():
    student = small_model().train()
    teacher = teacher_of(student, settings=NOISELESS)
    logmel = torch.randn(4, 64, 64)
    terms = teacher.consistency(unlabelled(logmel), student(logmel).stretched(64))
    assert {name: term.item() for name, term in terms.items()} == {
        "clipwise_consistency": 0,
        "framewise_consistency": 0,
    }


@pytest.mark.parametrize("difference", ["noise", "weights"])
def test_consistency_is_the_mean_squared_difference_and_teaches_the_student_only(difference):
    student = small_model().train()
    teacher = teacher_of(student, settings=NOISELESS if difference == "weights" else TRAINING)
    if difference == "weights":
        nn.init.normal_(student.classifier.weight)
    logmel = torch.randn(4, 67, 64)  # the last of the 8 outputs stands for 11 frames
    output = student(logmel)
    torch.manual_seed(5)
    terms = teacher.consistency(unlabelled(logmel), output.stretched(67))
    torch.manual_seed(5)
    noise = torch.randn(4, 67, 64) * 0.5 / 10 if difference == "noise" else 0
    of_teacher_model = teacher.model(logmel + noise)
    output_of_frame = np.minimum(np.arange(67) // 8, 7)
    pairs = {
        "clipwise_consistency": (output.clipwise_output, of_teacher_model.clipwise_output),
        "framewise_consistency": tuple(
            one.framewise_output[:, output_of_frame] for one in (output, of_teacher_model)
        ),
    }
    assert terms.keys() == pairs.keys()
    for name, (of_student, of_teacher) in pairs.items():
        term = terms[name]
        assert term.item() > 0
        assert term.item() == pytest.approx(((of_student - of_teacher) ** 2).mean().item(), rel=1e-4)
    sum(terms.values()).backward()
    assert student.classifier.weight.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in teacher.model.parameters())


def test_weight_rises_over_the_first_half_of_the_steps_whatever_their_number():
    for iterations in (10, 400):
        student = nn.Linear(1, 1)
        teacher = teacher_of(student, iterations)
        weights = []
        for _ in range(iterations):
            weights.append(teacher.weight)
            teacher.follow(student)
        half = iterations // 2
        assert weights[0] == pytest.approx(2 * math.exp(-5))
        assert weights[half // 2] == pytest.approx(2 * math.exp(-5 * (1 - half // 2 / half) ** 2))
        assert all(
            before < after for before, after in zip(weights[:half], weights[1 : half + 1], strict=True)
        )
        assert weights[half:] == [2.0] * (iterations - half)
    teacher = teacher_of(nn.Linear(1, 1), 1)
    assert teacher.weight < 2.0, "a run of one iteration has a ramp too"
    teacher.step = 1
    assert teacher.weight == 2.0


def test_weight_is_whole_from_the_start_without_a_ramp():
    settings = replace(TRAINING, consistency_ramp_fraction=0.0)
    assert teacher_of(nn.Linear(1, 1), settings=settings).weight == 2.0


def test_any_model_can_be_the_student():
    student = create_model(
        "Cnn_5layers_AvgPooling", 3, "frame_vectors", outputs_in_float32=True, mel_bins=64
    ).train()
    teacher = teacher_of(student)
    logmel = torch.randn(2, 64, 64)
    assert all(
        term.item() > 0
        for term in teacher.consistency(unlabelled(logmel), student(logmel).stretched(64)).values()
    )
