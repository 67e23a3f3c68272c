"""Distributed data parallel (DDP) training by processes that `torchrun` starts.

Each rank computes its micro-batches of every batch. Gradients and batch norm's statistics are those
of the whole batch, so that the result is that of one process but for rounding.
"""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from classifier.core.errors import StoppedError, UserError
from classifier.core.parent_watch import when_orphaned
from classifier.core.processes import available_cores

Value = TypeVar("Value")


@dataclass(frozen=True)
class ProcessGroup:
    """The processes that train together, and which of them this one is.

    rank: of this process, from 0. world_size: number of processes.
    """

    rank: int = 0
    world_size: int = 1

    @property
    def is_main_process(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    def sum(self, tensor: Tensor) -> Tensor:
        """Return the sum over all ranks, as a new tensor where there are several."""
        if self.world_size == 1:
            return tensor
        total = tensor.clone()
        dist.all_reduce(total)
        return total

    def any(self, condition: bool, device: torch.device) -> bool:
        """Return whether the condition holds on any rank."""
        if self.world_size == 1:
            return condition
        return bool(self.sum(torch.tensor(float(condition), device=device)).item())

    def broadcast(self, value: Value) -> Value:
        """Return the value of the main process."""
        if self.world_size == 1:
            return value
        values: list[Value] = [value]
        dist.broadcast_object_list(values)
        return values[0]


def launched_by_torchrun() -> bool:
    """Return whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def num_processes(wanted: int | None) -> int:
    """Return the number of processes to start; None is one for each GPU, or one on a processor."""
    return wanted or max(1, torch.cuda.device_count())


def launch(module: str, count: int) -> None:
    """Run a program in `count` processes on this machine, as torchrun does, and wait for them.

    They share the cores of the processor.

    Raises:
        SystemExit: One of them failed, and has said why.
        StoppedError: This process was asked to stop, and has stopped them.
    """
    # Imported here, since most runs have one process.
    from torch.distributed.elastic.multiprocessing.api import SignalException  # noqa: PLC0415
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError  # noqa: PLC0415
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch  # noqa: PLC0415

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, available_cores() // count)))
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
        raise StoppedError("Stopped; run the same command again to go on.") from None


@contextmanager
def process_group(device: torch.device) -> Iterator[ProcessGroup]:
    """Join the processes that torchrun started; a group of one where it did not.

    Inside, only the main process prints. Errors of the others are silent, since the main process
    has the same ones, except for a lack of memory, which may concern a single GPU.
    """
    if not launched_by_torchrun():
        yield ProcessGroup()
        return
    # A process whose parent was killed must not train on unwatched.
    when_orphaned(lambda: os._exit(1))
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    group = ProcessGroup(dist.get_rank(), dist.get_world_size())
    try:
        with redirect_stdout(sys.stdout if group.is_main_process else None):
            yield group
    except UserError as error:
        if group.is_main_process or isinstance(error.__context__, torch.OutOfMemoryError):
            raise
        raise SystemExit(1) from None
    finally:
        dist.destroy_process_group()


def end_rank() -> NoReturn:
    """End a process that torchrun started and that has done its work, with status 0.

    The interpreter's own end aborts it now and then: threads of gloo may hold tensors after the
    process group is destroyed, see https://github.com/pytorch/pytorch/pull/179291.
    """
    print(end="", flush=True)
    print(end="", file=sys.stderr, flush=True)
    os._exit(0)


def local_device(device: torch.device) -> torch.device:
    """Return the GPU of this process on its machine; raise UserError where there are too few."""
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


def wrap_ddp(network: nn.Module, group: ProcessGroup, device: torch.device) -> nn.Module:
    """Return the network in DDP; the network itself where there is one process only."""
    if group.world_size == 1:
        return network
    parallel = nn.parallel.DistributedDataParallel
    if device.type == "cuda":
        return parallel(network, device_ids=[device.index], forward_sync_buffers=False)
    return parallel(network, forward_sync_buffers=False)


def no_sync(replica: nn.Module) -> AbstractContextManager[None]:
    """Accumulate gradients on this rank, without the sum over ranks after every micro-batch."""
    if isinstance(replica, nn.parallel.DistributedDataParallel):
        return replica.no_sync()
    return nullcontext()


def convert_sync_batch_norm(network: nn.Module, group: ProcessGroup, device: torch.device) -> None:
    """Replace batch norm that is not frozen by SyncBatchNorm, over the whole batch of all ranks.

    An activation inside, as in timm's `BatchNormAct2d`, is kept.
    """
    if group.world_size == 1:
        return
    network.train()
    convert = _synced if device.type == "cuda" else _CpuSyncBatchNorm.of
    converted: dict[nn.Module, nn.Module] = {}
    # A module that the network has in two places stays one.
    for name, module in list(network.named_modules(remove_duplicate=False)):
        if isinstance(module, _BatchNorm) and module.training:
            if module not in converted:
                converted[module] = convert(module)
            network.set_submodule(name, converted[module])


def _synced(module: nn.Module) -> nn.Module:
    if not hasattr(module, "act"):
        return nn.SyncBatchNorm.convert_sync_batchnorm(module)
    from timm.layers.norm_act import convert_sync_batchnorm  # noqa: PLC0415 (slow to import)

    return convert_sync_batchnorm(module)


class _Sum(torch.autograd.Function):
    """The sum over all ranks; its gradient is the sum of their gradients."""

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


class _CpuSyncBatchNorm(_BatchNorm):
    """SyncBatchNorm on a processor, for which PyTorch has none."""

    @classmethod
    def of(cls, module: _BatchNorm) -> "_CpuSyncBatchNorm":
        synced = cls(module.num_features, module.eps, module.momentum)
        synced.weight, synced.bias = module.weight, module.bias
        for name, buffer in module.named_buffers(recurse=False):
            setattr(synced, name, buffer)
        for name, after in module.named_children():
            synced.add_module(name, after)
        return synced.train(module.training)

    def forward(self, input: Tensor) -> Tensor:
        normal = self._normal(input) if self.training else super().forward(input)
        for after in self.children():  # dropout and activation
            normal = after(normal)
        return normal

    def _check_input_dim(self, input: Tensor) -> None:
        """Take inputs `(N, C)` and more, as SyncBatchNorm does."""

    def _normal(self, input: Tensor) -> Tensor:
        planes = input.float()
        others = [place for place in range(planes.ndim) if place != 1]
        size = planes.numel() / planes.shape[1]
        count = _sum(planes.new_tensor(size))
        mean = _sum(planes.sum(others)) / count
        centered = planes - _of_channels(mean, planes)
        variance = _sum((centered**2).sum(others)) / count
        self._remember(mean.detach(), (variance * count / (count - 1)).detach())
        normal = centered * _of_channels((variance + self.eps).rsqrt(), planes)
        weight, bias = (_of_channels(values, planes) for values in (self.weight, self.bias))
        return (normal * weight + bias).to(input.dtype)

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        share = self.momentum or 1 / self.num_batches_tracked.item()
        self.running_mean.lerp_(mean, share)
        self.running_var.lerp_(variance, share)


def _of_channels(values: Tensor, planes: Tensor) -> Tensor:
    """Return the values of the channels, `(C,)`, in the form in which they fit `planes`."""
    return values.view(-1, *[1] * (planes.ndim - 2))
