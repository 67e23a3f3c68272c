"""The description of a trained model: all but its weights. Needs no PyTorch."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from classifier.processing.images import Preprocessing, Resize

DESCRIPTION = "model.json"


class BundleSpec(BaseModel):
    """`model.json`.

    Attributes:
        backbone: name of the network.
        classes: names of the classes, in the order of the logits.
        stored_size: side of the images that the split stage stores, in pixels.
        resize: see `Preprocessing`.
        white_level: see `Preprocessing`.
        max_pixels: see `Preprocessing`.
        input_size: side of the model input, in pixels.
        mean: of each channel, in 0..255.
        std: of each channel, in 0..255.
        temperature: of temperature scaling.
        params: the `train` section of the run.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    backbone: str
    classes: list[str]
    stored_size: int
    resize: Resize
    white_level: float
    max_pixels: int
    input_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    temperature: float
    params: dict[str, Any]

    @property
    def preprocessing(self) -> Preprocessing:
        """How an image file becomes a stored square."""
        return Preprocessing(self.stored_size, self.resize, self.white_level, self.max_pixels)
