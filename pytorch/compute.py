"""Where and how precisely the models compute: device, and bfloat16 or float32."""

import os
import shutil
import subprocess
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from utils.system.errors import SedError

PRECISIONS = {"auto": None, "fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}
BFLOAT16_FEATURES = ("avx512_bf16", "amx_bf16")  # what torch calls a processor's bfloat16 arithmetic
DRIVER_SECONDS = 10.0  # after which nvidia-smi counts as not working
REPEATABLE_CUBLAS = ":4096:8"  # workspace with which cuBLAS, and so a GRU on a GPU, repeats its results


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
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return any(torch.cpu.get_capabilities().get(feature, False) for feature in BFLOAT16_FEATURES)


def choose_compute(cuda: bool, precision: str, gpu: int = 0) -> Compute:
    """Choose by the command line's --cuda and --precision; `gpu` is the number of the GPU to use.

    On a GPU, float32 is IEEE's, unless the shorter TF32 is asked for by name.

    Raises
    ------
    SedError
        If there is no such GPU.
    """
    if cuda and not torch.cuda.is_available():
        why = idle_gpu_hint() or "torch sees no GPU here"
        raise SedError(f"--cuda: {why}; leave the option out to compute on the processor")
    device = torch.device("cuda", gpu) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)  # what names no GPU, such as pinned memory, belongs to this one
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
    fastest = torch.bfloat16 if computes_bfloat16(device) else torch.float32
    return Compute(device, PRECISIONS[precision] or fastest)


def idle_gpu_hint() -> str | None:
    """Return why the GPU of this machine is not used, where the driver lists one that torch does not see."""
    if torch.cuda.is_available():
        return None
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=DRIVER_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if listed.returncode != 0 or not listed.stdout.strip():
        return None
    return (
        f"nvidia-smi lists {listed.stdout.splitlines()[0].strip()}, but torch {torch.__version__} sees no "
        "GPU: CUDA_VISIBLE_DEVICES hides it, this torch has no CUDA, or it needs a newer driver"
    )


def make_repeatable(seed: int, gpu_repeatable: bool) -> None:
    """Let the same seed give the same weights on the same machine; on a GPU only where that is asked for."""
    torch.manual_seed(seed)
    if gpu_repeatable:  # read when cuBLAS is used first
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", REPEATABLE_CUBLAS)
    torch.backends.cudnn.deterministic = gpu_repeatable
    torch.backends.cudnn.benchmark = not gpu_repeatable


def compiled(model: nn.Module, device: torch.device) -> nn.Module:
    """Return the model as torch.compile runs it; it has the weights of `model`.

    Raises
    ------
    SedError
        If what compiles the generated code is missing: a C++ compiler for processors, a C compiler for GPUs,
        and Python's headers.
    """
    variable, usual = ("CC", "gcc") if device.type == "cuda" else ("CXX", "g++")
    compiler = os.environ.get(variable, usual)
    if shutil.which(compiler) is None:
        raise SedError(f"--compile: there is no compiler '{compiler}'; install one, or leave out --compile")
    headers = Path(sysconfig.get_path("include"))
    if not (headers / "Python.h").is_file():
        raise SedError(
            f"--compile: there is no Python.h in {headers}; install python3-dev, or leave out --compile"
        )
    return torch.compile(model)
