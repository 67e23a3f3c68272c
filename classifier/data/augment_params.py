"""Section `train.augment`: which random augmentation an image gets; see `data.augment`."""

from typing import Literal

from pydantic import Field, model_validator

from classifier.core.config import Params
from classifier.core.errors import UserError


class AugmentParams(Params):
    """Section `train.augment` of params.yaml; all off gives the centre crop."""

    flip: float = Field(ge=0, le=1)
    alternate_flips: bool
    crop_padding: int | None = Field(ge=0)
    crop_scale: list[float] | None = Field(min_length=2, max_length=2)
    crop_ratio: list[float] = Field(min_length=2, max_length=2)
    rotation: float = Field(ge=0, le=180)
    brightness: float = Field(ge=0, le=1)
    contrast: float = Field(ge=0, le=1)
    saturation: float = Field(ge=0, le=1)
    padding: Literal["zeros", "edge", "reflect"]

    @model_validator(mode="after")
    def _every_second_is_a_half(self) -> "AugmentParams":
        if self.alternate_flips and self.flip != 0.5:
            raise ValueError(
                f"train.augment.alternate_flips mirrors every image in every second epoch, but "
                f"train.augment.flip is {self.flip:g}; set flip: 0.5 or alternate_flips: false."
            )
        return self

    @model_validator(mode="after")
    def _ranges_are_ascending(self) -> "AugmentParams":
        if self.crop_padding is not None and self.crop_scale is not None:
            raise ValueError(
                "train.augment.crop_padding and train.augment.crop_scale are two kinds of random "
                "crop; set one of them to null."
            )
        if self.crop_scale is not None and not 0 < self.crop_scale[0] <= self.crop_scale[1] <= 1:
            raise ValueError(
                f"train.augment.crop_scale is {self.crop_scale}; it must ascend within 0..1."
            )
        if not 0 < self.crop_ratio[0] <= self.crop_ratio[1]:
            raise ValueError(
                f"train.augment.crop_ratio is {self.crop_ratio}; it must ascend and be positive."
            )
        return self

    def check_fit(self, input_size: int) -> None:
        """Check the padding against the network's input size.

        Raises:
            UserError: The padding is so wide that a crop may miss the image.
        """
        if self.crop_padding is not None and self.crop_padding >= input_size:
            raise UserError(
                f"train.augment.crop_padding is {self.crop_padding}; it must be less than the "
                f"input size, {input_size} (train.input_size, or else split.stored_size)."
            )

    @property
    def resamples(self) -> bool:
        """Whether the result is interpolated between pixels of the image."""
        return bool(self.rotation or self.crop_scale)

    @property
    def moves_pixels(self) -> bool:
        """Whether a flip, crop or rotation is on."""
        return bool(self.flip or self.rotation or self.crop_padding is not None or self.crop_scale)

    @property
    def changes_colour(self) -> bool:
        """Whether brightness, contrast or saturation is varied."""
        return bool(self.brightness or self.contrast or self.saturation)
