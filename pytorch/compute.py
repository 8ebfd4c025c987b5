"""Where and how precisely the models compute: device, and bfloat16 or float32."""

import os
import shutil
from dataclasses import dataclass

import torch
from torch import nn

from utils.system.errors import SedError

PRECISIONS = {"auto": None, "fp32": torch.float32, "bf16": torch.bfloat16}
BFLOAT16_FEATURES = ("avx512_bf16", "amx_bf16")  # what torch calls a processor's bfloat16 arithmetic


@dataclass(frozen=True)
class Compute:
    """A device, and the type that convolutions compute in on it."""

    device: torch.device
    dtype: torch.dtype

    def autocast(self) -> torch.autocast:
        """Return the context in which a model's forward pass runs."""
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def random_state(self) -> torch.Tensor:
        """Return the state of the random numbers that a training draws."""
        if self.device.type == "cuda":
            return torch.cuda.get_rng_state(self.device)
        return torch.get_rng_state()

    def set_random_state(self, state: torch.Tensor) -> None:
        """Go on with random numbers from that state."""
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(state, self.device)
        else:
            torch.set_rng_state(state)

    def __str__(self) -> str:
        return f"{self.device.type}, {str(self.dtype).removeprefix('torch.')}"


def computes_bfloat16(device: torch.device) -> bool:
    """Tell whether bfloat16 is faster than float32 on the device."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return any(torch.cpu.get_capabilities().get(feature, False) for feature in BFLOAT16_FEATURES)


def choose_compute(cuda: bool, precision: str, gpu: int = 0) -> Compute:
    """Choose by the command line's --cuda and --precision; `gpu` is the number of the GPU to use.

    Raises
    ------
    SedError
        If there is no GPU.
    """
    if cuda and not torch.cuda.is_available():
        raise SedError("--cuda: torch sees no GPU here; leave the option out to compute on the processor")
    device = torch.device("cuda", gpu) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)  # what names no GPU, such as pinned memory, belongs to this one
    fastest = torch.bfloat16 if computes_bfloat16(device) else torch.float32
    return Compute(device, PRECISIONS[precision] or fastest)


def make_repeatable(seed: int, gpu_repeatable: bool) -> None:
    """Let the same seed give the same weights on the same machine; on a GPU only where that is asked for."""
    torch.manual_seed(seed)
    torch.backends.cudnn.deterministic = gpu_repeatable
    torch.backends.cudnn.benchmark = not gpu_repeatable


def compiled(model: nn.Module) -> nn.Module:
    """Return the model as torch.compile runs it; it shares its weights with `model`.

    Raises
    ------
    SedError
        If there is no C++ compiler, which the generated code needs.
    """
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        raise SedError(
            f"--compile: there is no C++ compiler '{compiler}'; install one, or leave out --compile"
        )
    return torch.compile(model)
