"""Multinomial logistic regression on the features of a frozen backbone, solved to its optimum.

The objective is convex: there is no learning rate and no number of epochs, and every run ends in
the same weights. What is chosen is the strength of the L2 penalty, on the validation split. The
solution is written into a plain linear layer.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.nn.functional import cross_entropy

# Strengths of the L2 penalty on standardised features, from strong to weak: each solution is where
# the search for the next one starts.
STRENGTHS = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
# A feature varies if its standard deviation is this share of the largest one.
_VARIES = 1e-6
# The search ends where no part of the gradient is larger, or after so many steps.
_GRADIENT, _STEPS = 1e-6, 1000
# Typical second derivative of the loss by a logit, p (1 - p), for the scale of the search.
_CURVATURE = 0.1


class Solution(NamedTuple):
    """A linear layer for features as they are: logits are `features @ weight.T + bias`.

    Attributes:
        strength: Of the L2 penalty.
        weight: float64 `(classes, features)`.
        bias: float64 `(classes,)`.
    """

    strength: float
    weight: Tensor
    bias: Tensor

    def logits(self, features: Tensor) -> Tensor:
        """Return float64 `(n, classes)`."""
        return features.double() @ self.weight.T + self.bias


class LogisticRegression:
    """The objective for given features: mean cross-entropy, and half the squared weights.

    The search runs in the principal directions of the features, each scaled by how much the
    objective bends there, which takes a few dozen steps instead of hundreds.

    Args:
        features: float32 or float64 `(n, features)`.
        targets: int64 `(n,)`.
        classes: Their number.
        class_weights: Of the classes in the loss, float32 `(classes,)`; None for equal ones.
        label_smoothing: As in PyTorch's cross-entropy.
    """

    def __init__(
        self,
        features: Tensor,
        targets: Tensor,
        classes: int,
        class_weights: Tensor | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        self._targets, self._classes = targets, classes
        self._class_weights = None if class_weights is None else class_weights.double()
        self._smoothing = label_smoothing
        values = features.double()
        self._mean, std = values.mean(dim=0), values.std(dim=0, correction=0)
        # A feature that does not vary gets the weight zero.
        self._scale = torch.where(std > _VARIES * std.max(), 1 / std, 0.0)
        standard = (values - self._mean) * self._scale
        self._variances, self._directions = torch.linalg.eigh(standard.T @ standard / len(values))
        self._turned = standard @ self._directions

    def path(self, strengths: tuple[float, ...] = STRENGTHS) -> Iterator[Solution]:
        """Yield the solution for each strength of the penalty, in this order."""
        turned = torch.zeros(self._classes, self._turned.shape[1], dtype=torch.float64)
        bias = torch.zeros(self._classes, dtype=torch.float64)
        for strength in strengths:
            turned, bias = self._solve(strength, turned, bias)
            weight = (turned @ self._directions.T) * self._scale
            yield Solution(strength, weight, bias - weight @ self._mean)

    def _solve(self, strength: float, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Return weight and bias in the turned coordinates, from where the search starts."""
        bends = (_CURVATURE * self._variances.clamp(min=0) + strength).sqrt()

        def parts(values: Tensor) -> tuple[Tensor, Tensor]:
            scaled = values.view(self._classes, -1)
            return scaled[:, :-1] / bends, scaled[:, -1]

        def objective(values: np.ndarray) -> tuple[float, np.ndarray]:
            free = torch.from_numpy(values).requires_grad_()
            weight, bias = parts(free)
            loss = cross_entropy(
                self._turned @ weight.T + bias,
                self._targets,
                weight=self._class_weights,
                label_smoothing=self._smoothing,
            )
            loss = loss + strength / 2 * weight.square().sum()
            (gradient,) = torch.autograd.grad(loss, free)
            return loss.item(), gradient.numpy()

        start = torch.cat([weight * bends, bias[:, None]], dim=1).flatten().numpy()
        options = {"maxiter": _STEPS, "ftol": 0.0, "gtol": _GRADIENT, "maxcor": 20}
        found = minimize(objective, start, jac=True, method="L-BFGS-B", options=options)
        self.steps = found.nit
        return parts(torch.from_numpy(found.x))
