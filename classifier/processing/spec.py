"""What has to be known of a trained model besides its weights; no PyTorch."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from classifier.processing.images import Preprocessing, Resize

DESCRIPTION = "model.json"


class BundleSpec(BaseModel):
    """`model.json`: what has to be known about the weights.

    mean, std: of each channel, in 0..255. params: the `train` section of the run.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    backbone: str
    classes: list[str]
    stored_size: int
    resize: Resize
    input_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    temperature: float
    params: dict[str, Any]

    @property
    def preprocessing(self) -> Preprocessing:
        return Preprocessing(self.stored_size, self.resize)
