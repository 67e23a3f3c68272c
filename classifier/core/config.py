"""Read one validated section of params.yaml.

Each stage owns one section. Its schema, a subclass of `Params`, lives in the module that uses it,
so that a change to one stage's parameters does not touch the files of another.
"""

import re
from datetime import date
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from classifier.core.errors import UserError
from classifier.core.text import counted

# Those with knobs, which are all but the last, the report.
STAGES = ("download", "split", "backbone", "train", "evaluate", "tta_evaluate", "export")
# The last one is of no stage: how the train stage runs on this machine.
SECTIONS = (*STAGES, "runtime")

# What knobs were called before, and their names today.
RENAMED = {
    "split.image_size": "split.stored_size",
    "train.accumulation": "train.grad_accumulation_steps",
    "train.processes": "runtime.num_processes",
    "train.crop": "train.input_size",
    "train.progressive": "train.progressive_resizing",
    "train.linear_epochs": "train.linear_probe_epochs",
    "train.schedule": "train.lr_scheduler",
    "train.model.backbone": "backbone.name",
    "train.model.weights": "backbone.weights",
    "train.optimizer.clip_norm": "train.optimizer.max_grad_norm",
    "train.checkpoint_minutes": "runtime.checkpoint_minutes",
    "train.checkpoint_epochs": "runtime.checkpoint_epochs",
    "train.tensorboard": "runtime.tensorboard",
    "export.int8.calibration_pictures": "export.int8.calibration_images",
    "export.mobile": "export.formats",
}


class Params(BaseModel):
    """Base of the schemas: every key is known, of the right type and within its range."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False
    )


Section = TypeVar("Section", bound=Params)


def either(forms: str) -> WrapValidator:
    """Return the validator of a union that answers a wrong value with one sentence.

    Without it, pydantic tells what is wrong for each type, under names that are no parameters.

    forms: What is allowed, such as `a number, or a list of names`.
    """
    error = PydanticCustomError("either", "input should be {forms}", {"forms": forms})

    def validate(given: object, inner: ValidatorFunctionWrapHandler) -> object:
        try:
            return inner(given)
        except ValidationError:
            raise error from None

    return WrapValidator(validate)


class ParamsLoader(yaml.SafeLoader):
    """YAML 1.1 as PyYAML reads it, but `1e-3` is a number and a duplicate key is an error.

    So is what YAML 1.2, as DVC reads it, takes for another value: `010`, `0o10`, `08` and `1:30`.
    """


ParamsLoader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^[-+]?0o?[0-9_]+$"), list("-+0")
)
ParamsLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"),
    list("-+.0123456789"),
)


def _mapping_without_duplicates(loader: ParamsLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        if key_node.tag == "tag:yaml.org,2002:merge":
            continue
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            raise yaml.YAMLError(
                f"line {key_node.start_mark.line + 1}: {key!r} is no parameter, or needs quotes"
            )
        if key in seen:
            raise yaml.YAMLError(f"line {key_node.start_mark.line + 1}: {key!r} appears twice")
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


ParamsLoader.add_constructor("tag:yaml.org,2002:map", _mapping_without_duplicates)
_OF_TWO_VALUES = re.compile(r"[-+]?0o?[0-9_]+|.*:.*")


def _number_of_one_value(loader: ParamsLoader, node: yaml.ScalarNode) -> int | float:
    if _OF_TWO_VALUES.fullmatch(node.value):
        raise yaml.YAMLError(
            f"line {node.start_mark.line + 1}: YAML 1.1 and 1.2 take {node.value} for different "
            "values; write a number without a zero before it or a colon in it, and a text in quotes"
        )
    whole = node.tag == "tag:yaml.org,2002:int"
    return loader.construct_yaml_int(node) if whole else loader.construct_yaml_float(node)


ParamsLoader.add_constructor("tag:yaml.org,2002:int", _number_of_one_value)
ParamsLoader.add_constructor("tag:yaml.org,2002:float", _number_of_one_value)
# Values of a params file, those of aliases counted wherever they stand.
_MAX_VALUES = 100_000


def _check_size(root: yaml.Node | None) -> None:
    """Raise YAMLError where aliases of aliases stand for more values than memory holds."""
    sizes: dict[int, int] = {}

    def size(node: yaml.Node) -> int:
        if id(node) not in sizes:
            sizes[id(node)] = 0  # of a mapping that holds itself, which is refused later
            values = node.value if isinstance(node, yaml.CollectionNode) else []
            parts = (
                part for value in values for part in (value if type(value) is tuple else (value,))
            )
            sizes[id(node)] = 1 + sum(map(size, parts))
        return sizes[id(node)]

    if root is not None and size(root) > _MAX_VALUES:
        raise yaml.YAMLError(f"aliases make more than {_MAX_VALUES:,} values of it")


def _check_merged(text: str, origin: str) -> None:
    """Raise UserError for a text in which Git has left both sides of a conflict."""
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("<<<<<<< "):
            raise UserError(
                f"{origin} holds both sides of a merge from line {number} on: keep one, and remove "
                "the lines that begin with <<<<<<<, ======= and >>>>>>>."
            )


def load_yaml(text: str | bytes, origin: str) -> Any:
    """Return the content of YAML as a params file has it; `origin` names the text in errors.

    Raises:
        UserError: The text is not YAML, or makes too much of it by aliases.
    """
    try:
        decoded = text.decode() if isinstance(text, bytes) else text
        _check_merged(decoded, origin)
        _check_size(yaml.compose(decoded, ParamsLoader))
        return yaml.load(decoded, ParamsLoader)
    # PyYAML raises other errors than its own for a date of the 99th month or an endless number.
    except (yaml.YAMLError, ValueError, AttributeError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{origin} cannot be read as YAML: {reason}.") from None


def read_params(path: Path) -> dict[str, Any]:
    """Return every section of a params file, not yet validated.

    Raises:
        UserError: When the file is missing, is not YAML, or holds anything but the SECTIONS.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing: run in the project's folder, or bring it back with "
            f"`git checkout {path}`."
        ) from None
    return parse_params(text, path)


def parse_params(text: str | bytes, path: Path) -> dict[str, Any]:
    """Read every section from the text of a params file; raise UserError as `read_params` does.

    path: names the file in errors.
    """
    content = load_yaml(text, str(path))
    if not isinstance(content, dict):
        raise UserError(f"{path} must hold the sections {', '.join(SECTIONS)}; it holds none.")
    unknown = sorted(set(content) - set(SECTIONS))
    if unknown:
        raise UserError(
            f"{path}: unknown section {', '.join(unknown)}; the sections are {', '.join(SECTIONS)}."
        )
    return content


def load_section(name: str, schema: type[Section], path: Path = Path("params.yaml")) -> Section:
    """Return section `name` of the params file as an instance of `schema`.

    Raises:
        UserError: Names every wrong key in full, what was given and what is allowed.
    """
    return validate_section(name, schema, read_params(path), path)


def validate_section(
    name: str, schema: type[Section], content: dict[str, Any], path: Path
) -> Section:
    """Return section `name` of `content`, which `read_params` has read from `path`.

    Raises:
        UserError: As `load_section`.
    """
    if name not in content:
        moved = _moved_to(name, content)
        raise UserError(f"{path}: {moved or f'the section {name} is missing.'}")
    section = content[name] if content[name] is not None else {}
    if not isinstance(section, dict):
        raise UserError(f"{path}: {name} must be a mapping of keys to values, not {section!r}.")
    try:
        return schema.model_validate(section)
    except ValidationError as error:
        sentences = _sentences(name, error.errors())
        raise UserError(f"{path}: {' '.join(sentences)}") from None


def _moved_to(section: str, content: dict[str, Any]) -> str:
    """Return a sentence for each knob that `content` has where it was before it moved there."""
    told = []
    for before, now in RENAMED.items():
        place: Any = content
        for part in before.split("."):
            place = place.get(part, None) if isinstance(place, dict) else None
        if place is not None and now.startswith(f"{section}."):
            told.append(f"{before} is now {now}.")
    return " ".join(told)


def _sentences(section: str, errors: list[ErrorDetails]) -> list[str]:
    """Return one sentence for each error; a renamed key is not said to be missing besides."""
    renamed = {RENAMED.get(_full_name(section, details)) for details in errors}
    told = [
        _sentence(section, details)
        for details in errors
        if details["type"] != "missing" or _full_name(section, details) not in renamed
    ]
    return list(dict.fromkeys(told))


def _full_name(section: str, details: ErrorDetails) -> str:
    return ".".join([section, *(str(part) for part in details["loc"])])


def _sentence(section: str, details: ErrorDetails) -> str:
    key = _full_name(section, details)
    if details["type"] == "missing":
        return f"{key} is missing."
    if details["type"] == "extra_forbidden":
        unknown = f"{key} is unknown; remove it or correct its name."
        return f"{key} is now {RENAMED[key]}." if key in RENAMED else unknown
    if details["type"] == "model_type":
        return f"{key} is {details['input']!r}: it must be a mapping of keys to values."
    if details["type"] in ("too_short", "too_long"):
        limits = details.get("ctx", {})
        limit = "at least" if details["type"] == "too_short" else "at most"
        number = limits.get("min_length", limits.get("max_length", 0))
        return f"{key} is {details['input']!r}: it must have {limit} {counted(number, 'value')}."
    reason = details["msg"].removeprefix("Value error, ")
    if details["type"] == "value_error":
        # A contradiction between keys names them itself.
        return reason if f"{section}." in reason else f"{key}: {reason}"
    given = details["input"]
    if details["type"] == "string_type" and isinstance(given, bool | int | float | date):
        reason += "; a number, a date, yes and no need quotes"
        # `no` has become False, and 1.10 is 1.1: in quotes, these would be other texts.
        reason += "" if isinstance(given, bool | float) else f", such as '{given!s}'"
    shown = str(given) if isinstance(given, date) else repr(given)
    return f"{key} is {shown}: {reason[:1].lower()}{reason[1:]}."
