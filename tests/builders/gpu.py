"""A GPU that only knows shapes and devices, and a record of what it is asked to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

GPU = torch.device("cuda", 0)
# Operations without a deterministic CUDA algorithm, after the documentation of
# torch.use_deterministic_algorithms of PyTorch 2.15.
NONDETERMINISTIC = {
    "_adaptive_avg_pool2d_backward",
    "_adaptive_avg_pool3d_backward",
    "_embedding_bag_dense_backward",
    "_upsample_bicubic2d_aa_backward",
    "_upsample_bilinear2d_aa_backward",
    "adaptive_max_pool2d_backward",
    "avg_pool3d_backward",
    "bincount",
    "fractional_max_pool2d_backward",
    "fractional_max_pool3d_backward",
    "grid_sampler_2d_backward",
    "grid_sampler_3d_backward",
    "histc",
    "max_unpool2d",
    "max_unpool3d",
    "median.dim",
    "nll_loss2d_forward",
    "put_",
    "reflection_pad1d_backward",
    "reflection_pad2d_backward",
    "reflection_pad3d_backward",
    "scatter_reduce.two",
    "upsample_bicubic2d_backward",
    "upsample_bilinear2d_backward",
    "upsample_linear1d_backward",
    "upsample_trilinear3d_backward",
}


class Operations(TorchDispatchMode):
    """Records the names of all operations, forward and backward."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self.names.add(function.name().removeprefix("aten::"))
        return function(*args, **(kwargs or {}))

    @property
    def nondeterministic(self) -> set[str]:
        """Those that a GPU refuses in deterministic mode."""
        return {name for name in self.names if name in NONDETERMINISTIC}


class Waits(TorchDispatchMode):
    """Records the operations that make the processor wait for the GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self._pinned: set[int] = set()
        self._kept: list[Tensor] = []  # so that no id is given twice

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        options = kwargs or {}
        name = function.name().removeprefix("aten::")
        if name == "_pin_memory":
            pinned = args[0].clone()
            self._pinned.add(id(pinned))
            self._kept.append(pinned)
            return pinned
        result = function(*args, **options)
        if self._waits(name, args, options, result):
            self.names.append(name)
        return result

    def _waits(self, name: str, args: Any, options: dict[str, Any], result: Any) -> bool:
        tensors = [part for part in args if isinstance(part, Tensor)]
        on_gpu = any(tensor.is_cuda for tensor in tensors)
        if name in ("_local_scalar_dense", "nonzero", "masked_select"):
            return on_gpu
        if name == "index.Tensor":
            return on_gpu and any(
                part is not None and (part.dtype == torch.bool or not part.is_cuda)
                for part in args[1]
            )
        if name == "_to_copy" and tensors[0].is_cuda != result.is_cuda:
            pinned = id(tensors[0]) in self._pinned
            return not (options.get("non_blocking") and pinned)
        if name == "copy_" and tensors[0].is_cuda != tensors[1].is_cuda:
            return tensors[1].ndim > 0
        return False


def on_gpu(network: nn.Module) -> nn.Module:
    """Move the network inside of `fake_gpu`, where `to` cannot."""
    for module in network.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            moved = torch.empty_like(weight, device=GPU)
            setattr(module, name, nn.Parameter(moved, requires_grad=weight.requires_grad))
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, torch.empty_like(buffer, device=GPU))
    return network


@contextmanager
def fake_gpu() -> Iterator[Waits]:
    """Compute shapes and devices alone; yield what would make the processor wait for the GPU."""
    free = (1 << 40, 1 << 40)
    with (
        FakeTensorMode(allow_non_fake_inputs=True),
        patch("torch.cuda.mem_get_info", return_value=free),
        Waits() as waits,
    ):
        yield waits
