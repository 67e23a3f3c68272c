"""Schemas of requests and responses, as the OpenAPI document shows them."""

from typing import Any

from pydantic import BaseModel, Field

from classifier.processing.rules import Reason
from classifier.serving.uploads import FIELD


class Scored(BaseModel):
    """A class with its probability."""

    label: str
    index: int
    probability: float


class SimilarTrainingImage(BaseModel):
    """A training image that is like the image.

    path: in the folder of the training images. similarity: cosine of the features. tile: its place
    in `/similar.jpg`, from 0 on, row by row.
    """

    path: str
    label: str
    similarity: float
    tile: int


class ImageAnswer(BaseModel):
    """The prediction for an image.

    label: `unknown` where `reason` says why; index is then null.
    """

    label: str
    index: int | None
    probability: float = Field(
        description="Of the class; where the label is `unknown`, of the most probable class."
    )
    reason: Reason | None = Field(description="Why the label is `unknown`.")
    outside: float | None = Field(
        description="The higher, the less the image looks like those of any class; above "
        "`outside_above` of the model it is answered as none of them. null: not computed."
    )
    set: list[str] | None = Field(
        description="Prediction set: the true class is among these with the probability `coverage` "
        "of the model, for images like those that it was evaluated on. null: no sets."
    )
    top: list[Scored]
    probabilities: dict[str, float] = Field(description="Of every class.")
    similar: list[SimilarTrainingImage] = Field(
        description="The training images that are most like it; empty where none travel with the "
        "model."
    )
    views: int = Field(description="Number of views of the image whose predictions were averaged.")
    warnings: list[str] = Field(
        description="What the decoder complained about, and whether the file has further images."
    )


class PredictResponse(ImageAnswer):
    """The response for one image.

    model: version of the trained model. milliseconds: from the last byte of the request.
    """

    model: str
    milliseconds: float


class ImageError(BaseModel):
    """The reason why an image could not be read."""

    error: str


class NamedAnswer(ImageAnswer):
    """A prediction with the name of the file that was sent."""

    name: str


class NamedError(ImageError):
    """An error with the name of the file that was sent."""

    name: str


class BatchPredictResponse(BaseModel):
    """The response for several images, in their order."""

    answers: list[NamedAnswer | NamedError]
    model: str
    milliseconds: float


class Tiles(BaseModel):
    """Thumbnails in rows of equal tiles.

    side: of a tile, in pixels. columns: tiles in a row.
    """

    side: int
    columns: int


class ModelInfo(BaseModel):
    """The model that is served.

    files: SHA-256 of each file of the export. card: text of the model card; null where none is of
    this export. reject_below: confidence under which an answer is `unknown`. outside_above: outside
    score above which it is. coverage: share of images whose true class is in the prediction set.
    similar_images: how `/similar.jpg` is divided; null where no training images travel with the
    model.
    """

    classes: list[str]
    model: str
    file: str
    files: dict[str, str]
    description: dict[str, Any] = Field(description="`model.json`, as the training wrote it.")
    views: list[str]
    reject_below: float
    outside_above: float | None
    coverage: float | None
    similar_images: Tiles | None
    card: str | None


class ErrorResponse(BaseModel):
    """The reason why a request was refused."""

    error: str


class Health(BaseModel):
    """The state of the server."""

    status: str


_BINARY = {"schema": {"type": "string", "format": "binary"}}
# The route reads the body itself, so FastAPI cannot know what it takes.
REQUEST_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        FIELD: {
                            "type": "array",
                            "items": {"type": "string", "format": "binary"},
                            "minItems": 1,
                            "description": "Image files; the field may stand several times.",
                        }
                    },
                    "required": [FIELD],
                    "additionalProperties": False,
                }
            },
            "image/jpeg": _BINARY,
            "image/png": _BINARY,
            "image/webp": _BINARY,
            "image/avif": _BINARY,
            "image/heic": _BINARY,
            "application/octet-stream": _BINARY,
        },
    }
}
_REASONS = {
    400: "The request is no form, or a broken one.",
    401: "The API key is missing or wrong.",
    408: "The request did not arrive in time.",
    413: "The body is too large.",
    415: "The body is of another type.",
    422: "The image cannot be read, or a parameter is unknown or out of range.",
    503: "The server is busy; Retry-After says when to try again.",
}
ERROR_RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorResponse, "description": reason} for status, reason in _REASONS.items()
}
SIMILAR_IMAGES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "Thumbnails of the training images that travel with the model.",
        "content": {"image/jpeg": _BINARY},
    },
    404: {"model": ErrorResponse, "description": "None travel with the model that answers now."},
    422: {"model": ErrorResponse, "description": "A parameter is unknown."},
}
HEAT_MAP: dict[int | str, dict[str, Any]] = ERROR_RESPONSES | {
    200: {
        "description": "The input of the model in grey; regions that support the class are red, "
        "and the strongest yellow.",
        "content": {"image/png": _BINARY},
    },
    404: {"model": ErrorResponse, "description": "Another model than `model` answers now."},
}
