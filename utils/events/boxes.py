"""Sound event bounding boxes: events with one confidence each, from the change points of the probabilities.

After J. Ebbers, F. G. Germain, G. Wichern, J. Le Roux: Sound event bounding boxes for polyphonic sound event
detection, Interspeech 2024. Boxes do not depend on the threshold that their confidence is compared with.
"""

import numpy as np

SMALLEST_CHANGE = 1e-6  # of the summed probabilities; below it, there is none
SMALLEST_MEAN = 0.005  # boxes of a lower mean probability are no events, and would hold others apart


def change_points(probability: np.ndarray, step_outputs: int) -> np.ndarray:
    """Return where the probability rises and falls most, in turn: onset, offset, onset, ..., offset.

    Parameters
    ----------
    probability : np.ndarray, shape (outputs,)
    step_outputs : int
        Outputs before and after a place, whose sums are compared. Beyond the ends, the probability is 0.

    Returns
    -------
    np.ndarray, shape (boxes, 2), int
        First output and output after the last of each box.
    """
    outputs = len(probability)
    sums = np.concatenate(([0.0], np.cumsum(probability, dtype=np.float64)))
    place = np.arange(outputs + 1)
    after = sums[np.minimum(place + step_outputs, outputs)] - sums
    before = sums - sums[np.maximum(place - step_outputs, 0)]
    change = after - before
    change[np.abs(change) < SMALLEST_CHANGE] = 0
    places = np.flatnonzero(change)
    if len(places) == 0:
        return np.empty((0, 2), int)
    starts = np.flatnonzero(np.diff(np.sign(change[places]))) + 1
    extrema = [group[np.argmax(np.abs(change[group]))] for group in np.split(places, starts)]
    if change[extrema[0]] < 0:
        extrema = extrema[1:]
    return np.array(extrema[: len(extrema) // 2 * 2], int).reshape(-1, 2)


def sound_event_boxes(
    probability: np.ndarray, *, step_outputs: int, merge_difference: float, merge_ratio: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the boxes of a class in a clip, and the mean probability in each.

    Between two boxes that belong to one event, the probability does not fall far. Two neighbours are merged
    if the mean in the gap is less than `merge_difference` below the mean of the higher one, or if that is
    less than `merge_ratio` times the gap's; the shallowest gap first.

    Parameters
    ----------
    probability : np.ndarray, shape (outputs,)
    step_outputs : int
        See `change_points`.
    merge_difference, merge_ratio : float

    Returns
    -------
    boxes : np.ndarray, shape (boxes, 2), int
        First output and output after the last, ascending.
    means : np.ndarray, shape (boxes,)
    """
    sums = np.concatenate(([0.0], np.cumsum(probability, dtype=np.float64)))

    def mean(first: int, after: int) -> float:
        return (sums[after] - sums[first]) / max(after - first, 1)

    def depth(left: tuple[int, int, float], right: tuple[int, int, float]) -> float:
        """Return how deep the gap between two boxes is; infinite if it is too deep to merge them."""
        gap, peak = mean(left[1], right[0]), max(left[2], right[2])
        return peak - gap if peak - gap < merge_difference or gap * merge_ratio > peak else np.inf

    boxes = [(*box, mean(*box)) for box in change_points(probability, step_outputs).tolist()]
    boxes = [box for box in boxes if box[2] > SMALLEST_MEAN]
    depths = np.array([depth(left, right) for left, right in zip(boxes, boxes[1:], strict=False)])
    while len(depths) and depths.min() < np.inf:
        index = int(depths.argmin())
        first, after = boxes[index][0], boxes[index + 1][1]
        boxes[index : index + 2] = [(first, after, mean(first, after))]
        depths = np.delete(depths, index)
        for pair in range(max(index - 1, 0), min(index + 1, len(depths))):  # hours have thousands of others
            depths[pair] = depth(*boxes[pair : pair + 2])
    rows = np.array(boxes, float).reshape(-1, 3)
    return rows[:, :2].astype(int), rows[:, 2]
