"""Gives a CPU build of torch a GPU under FakeTensorMode: tensors have devices, shapes and types, no values.

To be imported before torch, in a process of its own. Device checks are torch's own. Not covered: kernels,
pinned memory, several ranks, random states, cuDNN's GRU.
"""

import ctypes
import importlib.util
import subprocess
import tempfile
from pathlib import Path
from unittest import mock

TORCH = Path(importlib.util.find_spec("torch").submodule_search_locations[0])
FREE_BYTES = 80 * 2**30


def load_hooks() -> None:
    """Compile and load the hooks, which torch looks for once."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "fake_gpu.so"
        source = Path(__file__).with_name("fake_gpu.cpp")
        paths = [f"-I{TORCH}/include", f"-L{TORCH}/lib", f"-Wl,-rpath,{TORCH}/lib"]
        options = ["-std=c++20", "-shared", "-fPIC", "-ltorch_cpu", "-lc10"]
        subprocess.run(["g++", source, *paths, *options, "-o", library], check=True)
        ctypes.CDLL(str(library))


load_hooks()

import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch._subclasses.fake_tensor import FakeTensorMode  # noqa: E402

GPU = torch.device("cuda", 0)


def patch_torch() -> None:
    """Answer what torch asks of a driver, and give fakes to what has none."""
    FakeTensorMode.__deepcopy__ = lambda self, memo: self  # else a copied model is of another mode
    answers = {
        "amp.common.amp_definitely_not_available": False,
        "is_bf16_supported": True,
        "mem_get_info": (FREE_BYTES, FREE_BYTES),
        "set_rng_state": None,
    }
    for name, value in answers.items():
        mock.patch(f"torch.cuda.{name}", return_value=value).start()
    mock.patch("torch.cuda.get_rng_state", lambda _: torch.zeros(16, dtype=torch.uint8)).start()
    mock.patch.object(torch.Tensor, "pin_memory", lambda self: self).start()
    library.impl("_sample_dirichlet", lambda concentration, generator=None: torch.empty_like(concentration))
    library.impl("_thnn_fused_gru_cell", gru_cell)
    library.impl("_thnn_fused_gru_cell_backward", gru_cell_backward)


library = torch.library.Library("aten", "IMPL", "Meta")


def gru_cell(input_gates, hidden_gates, hx, input_bias=None, hidden_bias=None):
    return torch.empty_like(hx), hx.new_empty(len(hx), 5 * hx.shape[1])


def gru_cell_backward(grad, workspace, has_bias):
    gates = grad.new_empty(len(grad), 3 * grad.shape[1])
    bias = gates.new_empty(gates.shape[1]) if has_bias else None
    return gates, torch.empty_like(gates), torch.empty_like(grad), bias, bias


def on_gpu(module: nn.Module, mode: FakeTensorMode) -> nn.Module:
    """Do what `module.to(GPU)` does, which torch cannot do with fake tensors."""
    for part in module.modules():
        for key, value in part._parameters.items():
            if value is not None:
                part._parameters[key] = nn.Parameter(mode.from_tensor(value).detach().to(GPU))
        for key, value in part._buffers.items():
            if value is not None:
                part._buffers[key] = mode.from_tensor(value).to(GPU)
        if isinstance(part, nn.RNNBase):
            part._init_flat_weights()
    return module


patch_torch()
