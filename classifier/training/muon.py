"""Muon: momentum, made orthogonal, for the weight matrices of hidden layers."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

# Of the odd polynomial that drives every singular value towards one (Jordan et al., "Muon: an
# optimizer for hidden layers in neural networks", 2024).
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 3


class Muon(torch.optim.Optimizer):
    """Steps along the nearest orthogonal matrix to the gradient's Nesterov momentum.

    For weights of two dimensions and more, a convolution's `(out, in, h, w)` seen as
    `(out, in * h * w)`. The step's size does not depend on the gradient's. Weight decay is
    decoupled: it shrinks the weights by `lr * weight_decay`.
    fixed_norm: instead of decaying, each matrix is brought back to the norm sqrt(out) before every
    step, so that the learning rate alone says how much it turns (as in airbench94).
    """

    def __init__(
        self, groups: Iterable[dict[str, Any]], *, momentum: float, fixed_norm: bool
    ) -> None:
        super().__init__(groups, {"lr": 0.0, "momentum": momentum, "weight_decay": 0.0})
        self._fixed_norm = fixed_norm

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Take one step with the gradients of all weights."""
        assert closure is None
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    self._move(weight, weight.grad, group)

    def _move(self, weight: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        mean = state["momentum"]
        mean.mul_(group["momentum"]).add_(gradient)
        step = gradient.add(mean, alpha=group["momentum"])
        if self._fixed_norm:
            weight.mul_(len(weight) ** 0.5 / weight.norm().clamp(min=1e-12))
        else:
            weight.mul_(1 - group["lr"] * group["weight_decay"])
        weight.add_(orthogonal(step.flatten(1)).view_as(step), alpha=-group["lr"])


def orthogonal(matrix: Tensor) -> Tensor:
    """Approximate the nearest matrix with all singular values one; shape and dtype stay.

    They come out between 0.68 and 1.21 where they were at least 0.018 of the matrix's norm, and
    smaller where they were less: that serves as well, and is found in a few products of matrices.
    """
    wide = matrix.T if len(matrix) > matrix.shape[1] else matrix
    wide = wide / (wide.norm() + 1e-7)
    a, b, c = _NEWTON_SCHULZ
    for _ in range(_ITERATIONS):
        gram = wide @ wide.T
        wide = a * wide + (b * gram + c * gram @ gram) @ wide
    return wide.T if len(matrix) > matrix.shape[1] else wide
