"""Read JSON files that travel with a network; nothing in them is guessed or left out."""

from typing import ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from classifier.core.errors import UserError


class TravellingFile(BaseModel):
    """Content of a file that travels with a network."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False
    )


Content = TypeVar("Content", bound=TravellingFile)


def parse_travelling(content: bytes, schema: type[Content], file: str, stage: str) -> Content:
    """Validate the content of a file.

    Args:
        content: the bytes of the file.
        schema: what it must hold.
        file: its path, for the message.
        stage: the stage that writes it, for the message.

    Raises:
        UserError: where it is no JSON, or a value is missing, unknown or out of range.
    """
    try:
        return schema.model_validate_json(content)
    except ValidationError as error:
        raise UserError(
            f"{file} is damaged ({first_problem(error)}): run the {stage} stage again, or "
            "`dvc checkout`."
        ) from None


def first_problem(error: ValidationError) -> str:
    """Return the first place and reason of an error of validation, in words."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    return f"{place}: {first['msg']}" if place else first["msg"]
