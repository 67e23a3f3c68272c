"""Sections `train` and `runtime` of params.yaml: how the network learns, and how it is run."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from classifier.core.config import Params, either
from classifier.core.errors import UserError
from classifier.data.augment_params import AugmentParams
from classifier.models.devices import OnMissing
from classifier.models.network import ModelParams, check_parts
from classifier.processing.spec import BackboneSpec
from classifier.processing.views import CENTRE, expand_views
from classifier.training.batches import Sampling
from classifier.training.curriculum import CurriculumParams
from classifier.training.loop import LoopParams

_PROBE = (
    "train.linear_probe_epochs trains the head alone before the other layers: it needs "
    "backbone.weights, and train.model.freeze other than backbone."
)


class SizeParams(Params):
    """An entry of `train.progressive_resizing`: up to this epoch, images have this side."""

    until_epoch: int = Field(ge=1)
    side: int = Field(ge=1)


class RuntimeParams(Params):
    """Section `runtime`: how training runs on this machine."""

    num_processes: int | None = Field(ge=1, le=1024)
    deterministic: OnMissing
    checkpoint_minutes: float = Field(gt=0)
    checkpoint_epochs: int | None = Field(ge=1)
    tensorboard: bool


class TrainParams(LoopParams):
    """Section `train`."""

    input_size: int | None = Field(ge=1)
    progressive_resizing: list[SizeParams]
    label_smoothing: float = Field(ge=0, lt=1)
    class_weights: Literal["none", "balanced"]
    sampling: Sampling
    curriculum: CurriculumParams
    linear_probe_epochs: int = Field(ge=0)
    model: ModelParams
    head: Literal["logistic", "mlp", "linear"]
    feature_views: Annotated[
        int | list[str], either("a number of views, or a list of names of views (text)")
    ]
    augment: AugmentParams

    def side(self, epoch: int, input_size: int) -> int:
        """Return the side of the images in this epoch. input_size: the full side."""
        return next(
            (entry.side for entry in self.progressive_resizing if epoch <= entry.until_epoch),
            input_size,
        )

    @field_validator("feature_views")
    @classmethod
    def _known_views(cls, views: int | list[str]) -> int | list[str]:
        if isinstance(views, int):
            if views < 0:
                raise ValueError("a number of views is 0 or more.")
        else:
            expand_views([CENTRE, *views])
        return views

    @model_validator(mode="after")
    def _head_has_its_parts(self) -> Self:
        if (self.head == "mlp") != (self.model.head.hidden is not None):
            raise ValueError(
                f"train.head: {self.head} does not fit train.model.head.hidden: "
                f"{self.model.head.hidden or 'null'}; set train.model.head.hidden to a number of "
                "units for train.head: mlp, or else to null."
            )
        return self

    @model_validator(mode="after")
    def _logistic_regression_is_of_fixed_features(self) -> Self:
        if self.head != "logistic":
            return self
        needed = {
            "train.model.freeze": (self.model.freeze, "backbone"),
            "train.mix.mixup": (self.mix.mixup, 0.0),
            "train.sampling": (self.sampling, "natural"),
            "train.curriculum.start": (self.curriculum.start, None),
        }
        for name, (value, fits) in needed.items():
            if value != fits:
                raise ValueError(
                    f"train.head: logistic is solved on features that do not change; set {name}: "
                    f"{'null' if fits is None else fits}, or train.head: linear."
                )
        return self

    @model_validator(mode="after")
    def _views_are_of_a_frozen_backbone(self) -> Self:
        if self.feature_views and self.model.freeze != "backbone" and not self.linear_probe_epochs:
            raise ValueError(
                f"train.feature_views is {self.feature_views}, but train.model.freeze is "
                f"{self.model.freeze}; set train.feature_views: 0, or freeze the backbone."
            )
        return self

    @model_validator(mode="after")
    def _features_are_not_cut(self) -> Self:
        if self.mix.cutmix and self.model.freeze == "backbone":
            raise ValueError(
                "train.mix.cutmix needs images, but with train.model.freeze: backbone the head "
                "sees features; set train.mix.cutmix: 0.0."
            )
        return self

    @model_validator(mode="after")
    def _features_have_one_size(self) -> Self:
        if self.progressive_resizing and self.model.freeze == "backbone":
            raise ValueError(
                "train.progressive_resizing needs images, but with train.model.freeze: backbone "
                "the head sees features; set train.progressive_resizing: []."
            )
        return self

    @model_validator(mode="after")
    def _attacks_need_images(self) -> Self:
        if self.adversarial_strength and self.model.freeze == "backbone":
            raise ValueError(
                "train.adversarial_strength changes images, but with train.model.freeze: "
                "backbone the head sees features; set train.adversarial_strength: 0.0."
            )
        return self

    @model_validator(mode="after")
    def _sizes_follow_each_other(self) -> Self:
        epochs = [entry.until_epoch for entry in self.progressive_resizing]
        if epochs != sorted(set(epochs)):
            raise ValueError(
                f"train.progressive_resizing has the until_epoch {epochs}; they must ascend."
            )
        return self

    @model_validator(mode="after")
    def _head_alone_is_trained_before_other_layers(self) -> Self:
        if self.linear_probe_epochs and self.model.freeze == "backbone":
            raise ValueError(_PROBE)
        return self

    def check_backbone(self, backbone: BackboneSpec) -> None:
        """Raise UserError where the section asks for what the backbone does not have."""
        check_parts(self.model, backbone)
        if self.linear_probe_epochs and backbone.weights is None:
            raise UserError(_PROBE)
