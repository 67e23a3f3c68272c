"""Read JSON files that travel with a network; `processing.rules` applies the rules defined here.

`decision.json` (written by the evaluate stage) holds the rules, `tta.json` (written by the
tta_evaluate stage) names the views of test-time augmentation. Both travel with the network.
"""

from typing import Annotated, Self

from pydantic import Field, model_validator

from classifier.core.errors import UserError
from classifier.processing.softmax import DECISION, Merge
from classifier.processing.travelling import TravellingFile

TTA_POLICY = "tta.json"
# More views would only cost time; the search of tta_evaluate merges far fewer.
MAX_VIEWS = 64


class Chosen(TravellingFile):
    """What a stage has chosen for one model.

    Attributes:
        model: `model_digest` of it; None where it was not read from files.
    """

    model: str | None = None


class PredictionSets(TravellingFile):
    """Thresholds of the prediction sets.

    Attributes:
        coverage: share of images whose true class should be in their set, such as 0.95.
        thresholds: of each class; it is in the set where its probability is at least this.
    """

    coverage: float = Field(gt=0, lt=1)
    thresholds: list[float] = Field(min_length=1)


_Cost = Annotated[float, Field(ge=0)]


class Costs(TravellingFile):
    """What a decision costs; a right answer costs nothing.

    Attributes:
        reject: cost of the answer `unknown`; None never answers so because of the cost.
        errors: cost of each error, `(actual classes, predicted classes)`, and 0 where both are the
            same class; None: 1 for each.
    """

    reject: float | None = Field(ge=0)
    errors: list[list[_Cost]] | None

    @model_validator(mode="after")
    def _errors_are_square(self) -> Self:
        errors = self.errors or []
        if any(len(row) != len(errors) for row in errors):
            raise ValueError("errors must have as many columns as rows.")
        if any(row[actual] != 0 for actual, row in enumerate(errors)):
            raise ValueError("a right answer must cost nothing.")
        return self


class Decision(Chosen):
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


def check_class_count(decision: Decision, classes: int) -> None:
    """Raise UserError where the rules are for another number of classes than the model's."""
    thresholds = decision.sets and decision.sets.thresholds
    errors = decision.costs and decision.costs.errors
    for name, values in (("sets.thresholds", thresholds), ("costs.errors", errors)):
        if values is not None and len(values) != classes:
            raise UserError(
                f"{name} in {DECISION} is for {len(values)} classes, but the model has {classes}: "
                "run the evaluate and export stages again, or `dvc checkout`."
            )


# Answers with the most probable class, whatever its probability.
ALWAYS = Decision(reject_below=None)


class TtaPolicy(Chosen):
    """`tta.json`: the views of test-time augmentation.

    Attributes:
        views: names of the views whose predictions are merged.
        merge: how they are merged.
    """

    views: list[str] = Field(min_length=1, max_length=MAX_VIEWS)
    merge: Merge
