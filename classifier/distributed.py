"""Several processes that train one network together, started by `torchrun`.

Each computes its part of every batch; gradients and batch norm's statistics are those of the whole
batch, so that the result is that of one process but for rounding.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
import torch.distributed.nn.functional as differentiable
from torch import Tensor, nn

from classifier.errors import UserError

Shared = TypeVar("Shared")


@dataclass(frozen=True)
class Processes:
    """The processes of this run, and which of them this one is (`rank`, from 0)."""

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of all processes' tensors."""
        if self.count == 1:
            return tensor
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    def any(self, condition: bool, device: torch.device) -> bool:
        """Whether it holds in one of the processes."""
        if self.count == 1:
            return condition
        return bool(self.sum(torch.tensor(float(condition), device=device)).item())

    def share(self, value: Shared) -> Shared:
        """The first process's value."""
        if self.count == 1:
            return value
        values: list[Shared] = [value]
        dist.broadcast_object_list(values)
        return values[0]


def launched_by_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ


def processes_to_start(wanted: int | None) -> int:
    """How many `train.processes` asks for: None is one for each GPU, or one on a processor."""
    return wanted or max(1, torch.cuda.device_count())


def launch(module: str, count: int) -> None:
    """Run a program in `count` processes on this machine; raises SystemExit where one fails."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    result = subprocess.run([*command, f"--nproc-per-node={count}", "-m", module], check=False)
    if result.returncode:
        raise SystemExit(1)


@contextmanager
def joined(device: torch.device) -> Iterator[Processes]:
    """This process's place among those that torchrun started; alone where it did not.

    Inside, `print` of all but the first is silent.
    """
    if not launched_by_torchrun():
        yield Processes()
        return
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    processes = Processes(dist.get_rank(), dist.get_world_size())
    try:
        with redirect_stdout(sys.stdout if processes.first else None):
            yield processes
    finally:
        dist.destroy_process_group()


def own_device(device: torch.device) -> torch.device:
    """The GPU of this process among those of its machine."""
    if device.type != "cuda" or not launched_by_torchrun():
        return device
    place, present = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if place >= present:
        raise UserError(
            f"There are more processes on this machine than its {present} GPUs: "
            "lower train.processes, or torchrun's --nproc-per-node."
        )
    own = torch.device("cuda", place)
    torch.cuda.set_device(own)
    return own


def replicated(network: nn.Module, processes: Processes, device: torch.device) -> nn.Module:
    """The network as all processes train it; itself where there is one process only."""
    if processes.count == 1:
        return network
    parallel = nn.parallel.DistributedDataParallel
    if device.type == "cuda":
        return parallel(network, device_ids=[device.index], broadcast_buffers=False)
    return parallel(network, broadcast_buffers=False)


def unsynchronized(replica: nn.Module) -> AbstractContextManager[None]:
    """Inside, gradients stay in their process, to be added to those of the parts to come."""
    if isinstance(replica, nn.parallel.DistributedDataParallel):
        return replica.no_sync()
    return nullcontext()


def share_batch_norm(network: nn.Module, processes: Processes, device: torch.device) -> nn.Module:
    """`network` with batch norm over the whole batch instead of each process's part of it."""
    if processes.count == 1:
        return network
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)
    for name, module in list(network.named_modules()):
        if isinstance(module, nn.BatchNorm2d):
            network.set_submodule(name, _SharedBatchNorm.of(module))
    return network


class _SharedBatchNorm(nn.BatchNorm2d):
    """Batch norm over all processes' pictures on a processor, where PyTorch's own has none."""

    @classmethod
    def of(cls, module: nn.BatchNorm2d) -> "_SharedBatchNorm":
        shared = cls(module.num_features, module.eps, module.momentum)
        shared.weight, shared.bias = module.weight, module.bias
        for name, buffer in module.named_buffers():
            setattr(shared, name, buffer)
        return shared.train(module.training)

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        planes = input.float()
        size = planes.numel() / planes.shape[1]
        sums = torch.cat([planes.sum((0, 2, 3)), (planes**2).sum((0, 2, 3))])
        count = differentiable.all_reduce(sums.new_tensor(size))
        mean, square = (differentiable.all_reduce(sums) / count).chunk(2)
        variance = square - mean**2
        self._remember(mean.detach(), (variance * count / (count - 1)).detach())
        normal = (planes - _of_channels(mean)) * _of_channels((variance + self.eps).rsqrt())
        return (normal * _of_channels(self.weight) + _of_channels(self.bias)).to(input.dtype)

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        share = self.momentum or 1 / self.num_batches_tracked.item()
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


def _of_channels(values: Tensor) -> Tensor:
    return values[None, :, None, None]
