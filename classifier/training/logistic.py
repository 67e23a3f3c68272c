"""Multinomial logistic regression on the features of a frozen backbone, solved to its optimum.

The objective is convex: there is no learning rate and no number of epochs, and every run ends in
the same weights. What is chosen is the strength of the L2 penalty, on the validation split: roughly
solved for several strengths, and then to the optimum for the best one. The solution is written into
a plain linear layer.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from classifier.models.weights.stored_backbone import restore_weights
from classifier.training.feature_batches import FeatureBatches
from classifier.training.optimization import without_compiler
from classifier.training.state import HistoryRow, TrainState
from classifier.training.step import Loss

# Strengths of the L2 penalty on standardised features. The search begins with the first, which is
# best or next to the best for most images, and goes on while a weaker one is better; if none is, it
# goes on while a stronger one is.
_FIRST, _WEAKER, _STRONGER = 0.03, (0.01, 0.003, 0.001), (0.1, 0.3, 1.0)
# A feature varies if its standard deviation is this share of the largest one.
_VARIES = 1e-6
# Largest part of the gradient at the optimum, and at a solution that is good enough to compare
# strengths: its losses have three digits, so that products with the features are taken in float32.
_OPTIMUM, _ROUGH = 1e-5, 3e-4
# Most steps of a search; how many of them L-BFGS remembers.
_STEPS, _HISTORY = 1000, 20


class Solution(NamedTuple):
    """A linear layer for features as they are: logits are `features @ weight.T + bias`.

    Attributes:
        strength: Of the L2 penalty.
        weight: float64 `(classes, features)`.
        bias: float64 `(classes,)`.
        standard: Weight and bias for standardised features, from where another search may start.
    """

    strength: float
    weight: Tensor
    bias: Tensor
    standard: tuple[Tensor, Tensor]

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
        self._rough = self._standard.float()

    def solve(
        self, strength: float, start: Solution | None = None, *, rough: bool = False
    ) -> Solution:
        """Return the solution for a strength of the penalty.

        Args:
            strength: Of the L2 penalty on standardised features.
            start: Solution for a similar strength, which shortens the search.
            rough: Stop where the solution is good enough to compare strengths.
        """
        zeros = torch.zeros(self._classes, 1 + self._standard.shape[1], dtype=torch.float64)
        weight, bias = start.standard if start else (zeros[:, 1:], zeros[:, 0])
        weight, bias = self._search(strength, weight, bias, rough)
        scaled = weight * self._scale
        return Solution(strength, scaled, bias - scaled @ self._mean, (weight, bias))

    def _search(
        self, strength: float, weight: Tensor, bias: Tensor, rough: bool
    ) -> tuple[Tensor, Tensor]:
        """Return weight and bias for standardised features, from where the search starts.

        The search runs in coordinates in which the objective bends about equally in all directions
        where it starts, which takes two dozen steps instead of hundreds.
        """
        bends = self._curvature(weight, bias)
        factor = self._factor(bends, strength)
        bias_scale = bends.mean().sqrt()
        features = self._rough if rough else self._standard

        def parts(scaled: Tensor) -> tuple[Tensor, Tensor]:
            return _divided(scaled[:, :-1], factor), scaled[:, -1] / bias_scale

        free = torch.cat([weight @ factor, bias[:, None] * bias_scale], dim=1).requires_grad_()
        search = without_compiler(torch.optim.LBFGS)(
            [free],
            max_iter=_STEPS,
            history_size=_HISTORY,
            tolerance_grad=_ROUGH if rough else _OPTIMUM,
            tolerance_change=0.0,
            line_search_fn="strong_wolfe",
        )

        def objective() -> float:
            weight, bias = parts(free.detach())
            logits = _logits(features, weight, bias).requires_grad_()
            with torch.enable_grad():
                loss = cross_entropy(
                    logits,
                    self._targets,
                    weight=self._class_weights,
                    label_smoothing=self._smoothing,
                )
            (slopes,) = torch.autograd.grad(loss, logits)
            # In this order of the factors, the product reads the features once.
            of_features = slopes.T.to(features.dtype).contiguous() @ features
            of_weight = _divided(of_features.double() + strength * weight, factor.T, upper=True)
            of_bias = slopes.sum(dim=0) / bias_scale
            free.grad = torch.cat([of_weight, of_bias[:, None]], dim=1)
            return loss.item() + strength / 2 * weight.square().sum().item()

        search.step(objective)
        return parts(free.detach())

    def _curvature(self, weight: Tensor, bias: Tensor) -> Tensor:
        """Return the second derivative of each image's loss by a logit, p (1 - p): `(n,)`.

        It is the mean over the classes.
        """
        probabilities = _logits(self._standard, weight, bias).softmax(dim=1)
        bends = (probabilities * (1 - probabilities)).mean(dim=1)
        if self._class_weights is None:
            return bends
        weights = self._class_weights[self._targets]
        return bends * weights / weights.mean()

    def _factor(self, bends: Tensor, strength: float) -> Tensor:
        """Return the Cholesky factor of the mean second derivative by the weights of a class.

        It only sets the scale of the search, so that float32 is precise enough for the product.
        """
        features = self._rough
        hessian = (features * bends[:, None].float()).T @ features / len(features)
        return torch.linalg.cholesky(hessian.double() + strength * torch.eye(len(hessian)).double())


def _logits(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return float64 `(n, classes)`; the product is taken in the precision of the features."""
    return (features @ weight.to(features.dtype).T).double() + bias


def _divided(rows: Tensor, triangle: Tensor, *, upper: bool = False) -> Tensor:
    """Return `rows @ inverse(triangle)`."""
    return torch.linalg.solve_triangular(triangle, rows, upper=upper, left=False)


def solve(
    state: TrainState,
    batches: FeatureBatches,
    loss: Loss,
    monitor: str,
    after_solution: Callable[[TrainState], None],
) -> None:
    """Leave in the head of `state` the solution that is best on the validation split.

    Args:
        state: Its network is the head, which ends in a linear layer. A solution takes the place of
            an epoch in its history: a rough one for each strength that is tried, and last the
            optimum for the best strength.
        batches: Features of the training and validation images.
        loss: Class weights and label smoothing.
        monitor: `val_loss` or `val_accuracy`.
        after_solution: Called after each solution, which is in the head by then.
    """
    training, progress = batches.all_training(), state.progress
    validation = next(batches.validation_batches())
    inputs, targets = training.inputs.cpu(), training.targets.cpu()
    weights = None if loss.weights is None else loss.weights.cpu()
    name, layer = [
        (name, part) for name, part in state.network.named_modules() if isinstance(part, nn.Linear)
    ][-1]
    problem = LogisticRegression(inputs, targets, layer.out_features, weights, loss.smoothing)

    def keep(solution: Solution) -> float:
        """Write the solution into the head and the history; return what should be small."""
        parts = {f"{name}.weight": solution.weight, f"{name}.bias": solution.bias}
        device = layer.weight.device
        restore_weights(
            state.network, {key: part.float().to(device) for key, part in parts.items()}
        )
        row: HistoryRow = {
            "epoch": progress.epoch,
            "lr": 0.0,
            "l2": solution.strength,
            **_measures("train", solution.logits(inputs), targets),
            **_measures("val", solution.logits(validation.inputs.cpu()), validation.targets.cpu()),
        }
        progress.history.append(row)
        progress.best_epoch = progress.epoch
        progress.epoch += 1
        after_solution(state)
        return -row[monitor] if monitor == "val_accuracy" else row[monitor]

    best = best_strength(problem, keep)
    keep(problem.solve(best.strength, best))
    print(f"logistic regression: the L2 strength {best.strength:g} has the best {monitor}")


def best_strength(problem: LogisticRegression, measure: Callable[[Solution], float]) -> Solution:
    """Return a rough solution for the strength of the penalty whose measure is smallest.

    measure: of a solution; as a function of the strength it has one minimum.
    """
    best = problem.solve(_FIRST, rough=True)
    smallest = measure(best)
    for direction in (_WEAKER, _STRONGER):
        for strength in direction:
            solution = problem.solve(strength, best, rough=True)
            value = measure(solution)
            if value >= smallest:
                break
            best, smallest = solution, value
        if best.strength != _FIRST:
            break
    return best


def _measures(split: str, logits: Tensor, targets: Tensor) -> dict[str, float]:
    right = (logits.argmax(dim=1) == targets).double().mean()
    return {
        f"{split}_loss": cross_entropy(logits, targets).item(),
        f"{split}_accuracy": right.item(),
    }
