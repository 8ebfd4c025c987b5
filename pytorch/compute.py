"""Where and how precisely the models compute: device, bfloat16 or float32, and the allocator's habits."""

import ctypes
import ctypes.util
from dataclasses import dataclass

import numpy as np
import torch

from utils import config
from utils.data_generator import Batch
from utils.errors import SedError

BFLOAT16_FEATURES = ("avx512_bf16", "amx_bf16")  # what torch calls a processor's bfloat16 arithmetic
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # parameters of glibc's mallopt
LARGEST_THRESHOLD = 2**31 - 1  # bytes; mallopt takes an int


@dataclass(frozen=True)
class TensorBatch:
    """A `Batch` on the device that computes; the targets are those of the clips in the rows."""

    logmel: torch.Tensor
    weak_target: torch.Tensor | None
    strong_target: torch.Tensor | None
    weak_rows: slice
    strong_rows: slice


@dataclass(frozen=True)
class Compute:
    """A device, and the type that convolutions compute in on it."""

    device: torch.device
    dtype: torch.dtype

    def autocast(self) -> torch.autocast:
        """Return the context in which a model's forward pass runs."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def tensor(self, array: np.ndarray) -> torch.Tensor:
        """Return the array as a tensor on the device."""
        return torch.from_numpy(array).to(self.device)

    def batch(self, batch: Batch) -> TensorBatch:
        """Return the batch on the device."""

        def tensor_or_none(array: np.ndarray | None) -> torch.Tensor | None:
            return None if array is None else self.tensor(array)

        return TensorBatch(
            self.tensor(batch.logmel),
            tensor_or_none(batch.weak_target),
            tensor_or_none(batch.strong_target),
            batch.weak_rows,
            batch.strong_rows,
        )

    def __str__(self) -> str:
        return f"{self.device.type}, {str(self.dtype).removeprefix('torch.')}"


def computes_bfloat16(device: torch.device) -> bool:
    """Tell whether bfloat16 is faster than float32 on the device."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return any(torch.cpu.get_capabilities().get(feature, False) for feature in BFLOAT16_FEATURES)


def choose_compute(cuda: bool) -> Compute:
    """Choose by the command line's --cuda and by `config.precision`.

    Raises
    ------
    SedError
        If there is no GPU, or `config.precision` is unknown.
    """
    if cuda and not torch.cuda.is_available():
        raise SedError("--cuda: torch sees no GPU here; leave the option out to compute on the processor")
    device = torch.device("cuda" if cuda else "cpu")
    types = {"fp32": torch.float32, "bf16": torch.bfloat16}
    types["auto"] = torch.bfloat16 if computes_bfloat16(device) else torch.float32
    if config.precision not in types:
        raise SedError(f"config.precision '{config.precision}' is unknown; it can be {', '.join(types)}")
    return Compute(device, types[config.precision])


def make_repeatable(seed: int) -> None:
    """Let the same seed give the same weights on the same machine."""
    torch.manual_seed(seed)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


def keep_freed_memory() -> None:
    """Let the C library keep the memory that a layer frees for the next layer.

    By default it returns large blocks to the system and maps them again at every layer, and the page
    faults cost a sixth of a training step on the CPU. Only glibc knows this setting.
    """
    library = ctypes.CDLL(ctypes.util.find_library("c"))
    if hasattr(library, "mallopt"):
        library.mallopt(M_MMAP_THRESHOLD, LARGEST_THRESHOLD)
        library.mallopt(M_TRIM_THRESHOLD, LARGEST_THRESHOLD)
