"""Dropout that does not wait for the random numbers on a processor."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

BYTE_VALUES = 256


class Dropout(nn.Module):
    """Set a fraction of the values to 0 in training, and scale the others up so that the mean stays.

    On a processor, torch draws one random number after the other in one thread, which takes 40 % of a
    training step of `Crnn`. One random byte a value is enough here, and numpy draws them many times faster.
    Its generator is seeded by torch's, so that torch's seed decides all.

    Parameters
    ----------
    fraction : float
        Of the values to drop, 0 to below 1; on a processor it counts in steps of 1/256.
    """

    def __init__(self, fraction: float) -> None:
        super().__init__()
        self.fraction = fraction

    def forward(self, x: Tensor) -> Tensor:
        # What torch.compile generates draws random numbers of its own, and could not take a view of the mask.
        if not self.training or x.device.type != "cpu" or torch.compiler.is_compiling():
            return F.dropout(x, self.fraction, self.training)
        dropped_values = round(self.fraction * BYTE_VALUES)
        # numpy compares bytes, and torch converts them, many times faster than torch does with booleans
        kept = torch.empty_like(x, dtype=torch.uint8)  # 1 or 0, in the memory layout of x
        in_memory = kept.as_strided((x.numel(),), (1,)).numpy().view(bool)
        np.greater_equal(random_bytes(x.numel()), dropped_values, out=in_memory)
        return x * kept.to(x.dtype).mul_(BYTE_VALUES / (BYTE_VALUES - dropped_values))


def random_bytes(count: int) -> np.ndarray:
    """Return `count` random bytes, of a new generator seeded by torch's."""
    seed = torch.randint(torch.iinfo(torch.int64).max, ()).item()
    words = np.random.SFC64(seed).random_raw(-(-count // 8))
    return words.view(np.uint8)[:count]
