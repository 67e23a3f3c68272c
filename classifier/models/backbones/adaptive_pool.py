"""Adaptive average pooling as products of matrices.

PyTorch's own has no deterministic backward pass on CUDA where its output has several places, as in
VGG (7x7) and AlexNet (6x6).
"""

import torch
from torch import Tensor, nn


class MatrixAdaptiveAvgPool2d(nn.AdaptiveAvgPool2d):
    """`nn.AdaptiveAvgPool2d` for an output of several places, by two products of matrices.

    An input of the output's size is returned as it is.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Return the means, `(N, C, h, w)`, of parts of the input `(N, C, H, W)`."""
        height, width = _pair(self.output_size)
        rows = _means(input.shape[2], height, input)
        columns = _means(input.shape[3], width, input)
        if rows is not None:
            input = rows @ input
        return input if columns is None else input @ columns.T


def replace_adaptive_pools(network: nn.Module) -> None:
    """Replace the adaptive average pools whose output has several places."""
    for name, module in list(network.named_modules()):
        if type(module) is nn.AdaptiveAvgPool2d and _pair(module.output_size) != (1, 1):
            network.set_submodule(name, MatrixAdaptiveAvgPool2d(module.output_size))


def _pair(size: object) -> tuple[int, int]:
    assert isinstance(size, int | tuple)
    height, width = (size, size) if isinstance(size, int) else size
    return height, width


def _means(length: int, parts: int, like: Tensor) -> Tensor | None:
    """Return the matrix `(parts, length)` that averages each part; None where nothing changes.

    Part i begins at floor(i * length / parts) and ends before ceil((i + 1) * length / parts).
    """
    if length == parts:
        return None
    places = torch.arange(length, device=like.device)
    numbers = torch.arange(parts, device=like.device)[:, None]
    starts, ends = numbers * length // parts, -((numbers + 1) * -length // parts)
    inside = (places >= starts) & (places < ends)
    return (inside / (ends - starts)).to(like.dtype)
