"""Decide what is answered: a class, or `unknown` and why. NumPy and two small JSON files.

`decision.json` (written by the evaluate stage) holds the rules, `tta.json` (written by the
tta_evaluate stage) names the views of test-time augmentation. Both travel with the network.
"""

from typing import ClassVar, Literal, NamedTuple, Self, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from classifier.core.errors import UserError
from classifier.processing.softmax import UNKNOWN, Merge

TTA_POLICY = "tta.json"
# Why an answer is `unknown`.
Reason = Literal["none of the classes", "low confidence", "expected cost"]


class _Travelling(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False
    )


class PredictionSets(_Travelling):
    """Thresholds of the prediction sets.

    Attributes:
        coverage: share of images whose true class should be in their set, such as 0.95.
        thresholds: of each class; it is in the set where its probability is at least this.
    """

    coverage: float = Field(gt=0, lt=1)
    thresholds: list[float] = Field(min_length=1)


class Costs(_Travelling):
    """What a decision costs; a right answer costs nothing.

    Attributes:
        reject: cost of the answer `unknown`; None never answers so because of the cost.
        errors: cost of each error, `(actual classes, predicted classes)`; None: 1 for each.
    """

    reject: float | None = Field(ge=0)
    errors: list[list[float]] | None

    @model_validator(mode="after")
    def _errors_are_square(self) -> Self:
        if self.errors is not None and any(len(row) != len(self.errors) for row in self.errors):
            raise ValueError("errors must have as many columns as rows.")
        return self

    def matrix(self, classes: int) -> np.ndarray:
        """Return the cost of each error: float64 `(actual classes, predicted classes)`."""
        return 1.0 - np.eye(classes) if self.errors is None else np.array(self.errors)

    def largest(self) -> float:
        """Return the largest cost of an error or of the answer `unknown`."""
        errors = [1.0] if self.errors is None else [max(row) for row in self.errors]
        return max([self.reject or 0.0, *errors])


class Decision(_Travelling):
    """`decision.json`: the rules that turn probabilities and outside score into an answer.

    Attributes:
        reject_below: confidence, 0 to 1, under which the answer is `unknown`.
        outside_above: outside score above which the answer is `unknown`, since the image shows
            none of the classes. None: no image is refused for that.
        sets: of the prediction sets; None: there are none.
        costs: the answer is the one of least expected cost; None: the most probable class.
    """

    reject_below: float | None = Field(ge=0, le=1)
    outside_above: float | None = None
    sets: PredictionSets | None = None
    costs: Costs | None = None

    @property
    def may_refuse(self) -> bool:
        """Whether an answer may be other than the most probable class."""
        return not (self.reject_below is self.outside_above is self.costs is None)


# Answers with the most probable class, whatever its probability.
ALWAYS = Decision(reject_below=None)


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


def decide(probabilities: np.ndarray, outside: np.ndarray | None, decision: Decision) -> Decided:
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


def is_outside(outside: np.ndarray | None, decision: Decision) -> np.ndarray:
    """Return which images show none of the classes by their outside score: bool `(n,)`."""
    if outside is None or decision.outside_above is None:
        return np.array(False)
    return outside > decision.outside_above


def expected_costs(probabilities: np.ndarray, costs: Costs | None) -> np.ndarray:
    """Return the expected cost of each answer: float64 `(n, classes)`.

    With a cost of rejection there is one more column: the cost of the answer `unknown`. Without
    costs, every error costs 1, so that the most probable class costs least.
    """
    if costs is None:
        return 1.0 - probabilities
    expected = probabilities @ costs.matrix(probabilities.shape[1])
    if costs.reject is None:
        return expected
    return np.column_stack([expected, np.full(len(expected), costs.reject)])


def in_sets(probabilities: np.ndarray, sets: PredictionSets) -> np.ndarray:
    """Return which classes are in the prediction set of each image: bool `(n, classes)`.

    The most probable class always is, so that no set is empty.
    """
    inside = probabilities >= np.array(sets.thresholds)
    inside[np.arange(len(inside)), probabilities.argmax(axis=1)] = True
    return inside


class TtaPolicy(_Travelling):
    """`tta.json`: names of the views whose predictions are merged, and how."""

    views: list[str] = Field(min_length=1)
    merge: Merge


Travelling = TypeVar("Travelling", Decision, TtaPolicy)


def parse_travelling(content: bytes, schema: type[Travelling], file: str, stage: str) -> Travelling:
    """Validate the content of one of the two files.

    Args:
        content: the bytes of the file.
        schema: `Decision` or `TtaPolicy`.
        file: its path, for the message.
        stage: the stage that writes it, for the message.

    Raises:
        UserError: where it is no JSON, or a value is missing, unknown or out of range.
    """
    try:
        return schema.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        reason = f"{place}: {first['msg']}" if place else first["msg"]
        raise UserError(
            f"{file} is damaged ({reason}): run the {stage} stage again, or `dvc checkout`."
        ) from None
