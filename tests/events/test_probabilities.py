"""Outputs and the frames they stand for."""

import numpy as np
import pytest

from utils.events.probabilities import Probabilities


@pytest.mark.parametrize(
    ("outputs", "stride", "frames", "edges"),
    [
        (3, 4, 12, [0, 4, 8, 12]),
        (3, 4, 14, [0, 4, 8, 14]),  # pooling cut off the last two frames
        (3, 4, 10, [0, 4, 8, 10]),
        (1, 4, 3, [0, 3]),
    ],
)
def test_each_frame_has_the_probability_of_its_output(outputs, stride, frames, edges):
    framewise = np.random.default_rng(0).random((2, outputs, 5))
    probabilities = Probabilities(framewise, np.zeros((2, 5)), stride, frames)
    assert probabilities.edges.tolist() == edges
    assert probabilities.stretched().shape == (2, frames, 5)
    for index, of_clip in enumerate(probabilities):
        stretched = of_clip.stretched()
        np.testing.assert_array_equal(stretched, probabilities.stretched()[index])
        for frame in range(frames):
            output = min(frame // stride, outputs - 1)
            np.testing.assert_array_equal(stretched[frame], framewise[index, output])


def test_clips_are_taken_one_by_one():
    probabilities = Probabilities(np.zeros((3, 4, 5)), np.arange(15).reshape(3, 5), 8, 32)
    assert len(probabilities) == len(list(probabilities)) == 3
    assert probabilities[1].clipwise.tolist() == [5, 6, 7, 8, 9]
    assert probabilities[1].framewise.shape == (4, 5)
