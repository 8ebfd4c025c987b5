"""Several ranks that train one model together, on GPUs or processors, as `torchrun` starts them."""

import atexit
import os
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.parallel import DistributedDataParallel

from utils.system.errors import SedError


@dataclass(frozen=True)
class Ranks:
    """This process among those that train together.

    Attributes
    ----------
    rank, count : int
        Its number and how many there are, on all machines.
    local_rank : int
        Its number on this machine, which is that of its GPU.
    """

    rank: int
    count: int
    local_rank: int

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that evaluates, logs and saves."""
        return self.rank == 0

    def distribute(self, model: nn.Module) -> nn.Module:
        """Return what runs the model so that the gradients of all processes are averaged.

        The batch normalization of the model itself is made to look at the clips of all processes. From here
        on each process draws random numbers of its own.
        """
        if self.count == 1:
            return model
        torch.manual_seed(torch.initial_seed() + self.rank)
        synchronize_norms(model)
        device = next(model.parameters()).device
        gpus = [device] if device.type == "cuda" else None
        return DistributedDataParallel(model, device_ids=gpus, broadcast_buffers=False)

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of the value that each process has."""
        if self.count > 1:
            value = value.clone()
            distributed.all_reduce(value)
        return value / self.count

    def gather(self, value: Tensor) -> list[Tensor]:
        """Return the value that each process has, in the order of their numbers."""
        if self.count == 1:
            return [value]
        device = (
            torch.device("cuda", self.local_rank) if distributed.get_backend() == "nccl" else value.device
        )
        values = [torch.empty_like(value, device=device) for _ in range(self.count)]
        distributed.all_gather(values, value.to(device))
        return [of_rank.to(value.device) for of_rank in values]

    def any(self, value: bool) -> bool:
        """Tell whether the value is true in any of the processes."""
        return any(tensor.item() for tensor in self.gather(torch.tensor(int(value))))

    def wait(self) -> None:
        """Wait until all processes are here."""
        if self.count > 1:
            distributed.barrier()

    def leave(self) -> None:
        """End the joint work."""
        if self.count > 1:
            # The distributed model holds the group too. Were it the last to let go, it would wait for gloo's
            # threads with the interpreter's lock, for which they may be waiting. So here it is held longer.
            atexit.register(id, distributed.group.WORLD)
            distributed.destroy_process_group()


ALONE = Ranks(0, 1, 0)


def join_ranks(cuda: bool) -> Ranks:
    """Join the processes that torchrun has started; where it was not used, this one is alone.

    Raises
    ------
    SedError
        If the ranks cannot work together on GPUs.
    """
    if not distributed.is_torchelastic_launched():
        return ALONE
    ranks = Ranks(*(int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")))
    if ranks.count > 1:
        if cuda:
            require_gpu_for(ranks)
        distributed.init_process_group("nccl" if cuda else "gloo")
    return ranks


def require_gpu_for(ranks: Ranks) -> None:
    """Raise SedError unless GPUs can work together here and one of them is this rank's."""
    gpus = torch.cuda.device_count()
    if gpus <= ranks.local_rank:
        raise SedError(
            f"--cuda: rank {ranks.local_rank} of this machine has no GPU, as torch sees {gpus}; start at "
            f"most {gpus} ranks with torchrun --nproc_per_node, or leave out --cuda"
        )
    if not distributed.is_nccl_available():
        raise SedError("--cuda: this torch has no NCCL, which several ranks need on GPUs; leave out --cuda")


def synchronize_norms(model: nn.Module) -> None:
    """Let the model's batch normalization look at the clips of all processes."""
    for name, layer in model.named_children():
        if not isinstance(layer, nn.BatchNorm2d):
            synchronize_norms(layer)
        elif layer.weight.device.type == "cuda":
            setattr(model, name, nn.SyncBatchNorm.convert_sync_batchnorm(layer))
        else:
            synchronized = ProcessorSyncBatchNorm(layer.num_features, layer.eps, layer.momentum)
            synchronized.load_state_dict(layer.state_dict())
            setattr(model, name, synchronized)


class ProcessorSyncBatchNorm(nn.BatchNorm2d):
    """Batch normalization over the clips of all processes, on processors; torch has it for GPUs only."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return super().forward(x)
        dimensions = (0, 2, 3)
        values = x.float()
        count = torch.tensor(float(values.numel() / values.shape[1]))
        distributed.all_reduce(count)
        mean = all_reduce(values.sum(dimensions)) / count
        centred = values - mean[:, None, None]
        variance = all_reduce(centred.square().sum(dimensions)) / count
        with torch.no_grad():
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
            self.num_batches_tracked += 1
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)
