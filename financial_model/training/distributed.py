"""The processes of one training: one by itself, or several that torchrun started on one or many hosts.

Each process maps the same panel and computes the same plan of batches, of which it takes its part. The
outputs, a few numbers a sample, are gathered, and every process computes the loss of the joint batch; so
a loss that looks across the stocks of a session sees them all, whatever process holds them, and the sum
of the gradients is exactly that of one process with the joint batch. Averaging per-process losses, as a
plain DistributedDataParallel does, would not be: a correlation of a whole is no mean of correlations.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..models.interface import Output

TIMEOUT = timedelta(minutes=10)
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Ranks:
    """This process among its like; alone when `size` is 1."""

    rank: int = 0
    size: int = 1
    device: torch.device = CPU

    @classmethod
    def join(cls) -> "Ranks":
        """Meet the other processes: on a GPU each (nccl) where there are any, else on the CPU (gloo)."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        local_rank = int(os.environ.get("LOCAL_RANK", "0"))
        has_gpu = torch.cuda.is_available()
        device = torch.device("cuda", local_rank) if has_gpu else torch.device("cpu")
        if has_gpu:
            torch.cuda.set_device(device)
        if size == 1:
            return cls(device=device)
        if not dist.is_initialized():
            dist.init_process_group("nccl" if has_gpu else "gloo", timeout=TIMEOUT)
        return cls(dist.get_rank(), size, device)

    def leave(self) -> None:
        if self.size > 1 and dist.is_initialized():
            dist.destroy_process_group()

    @property
    def is_writer(self) -> bool:
        """Whether this process writes files and tells events; one of them does."""
        return self.rank == 0

    def part(self, rows: Tensor) -> Tensor:
        """This process's share of the rows of a joint batch; shares differ by one row at most."""
        return rows.tensor_split(self.size)[self.rank] if self.size > 1 else rows

    def gather(self, output: Output, count: int) -> Output:
        """Outputs of all `count` samples of the joint batch, in order; gradients flow into our own part."""
        if self.size == 1:
            return output
        own = torch.cat([output.quantiles.flatten(1), output.score.unsqueeze(1)], dim=1)  # (b, H * Q + 1)
        largest = -(-count // self.size)
        padded = own.new_zeros(largest, own.shape[1])
        padded[: len(own)] = own.detach()
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(parts, padded)
        sizes = [len(share) for share in torch.empty(count).tensor_split(self.size)]
        parts = [part[:size] for part, size in zip(parts, sizes, strict=True)]
        parts[self.rank] = own
        joint = torch.cat(parts)
        return Output(joint[:, :-1].unflatten(1, output.quantiles.shape[1:]), joint[:, -1])

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace each gradient by its sum over the processes; a parameter without one counts as zero."""
        if self.size == 1:
            return
        parameters = list(parameters)
        for parameter in parameters:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        flat = torch.cat([parameter.grad.flatten() for parameter in parameters])  # type: ignore[union-attr]
        dist.all_reduce(flat)
        for parameter, total in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
            parameter.grad.copy_(total.view_as(parameter))  # type: ignore[union-attr]

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process: all must stop at the same step."""
        if self.size == 1:
            return flag
        told = torch.tensor([int(flag)], device=self.device)
        dist.all_reduce(told, dist.ReduceOp.MAX)
        return bool(told.item())
