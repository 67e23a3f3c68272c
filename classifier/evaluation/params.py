"""The sections `evaluate` and `tta_evaluate` of params.yaml."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from classifier.core.config import Params
from classifier.core.errors import UserError
from classifier.data.augment_params import AugmentParams
from classifier.processing.decision import MAX_VIEWS
from classifier.processing.softmax import Merge
from classifier.processing.views import expand_views, named_view

# A file that is always there, since DVC needs a path; it never has images.
NO_FOREIGN = "data/.gitignore"


class CostParams(Params):
    """Section `evaluate.costs`.

    Attributes:
        reject: cost of the answer `unknown`; None: no answer is `unknown` because of its cost.
        errors: cost of an error by actual and predicted class; those not named cost 1.
    """

    reject: float | None = Field(default=None, ge=0)
    errors: dict[str, dict[str, Annotated[float, Field(ge=0)]]] = Field(default={})

    @model_validator(mode="after")
    def _right_answers_cost_nothing(self) -> Self:
        for actual, row in self.errors.items():
            if row.get(actual):
                raise ValueError(f"evaluate.costs.errors: {actual} for {actual} is no error.")
        if self.reject is None and not self.errors:
            raise ValueError("evaluate.costs names no cost; set reject or errors, or null.")
        return self


class EvaluateParams(Params):
    """Section `evaluate`."""

    batch_size: int = Field(ge=1)
    calibration_bins: int = Field(ge=1, le=10_000)
    reject_below: float | None = Field(ge=0, le=1)
    outside_share: float | None = Field(gt=0, lt=1)
    foreign: str
    coverage: float | None = Field(gt=0, lt=1)
    costs: CostParams | None
    slices: list[str]
    confused_pairs: int = Field(ge=0)

    @model_validator(mode="after")
    def _one_rule_for_low_confidence(self) -> Self:
        if self.reject_below is not None and self.costs is not None:
            raise ValueError(
                "evaluate.reject_below and evaluate.costs both say which answers are unknown; "
                "set one of them to null."
            )
        return self


class TtaParams(Params):
    """Section `tta_evaluate`."""

    batch_size: int = Field(ge=1)
    views: list[str]
    random_views: int = Field(ge=0)
    seed: int = Field(ge=0, lt=2**32)
    merge: Merge
    search: Literal["none", "greedy"]
    candidates: list[str]
    max_views: int = Field(ge=2, le=MAX_VIEWS)

    @field_validator("views", "candidates")
    @classmethod
    def _views_are_known(cls, views: list[str]) -> list[str]:
        return expand_views(views)

    @model_validator(mode="after")
    def _there_is_a_view(self) -> Self:
        if not self.views and not self.random_views:
            raise ValueError("views is empty and random_views is 0; there must be a view.")
        if self.search == "greedy" and not self.candidates:
            raise ValueError("search is greedy and candidates is empty; name views to try.")
        if self.search == "greedy" and self.random_views:
            raise ValueError(
                f"random_views is {self.random_views}, but search is greedy, which chooses among "
                "the candidates alone; set random_views: 0, or search: none."
            )
        return self

    def check_fit(self, *, stored_size: int, input_size: int, augment: AugmentParams) -> None:
        """Check that the views suit these sizes in pixels and this training augmentation.

        Raises:
            UserError: where a view is impossible, or random views would all equal the centre.
        """
        tried = self.candidates if self.search == "greedy" else []
        for key, names in (("views", self.views), ("candidates", tried)):
            for name in names:
                try:
                    named_view(name, stored_size, input_size)
                except UserError as error:
                    raise UserError(f"tta_evaluate.{key}: {error}") from None
        if self.random_views and not (augment.moves_pixels or augment.changes_colour):
            raise UserError(
                f"tta_evaluate.random_views is {self.random_views}, but train.augment is all off, "
                "so that all of them would equal 'identity': set 0, or train with augmentation."
            )
