"""Multinomial logistic regression on the features of a frozen backbone, solved to its optimum.

The objective is convex: there is no learning rate and no number of epochs, and every run ends in
the same weights. What is chosen is the strength of the L2 penalty, on the validation split. The
solution is written into a plain linear layer.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from classifier.models.stored_backbone import restore_weights
from classifier.training.feature_batches import FeatureBatches
from classifier.training.optimization import without_compiler
from classifier.training.state import HistoryRow, TrainState
from classifier.training.step import Loss

# Strengths of the L2 penalty on standardised features, from strong to weak: each solution is where
# the search for the next one starts.
STRENGTHS = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
# The path ends after so many strengths in a row without a new best.
_PATIENCE = 1
# A feature varies if its standard deviation is this share of the largest one.
_VARIES = 1e-6
# The search ends where no part of the gradient is larger, or after so many steps; how many of them
# L-BFGS remembers.
_GRADIENT, _STEPS, _HISTORY = 1e-5, 1000, 20


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
        self._standard = (values - self._mean) * self._scale

    def path(self, strengths: tuple[float, ...] = STRENGTHS) -> Iterator[Solution]:
        """Yield the solution for each strength of the penalty, in this order."""
        weight = torch.zeros(self._classes, self._standard.shape[1], dtype=torch.float64)
        bias = torch.zeros(self._classes, dtype=torch.float64)
        for strength in strengths:
            weight, bias = self._solve(strength, weight, bias)
            scaled = weight * self._scale
            yield Solution(strength, scaled, bias - scaled @ self._mean)

    def _solve(self, strength: float, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """Return weight and bias for standardised features, from where the search starts.

        The search runs in coordinates in which the objective bends about equally in all directions
        where it starts, which takes two dozen steps instead of hundreds.
        """
        bends = self._curvature(weight, bias)
        factor = self._factor(bends, strength)
        inverse = torch.linalg.solve_triangular(
            factor, torch.eye(len(factor)).double(), upper=False
        )
        bias_scale = bends.mean().sqrt()

        def parts(scaled: Tensor) -> tuple[Tensor, Tensor]:
            return scaled[:, :-1] @ inverse, scaled[:, -1] / bias_scale

        free = torch.cat([weight @ factor, bias[:, None] * bias_scale], dim=1).requires_grad_()
        search = without_compiler(torch.optim.LBFGS)(
            [free],
            max_iter=_STEPS,
            history_size=_HISTORY,
            tolerance_grad=_GRADIENT,
            tolerance_change=0.0,
            line_search_fn="strong_wolfe",
        )

        def objective() -> float:
            weight, bias = parts(free.detach())
            logits = self._logits(weight, bias).requires_grad_()
            with torch.enable_grad():
                loss = cross_entropy(
                    logits,
                    self._targets,
                    weight=self._class_weights,
                    label_smoothing=self._smoothing,
                )
            (slopes,) = torch.autograd.grad(loss, logits)
            # In this order of the factors, the product reads the features once.
            of_weight = slopes.T.contiguous() @ self._standard + strength * weight
            of_bias = slopes.sum(dim=0) / bias_scale
            free.grad = torch.cat([of_weight @ inverse.T, of_bias[:, None]], dim=1)
            return loss.item() + strength / 2 * weight.square().sum().item()

        search.step(objective)
        return parts(free.detach())

    def _logits(self, weight: Tensor, bias: Tensor) -> Tensor:
        return self._standard @ weight.T + bias

    def _curvature(self, weight: Tensor, bias: Tensor) -> Tensor:
        """Return the second derivative of each image's loss by a logit, p (1 - p): `(n,)`.

        It is the mean over the classes.
        """
        probabilities = self._logits(weight, bias).softmax(dim=1)
        bends = (probabilities * (1 - probabilities)).mean(dim=1)
        if self._class_weights is None:
            return bends
        weights = self._class_weights[self._targets]
        return bends * weights / weights.mean()

    def _factor(self, bends: Tensor, strength: float) -> Tensor:
        """Return the Cholesky factor of the mean second derivative by the weights of a class.

        It only sets the scale of the search, so that float32 is precise enough for the product.
        """
        features = self._standard.float()
        hessian = (features * bends[:, None].float()).T @ features / len(features)
        return torch.linalg.cholesky(hessian.double() + strength * torch.eye(len(hessian)).double())


def solve(
    state: TrainState,
    batches: FeatureBatches,
    loss: Loss,
    monitor: str,
    after_strength: Callable[[TrainState], None],
) -> None:
    """Leave in the head of `state` the solution that is best on the validation split.

    Args:
        state: Its network is the head, which ends in a linear layer. A strength of the penalty
            takes the place of an epoch in its history.
        batches: Features of the training and validation images.
        loss: Class weights and label smoothing.
        monitor: `val_loss` or `val_accuracy`.
        after_strength: Called after each strength.
    """
    training, progress = batches.all_training(), state.progress
    validation = next(batches.validation_batches())
    inputs, targets = training.inputs.cpu(), training.targets.cpu()
    weights = None if loss.weights is None else loss.weights.cpu()
    name, layer = [
        (name, part) for name, part in state.network.named_modules() if isinstance(part, nn.Linear)
    ][-1]
    problem = LogisticRegression(inputs, targets, layer.out_features, weights, loss.smoothing)
    for solution in problem.path():
        row: HistoryRow = {
            "epoch": progress.epoch,
            "lr": 0.0,
            "l2": solution.strength,
            **_measures("train", solution.logits(inputs), targets),
            **_measures("val", solution.logits(validation.inputs.cpu()), validation.targets.cpu()),
        }
        sign = -1 if monitor == "val_accuracy" else 1
        if not progress.history or sign * row[monitor] < sign * progress.best[monitor]:
            progress.best_epoch = progress.epoch
            progress.best_weights = {
                f"{name}.weight": solution.weight.float().to(layer.weight.device),
                f"{name}.bias": solution.bias.float().to(layer.weight.device),
            }
        progress.history.append(row)
        progress.epoch += 1
        after_strength(state)
        if len(progress.history) - progress.best_epoch >= _PATIENCE:
            break
    restore_weights(state.network, progress.best_weights)
    chosen = progress.best
    print(f"logistic regression: the L2 strength {chosen['l2']:g} has the best {monitor}")


def _measures(split: str, logits: Tensor, targets: Tensor) -> dict[str, float]:
    right = (logits.argmax(dim=1) == targets).double().mean()
    return {
        f"{split}_loss": cross_entropy(logits, targets).item(),
        f"{split}_accuracy": right.item(),
    }
