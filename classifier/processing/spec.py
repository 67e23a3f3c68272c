"""The description of a trained model: all but its weights. Needs no PyTorch."""

from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from classifier.core.text import has_control_character
from classifier.processing.images import Preprocessing, Resize
from classifier.processing.softmax import UNKNOWN
from classifier.processing.travelling import TravellingFile

DESCRIPTION, WEIGHTS = "model.json", "model.safetensors"
# Sides of an image in pixels; params.yaml allows no more.
MAX_SIDE = 1024


def _check_class_name(name: str) -> str:
    if not name.strip() or has_control_character(name):
        raise ValueError("a class name must not be empty or hold control characters")
    return name


_ClassName = Annotated[str, AfterValidator(_check_class_name)]
_Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]
_Mean = Annotated[float, Field(ge=0, le=255)]
_Std = Annotated[float, Field(gt=0)]
_Positive = Annotated[float, Field(gt=0)]


class BackboneSpec(TravellingFile):
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

    name: str
    weights: str | None = None
    origin: str | None = None
    source_sha256: str | None = None
    sha256: str | None = None
    licence: str | None = None
    mean: tuple[_Mean, _Mean, _Mean]
    std: tuple[_Std, _Std, _Std]
    input_size: Annotated[int, Field(ge=1)] | None = None
    interpolation: str | None = None
    features: Annotated[int, Field(ge=1)] | None = None


class BundleSpec(TravellingFile):
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
        dataset: `Dataset.digest` of the images that the model was trained and chosen on; None where
            it is not known, as for models of earlier versions.
        divisions: number of processes, micro-batches of each, and threads in the parts of a run
            that was interrupted and went on otherwise; its bytes are not those of a run from the
            start. None for all others.
    """

    backbone: BackboneSpec
    classes: list[_ClassName] = Field(min_length=2)
    stored_size: _Side
    resize: Resize
    white_level: _Positive
    max_pixels: int = Field(ge=1)
    input_size: _Side
    mean: tuple[_Mean, _Mean, _Mean]
    std: tuple[_Std, _Std, _Std]
    temperature: _Positive
    params: dict[str, Any]
    dataset: str | None = None
    divisions: list[list[int]] | None = None

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if len(set(self.classes)) < len(self.classes) or UNKNOWN in self.classes:
            raise ValueError(f"classes must differ, and none may be called {UNKNOWN}")
        if self.input_size > self.stored_size:
            raise ValueError("input_size must not be larger than stored_size")
        return self

    @property
    def preprocessing(self) -> Preprocessing:
        """How an image file becomes a stored square."""
        return Preprocessing(self.stored_size, self.resize, self.white_level, self.max_pixels)
