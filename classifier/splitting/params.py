"""Define the section `split` of params.yaml."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from classifier.core.config import Params
from classifier.data.dataset import Split
from classifier.processing.images import Resize
from classifier.splitting.duplicates.candidate_pairs import Search

Fraction = Annotated[float, Field(gt=0, lt=1)]


class Fractions(Params):
    """Fraction of each class in each split; their sum is 1."""

    train: Fraction
    val: Fraction
    test: Fraction

    @model_validator(mode="after")
    def _add_up_to_one(self) -> "Fractions":
        total = self.train + self.val + self.test
        if abs(total - 1) > 1e-6:
            raise ValueError(f"train, val and test must add up to 1, not to {total:g}.")
        return self

    def by_split(self) -> dict[Split, float]:
        """Return the fraction of each split."""
        return {"train": self.train, "val": self.val, "test": self.test}


class CheckParams(Params):
    """Limits of the data checks, and what happens if one is exceeded.

    Attributes:
        min_side: Of the shorter side of an image file, in pixels.
        max_side: Of the longer side of an image file, in pixels.
        max_aspect_ratio: Of the longer side divided by the shorter side.
        min_contrast: Of the standard deviation of the grey values, 0 to 127.
        min_test_images: Of a class.
        max_imbalance: Of the size of the largest class divided by that of the smallest.
        on_warning: Print a warning, or stop the stage.
    """

    min_side: int = Field(ge=1)
    max_side: int = Field(ge=1)
    max_aspect_ratio: float = Field(ge=1)
    min_contrast: float = Field(ge=0, le=127)
    min_test_images: int = Field(ge=1)
    max_imbalance: float = Field(ge=1)
    on_warning: Literal["warn", "fail"]


class SplitParams(Params):
    """How images are selected, stored and assigned to splits."""

    seed: int = Field(ge=0, lt=2**32)
    fractions: Fractions
    stored_size: int = Field(ge=1, le=1024)
    resize: Resize
    min_images_per_class: int = Field(ge=3)  # one for each split
    exclude_classes: list[str]
    white_level: float = Field(gt=0, allow_inf_nan=False)
    max_pixels: int = Field(ge=1, le=178_000_000)  # Pillow itself refuses more
    group_by: list[str]
    folds: int | None = Field(ge=2, le=100)
    fold: int = Field(ge=0)
    allow_missing_classes: bool
    on_bad_image: Literal["error", "skip"]
    duplicates: Literal["group", "drop", "keep"]
    duplicate_similarity: float | None = Field(ge=0.5, le=1)
    duplicate_search: Search
    checks: CheckParams

    @model_validator(mode="after")
    def _there_is_the_fold(self) -> "SplitParams":
        if self.fold >= (self.folds or 1):
            allowed = f"0 to {self.folds - 1}" if self.folds else "0, since split.folds is null"
            raise ValueError(f"split.fold is {self.fold}: it must be {allowed}.")
        return self
