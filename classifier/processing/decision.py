"""Read two small JSON files that decide an answer and travel with the network.

`decision.json` (written by the evaluate stage) says which answers become `unknown`;
`tta.json` (written by the tta_evaluate stage) names the views of test-time augmentation.
"""

from typing import ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from classifier.core.errors import UserError
from classifier.processing.softmax import Merge

TTA_POLICY = "tta.json"


class _Travelling(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False
    )


class Decision(_Travelling):
    """`decision.json`. reject_below: confidence, 0 to 1, under which the answer is `unknown`."""

    reject_below: float | None = Field(ge=0, le=1)


class TtaPolicy(_Travelling):
    """`tta.json`: names of the views whose predictions are merged, and how."""

    views: list[str] = Field(min_length=1)
    merge: Merge


Travelling = TypeVar("Travelling", Decision, TtaPolicy)


def parse_travelling(content: bytes, schema: type[Travelling], file: str, stage: str) -> Travelling:
    """Validate the content of one of the two files.

    Args:
        content: the bytes of the file.
        schema: `Decision` or `TtaPolicy`.
        file: its path, for the message.
        stage: the stage that writes it, for the message.

    Raises:
        UserError: where it is no JSON, or a value is missing, unknown or out of range.
    """
    try:
        return schema.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        reason = f"{place}: {first['msg']}" if place else first["msg"]
        raise UserError(
            f"{file} is damaged ({reason}): run the {stage} stage again, or `dvc checkout`."
        ) from None
