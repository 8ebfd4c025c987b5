"""The losses, and which clips of a batch each of their terms looks at."""

import numpy as np
import pytest
import torch

from pytorch.data_generator import (
    ALL_ROWS,
    NO_ROWS,
    Batch,
    BatchPart,
    ClipCounts,
    HeldClips,
    Standardizer,
    mixed_batches,
)
from pytorch.losses import LOSSES
from pytorch.models import ModelOutput
from utils.system.errors import SedError
from utils.workspace.run import Run

ALL_SUBSETS = "train_weak+train_synthetic+train_unlabel_in_domain"


def plain_binary_crossentropy(p: np.ndarray, y: np.ndarray) -> float:
    return -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()


def some_output(clips: int, stride_frames: int = 1) -> ModelOutput:
    """What a model of that stride makes of clips of 5 frames."""
    generator = np.random.default_rng(0)
    shapes = [(clips, 5 // stride_frames, 3), (clips, 3)]
    probabilities = [generator.uniform(0.01, 0.99, shape).astype(np.float32) for shape in shapes]
    tensors = [torch.tensor(probability, requires_grad=True) for probability in probabilities]
    return ModelOutput(*tensors, stride_frames)


def some_target(*shape: int) -> torch.Tensor:
    return torch.tensor(np.random.default_rng(1).integers(0, 2, shape).astype(np.float32))


@pytest.mark.parametrize("stride_frames", [1, 2])
@pytest.mark.parametrize(
    ("name", "term"),
    [("clipwise_binary_crossentropy", "clipwise"), ("framewise_binary_crossentropy", "framewise")],
)
def test_loss_of_one_term_equals_the_formula(name, term, stride_frames):
    output = some_output(4, stride_frames)
    targets = some_target(4, 3), some_target(4, 5, 3)
    batch = Batch(
        list("abcd"), torch.zeros(4, 5, 2), *targets, ALL_ROWS, ALL_ROWS, NO_ROWS, ClipCounts(4, 4, 4)
    )
    terms = LOSSES[name].compute_terms(output.stretched(5), batch)
    output_of_frame = np.minimum(np.arange(5) // stride_frames, 5 // stride_frames - 1)
    p, y = {
        "clipwise": (output.clipwise_output, batch.weak_target),
        "framewise": (output.framewise_output[:, output_of_frame], batch.strong_target),
    }[term]
    assert terms.keys() == {term}
    assert terms[term].item() == pytest.approx(plain_binary_crossentropy(p.detach().numpy(), y.numpy()), 1e-5)


def test_the_losses_are_the_references_and_the_baselines():
    assert list(LOSSES) == [
        "clipwise_binary_crossentropy",
        "framewise_binary_crossentropy",
        "weak_and_strong",
        "mean_teacher",
        "recipe",
    ]
    assert LOSSES["mean_teacher"].has_teacher
    assert not LOSSES["weak_and_strong"].has_teacher


NO_SCALING = Standardizer(torch.zeros(2), torch.ones(2))


def subset(first: int, clips: int, annotated: bool = True) -> HeldClips:
    """Clips whose log-mel tells their number, from `first` on; every frame has every class's label."""
    numbers = torch.arange(first, first + clips)
    logmel = numbers[:, None, None] * torch.ones(1, 5, 2)
    weak = torch.ones((clips, 3), dtype=torch.bool) if annotated else None
    strong = torch.ones((clips, 5, 3), dtype=torch.bool) if annotated else None
    return HeldClips([f"{number}.wav" for number in numbers], logmel, weak, strong, NO_SCALING)


def mean_teacher_parts() -> list[BatchPart]:
    return [
        BatchPart(subset(0, 10), 2, "weak"),
        BatchPart(subset(100, 7, annotated=False), 4, "none"),
        BatchPart(subset(200, 5), 2, "strong"),
    ]


def test_mixed_batch_has_its_parts_in_order_and_each_pass_sees_every_clip():
    batches = mixed_batches(mean_teacher_parts(), seed=3)
    drawn = [next(batches) for _ in range(35)]
    numbers = np.array([[int(name.removesuffix(".wav")) for name in batch.names] for batch in drawn])
    assert (numbers // 100 == [0, 0, 1, 1, 1, 1, 2, 2]).all()
    for columns, first, clips in (((0, 2), 0, 10), ((2, 6), 100, 7), ((6, 8), 200, 5)):
        in_order = numbers[:, slice(*columns)].flatten()
        passes = in_order[: len(in_order) // clips * clips].reshape(-1, clips)
        assert (np.sort(passes) == np.arange(first, first + clips)).all()
        assert len({tuple(order) for order in passes.tolist()}) > 1
    batch = drawn[0]
    assert (batch.logmel[:, 0, 0].numpy() == numbers[0]).all()
    assert (batch.weak_rows, batch.strong_rows) == (slice(0, 2), slice(6, 8))
    assert batch.weak_target.shape == (2, 3)
    assert batch.strong_target.shape == (2, 5, 3)


def test_mixed_batches_repeat_with_the_seed():
    def names(seed: int) -> list[str]:
        return next(mixed_batches(mean_teacher_parts(), seed=seed)).names

    assert names(1) == names(1)
    assert names(1) != names(2)


def test_each_clip_of_a_mixed_batch_gets_the_gradient_of_its_own_annotation():
    batch = next(mixed_batches(mean_teacher_parts(), seed=3))
    output = some_output(8)
    terms = LOSSES["mean_teacher"].compute_terms(output, batch)
    sum(terms.values()).backward()
    clips_with_gradient = [
        np.flatnonzero(probability.grad.flatten(1).abs().sum(1)).tolist() for probability in output[:2]
    ]
    framewise, clipwise = clips_with_gradient
    assert clipwise == [0, 1], "weak clips; not the unlabelled, nor the synthetic ones"
    assert framewise == [6, 7], "synthetic clips; not the unlabelled, nor the weak ones"
    weak = output.clipwise_output.detach().numpy()[:2]
    assert terms["clipwise"].item() == pytest.approx(plain_binary_crossentropy(weak, np.ones((2, 3))), 1e-5)


def run(data_type: str, loss_type: str, batch_size: int = 24) -> Run:
    return Run(data_type, "1", "Crnn", loss_type, batch_size, 1234)


@pytest.mark.parametrize(
    "fitting",
    [
        run("train_weak", "clipwise_binary_crossentropy"),
        run("train_synthetic", "framewise_binary_crossentropy", 7),
        run("train_weak+train_synthetic", "clipwise_binary_crossentropy"),
        run("train_weak+train_synthetic", "weak_and_strong", 6),
        run(ALL_SUBSETS, "mean_teacher"),
    ],
)
def test_runs_that_fit_their_loss_are_taken(fitting):
    LOSSES[fitting.loss_type].require_fit(fitting)


@pytest.mark.parametrize(
    ("misfit", "message"),
    [
        (run(ALL_SUBSETS, "mean_teacher", 18), "a --batch_size that 4 divides, but it is 18"),
        (run("train_weak+train_synthetic", "weak_and_strong", 7), "a --batch_size that 2 divides"),
        (run("train_weak+train_synthetic", "mean_teacher"), f"needs --data_type {ALL_SUBSETS}, but it is tr"),
        (
            run(ALL_SUBSETS, "weak_and_strong"),
            "needs --data_type train_weak.train_synthetic, but it is train",
        ),
        (
            run("train_weak+train_synthetic", "framewise_binary_crossentropy"),
            "events with times, which train_w",
        ),
        (
            run("train_unlabel_in_domain", "clipwise_binary_crossentropy"),
            "labels, which train_unlabel_in_domain",
        ),
    ],
)
def test_runs_that_do_not_fit_their_loss_are_refused(misfit, message):
    with pytest.raises(SedError, match=message.replace("+", r"\+")):
        LOSSES[misfit.loss_type].require_fit(misfit)
