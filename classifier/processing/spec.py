"""The description of a trained model: all but its weights. Needs no PyTorch."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from classifier.processing.images import Preprocessing, Resize

DESCRIPTION = "model.json"


class BackboneSpec(BaseModel):
    """`data/backbone/backbone.json`, and the part `backbone` of `model.json`.

    Attributes:
        name: as in `backbone.name`.
        weights: as in `backbone.weights`; None for random weights.
        origin: address, commit or package of the pretrained weights.
        source_sha256: SHA-256 of the file of weights as it came.
        sha256: SHA-256 of `backbone.safetensors`.
        licence: of the pretrained weights; None where it is not known.
        mean: of each channel, in 0..255, that the weights expect.
        std: of each channel, in 0..255, that the weights expect.
        input_size: side in pixels of the images that the weights were trained on; None for any.
        interpolation: how these images were scaled; None where it is not known.
        features: number of features of an image; None until the network has been built.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    name: str
    weights: str | None = None
    origin: str | None = None
    source_sha256: str | None = None
    sha256: str | None = None
    licence: str | None = None
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    input_size: int | None = None
    interpolation: str | None = None
    features: int | None = None


class BundleSpec(BaseModel):
    """`model.json`.

    Attributes:
        backbone: the network, and its pretrained weights.
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

    backbone: BackboneSpec
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
