"""Section `export` of params.yaml."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from classifier.core.config import Params
from classifier.processing.similar_images import MAX_SIMILAR_IMAGES

FormatName = Literal["onnx", "torch_export", "torchscript", "executorch"]
Method = Literal["minmax", "percentile", "entropy", "exclude"]


class Int8Params(Params):
    """Section `export.int8`."""

    methods: list[Method]
    calibration_images: int = Field(ge=1)
    max_accuracy_drop: float = Field(ge=0, le=1)
    min_speedup: float | None = Field(gt=0)

    @model_validator(mode="after")
    def _methods_stand_once(self) -> Self:
        if len(set(self.methods)) < len(self.methods):
            raise ValueError("export.int8.methods names a method twice; name each once.")
        if "exclude" in self.methods[:-1]:
            raise ValueError(
                "export.int8.methods: exclude goes on from the best of the other methods; "
                "name it last."
            )
        return self


class ExportParams(Params):
    """Section `export`."""

    formats: list[FormatName]
    batch_size: int = Field(ge=1)
    max_logit_difference: float = Field(gt=0)
    similar_images: int = Field(ge=0, le=MAX_SIMILAR_IMAGES)
    int8: Int8Params

    @field_validator("formats")
    @classmethod
    def _onnx_is_there(cls, formats: list[FormatName]) -> list[FormatName]:
        if len(set(formats)) < len(formats):
            raise ValueError("export.formats names a format twice; name each once.")
        if "onnx" not in formats:
            raise ValueError(
                "export.formats must name onnx: predict, serve and the eight-bit file need it."
            )
        return formats
