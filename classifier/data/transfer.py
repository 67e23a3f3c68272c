"""Copies from the processor's memory to a GPU."""

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Return `tensor`, which the processor holds, on `device`.

    A copy from pageable memory to a GPU waits until the GPU has done all that it was asked for;
    one from pinned memory is queued behind that, and the processor goes on.
    """
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
