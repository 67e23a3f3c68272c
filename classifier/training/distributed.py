"""Several processes that train one network together, started by `torchrun`.

Each computes its part of every batch; gradients and batch norm's statistics are those of the whole
batch, so that the result is that of one process but for rounding.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from classifier.core.errors import UserError
from classifier.core.parent_watch import when_orphaned

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
    """Return the number of processes to start; None is one for each GPU, or one on a processor."""
    return wanted or max(1, torch.cuda.device_count())


def launch(module: str, count: int) -> None:
    """Run a program in `count` processes on this machine, as torchrun would, to their end.

    They share the processor's cores. Raises SystemExit where one of them fails, which then has said
    why, and UserError where this process is asked to stop and has stopped them.
    """
    # Imported here, since it is slow and most runs are of one process.
    from torch.distributed.elastic.multiprocessing.api import SignalException  # noqa: PLC0415
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError  # noqa: PLC0415
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch  # noqa: PLC0415

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id="classifier",
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
        monitor_interval=0.2,
    )
    try:
        elastic_launch(config, sys.executable)("-m", module)
    except ChildFailedError:
        raise SystemExit(1) from None
    except SignalException:
        raise UserError("Stopped; run the same command again to go on.") from None


@contextmanager
def joined(device: torch.device) -> Iterator[Processes]:
    """This process's place among those that torchrun started; alone where it did not.

    Inside, `print` of all but the first is silent, and so are their errors, which are the first's
    too; but for a lack of memory, which may be one GPU's alone.
    """
    if not launched_by_torchrun():
        yield Processes()
        return
    # A process whose parent was killed must not train on unwatched.
    when_orphaned(lambda: os._exit(1))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    processes = Processes(dist.get_rank(), dist.get_world_size())
    try:
        with redirect_stdout(sys.stdout if processes.first else None):
            yield processes
    except UserError as error:
        if processes.first or isinstance(error.__context__, torch.OutOfMemoryError):
            raise
        raise SystemExit(1) from None
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
            "lower runtime.num_processes, or torchrun's --nproc-per-node."
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


def share_batch_norm(network: nn.Module, processes: Processes, device: torch.device) -> None:
    """Have batch norm, where it is not frozen, look at the whole batch in place of a part of it."""
    if processes.count == 1:
        return
    network.train()
    for name, module in list(network.named_modules()):
        if not isinstance(module, nn.BatchNorm2d) or not module.training:
            continue
        if device.type == "cuda":
            shared = nn.SyncBatchNorm.convert_sync_batchnorm(module)
        else:
            shared = _SharedBatchNorm.of(module)
        network.set_submodule(name, shared)


class _Sum(torch.autograd.Function):
    """The sum over all processes, whose gradient is the sum of theirs."""

    @staticmethod
    def forward(_ctx: Any, tensor: Tensor) -> Tensor:
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_ctx: Any, *gradients: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        total = gradients[0].contiguous().clone()
        dist.all_reduce(total)
        return total


def _sum(tensor: Tensor) -> Tensor:
    total = _Sum.apply(tensor)
    assert isinstance(total, Tensor)
    return total


class _SharedBatchNorm(nn.BatchNorm2d):
    """Batch norm over all processes' images on a processor, where PyTorch's own has none."""

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
        count = _sum(planes.new_tensor(size))
        mean = _sum(planes.sum((0, 2, 3))) / count
        centered = planes - _of_channels(mean)
        variance = _sum((centered**2).sum((0, 2, 3))) / count
        self._remember(mean.detach(), (variance * count / (count - 1)).detach())
        normal = centered * _of_channels((variance + self.eps).rsqrt())
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
