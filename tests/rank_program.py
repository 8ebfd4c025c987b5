"""Run by test_distributed.py in two processes: their weights stay equal, and equal those of one process."""

import copy

import torch
from torch import distributed, nn

from pytorch.distributed import ALONE, Ranks, join_ranks

CLIPS, STEPS = 5, 3


def train(model: nn.Module, runner: nn.Module, batches: torch.Tensor, ranks: Ranks) -> None:
    """Take a few steps, each on this rank's share of each batch."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for batch in batches:
        share = batch[ranks.rank :: ranks.count]
        loss = runner(share).square().mean((1, 2, 3)).sum() / (len(batch) / ranks.count)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def main() -> None:
    ranks = join_ranks(cuda=False)
    torch.manual_seed(0)
    alone = nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Conv2d(3, 2, 3))
    together = copy.deepcopy(alone)
    batches = torch.randn(STEPS, CLIPS, 1, 8, 8)
    train(alone, alone, batches, ALONE)
    train(together, ranks.distribute(together), batches, ranks)
    for name, value in together.state_dict().items():
        values = [torch.empty_like(value) for _ in range(ranks.count)]
        distributed.all_gather(values, value)
        assert all(torch.equal(other, values[0]) for other in values), f"{name} differs between processes"
        torch.testing.assert_close(value, alone.state_dict()[name], rtol=1e-4, atol=1e-6)
    if ranks.is_first:
        print(f"equal on {ranks.count} processes")
    ranks.leave()


if __name__ == "__main__":
    main()
