"""Turn probabilities and outside scores into answers by the rules of `decision.json`.

Needs NumPy only, so that `classifier verify` can replay answers where nothing else is installed.
`processing.decision` has the schema of the rules.
"""

from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from classifier.processing.softmax import UNKNOWN

if TYPE_CHECKING:
    from classifier.processing.decision import Costs, Decision, PredictionSets

# Why an answer is `unknown`.
Reason = Literal["none of the classes", "low confidence", "expected cost"]


class Decided(NamedTuple):
    """What is answered to each image.

    Attributes:
        classes: index of the class that costs least, int64 `(n,)`, also where it is not answered.
        reasons: why the answer is `unknown`; None where it is the class.
    """

    classes: np.ndarray
    reasons: list[Reason | None]

    def labels(self, names: list[str]) -> list[str]:
        """Return the answers: the name of a class, or `unknown`."""
        return [
            names[index] if reason is None else UNKNOWN
            for index, reason in zip(self.classes.tolist(), self.reasons, strict=True)
        ]


def decide(probabilities: np.ndarray, outside: np.ndarray | None, decision: "Decision") -> Decided:
    """Return the answer to each image.

    Args:
        probabilities: float64 `(n, classes)`.
        outside: outside scores, float `(n,)`; None where the model gives none.
        decision: the rules.
    """
    costs = expected_costs(probabilities, decision.costs)
    classes = costs[:, : probabilities.shape[1]].argmin(axis=1)
    reasons: list[Reason | None] = [None] * len(probabilities)
    # The last reason that holds is the one that is given.
    rules: list[tuple[Reason, np.ndarray]] = [
        ("expected cost", costs.argmin(axis=1) == probabilities.shape[1]),
        ("low confidence", probabilities.max(axis=1) < (decision.reject_below or 0.0)),
        ("none of the classes", is_outside(outside, decision)),
    ]
    for reason, holds in rules:
        for image in np.flatnonzero(holds):
            reasons[image] = reason
    return Decided(classes, reasons)


def is_outside(outside: np.ndarray | None, decision: "Decision") -> np.ndarray:
    """Return which images show none of the classes by their outside score: bool `(n,)`."""
    if outside is None or decision.outside_above is None:
        return np.array(False)
    return outside > decision.outside_above


def expected_costs(probabilities: np.ndarray, costs: "Costs | None") -> np.ndarray:
    """Return the expected cost of each answer: float64 `(n, classes)`.

    With a cost of rejection there is one more column: the cost of the answer `unknown`. Without
    costs, every error costs 1, so that the most probable class costs least.
    """
    if costs is None:
        return 1.0 - probabilities
    expected = probabilities @ cost_matrix(costs, probabilities.shape[1])
    if costs.reject is None:
        return expected
    return np.column_stack([expected, np.full(len(expected), costs.reject)])


def in_sets(probabilities: np.ndarray, sets: "PredictionSets") -> np.ndarray:
    """Return which classes are in the prediction set of each image: bool `(n, classes)`.

    The most probable class always is, so that no set is empty.
    """
    inside = probabilities >= np.array(sets.thresholds)
    inside[np.arange(len(inside)), probabilities.argmax(axis=1)] = True
    return inside


def cost_matrix(costs: "Costs", classes: int) -> np.ndarray:
    """Return the cost of each error: float64 `(actual classes, predicted classes)`."""
    return 1.0 - np.eye(classes) if costs.errors is None else np.array(costs.errors)


def largest_cost(costs: "Costs") -> float:
    """Return the largest cost of an error or of the answer `unknown`."""
    errors = [1.0] if costs.errors is None else [max(row) for row in costs.errors]
    return max([costs.reject or 0.0, *errors])
