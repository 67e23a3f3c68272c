"""Read recorded answers, and the reference values that travel with a model."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from classifier.core.errors import UserError, describe_os_error
from classifier.inference.manifest import (
    export_folder,
    parse_json,
    read_exported,
    read_manifest,
)
from classifier.inference.measures import MEASURES, OF_ONE_VIEW, REFERENCE
from classifier.processing.decision import Decision
from classifier.processing.softmax import DECISION
from classifier.processing.travelling import first_problem, parse_travelling

# What is raised where JSON holds something else than expected.
_WRONG = (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError)
# Beyond these, a number is not what its name says; an outside score may have either sign.
_MOST = 1e9
_RANGES = {
    "confidence": (0, 1),
    "brightness": (0, 255),
    **dict.fromkeys(("width", "height", "views"), (1, _MOST)),
}


class _Described(BaseModel):
    """Content of `reference.json` that is read; a text or a truth value is no number."""

    model_config: ClassVar[ConfigDict] = ConfigDict(strict=True, allow_inf_nan=False)

    classes: list[str]
    confusion: list[list[int]]
    values: dict[str, list[float]]


@dataclass(frozen=True)
class Values:
    """Measures of images, and the classes that they were taken for.

    Attributes:
        measures: by name (MEASURES), float64 `(n,)`; those that were not recorded are absent.
        predicted: number of images taken for each class, int64 `(classes,)`.
        merged: number of answers that merge several views of their image.
    """

    measures: dict[str, np.ndarray]
    predicted: np.ndarray
    merged: int = 0


@dataclass(frozen=True)
class ReferenceValues:
    """`reference.json`: what the model gave on the test split.

    Attributes:
        classes: names of the classes.
        confusion: images of each actual class (rows) by predicted class (columns), int64.
        values: of the test images.
        versions: what recorded answers call this model.
    """

    classes: list[str]
    confusion: np.ndarray
    values: Values
    versions: frozenset[str]


def read_reference(models: Path) -> ReferenceValues:
    """Read the reference values of the model in `models`, or in an export folder.

    Raises:
        UserError: where there are none, or where they are damaged.
    """
    folder = export_folder(models)
    entries = read_manifest(folder)
    if REFERENCE not in entries:
        raise UserError(f"{folder} has no {REFERENCE}: run the export stage again (`dvc repro`).")
    content = read_exported(folder, REFERENCE)
    try:
        classes, confusion, measures = _parsed(content)
    except _WRONG as error:
        raise UserError(
            f"{folder / REFERENCE} is damaged ({error}): copy the folder again, or run the export "
            "stage."
        ) from None
    digests = {entry.sha256 for entry in entries.values()}
    if DECISION in entries:
        rules = parse_travelling(read_exported(folder, DECISION), Decision, DECISION, "evaluate")
        # What the runtime torch, which runs the weights and not the export, calls the model.
        if rules.model is not None:
            digests.add(rules.model)
    versions = frozenset(digest[:12] for digest in digests)
    return ReferenceValues(classes, confusion, Values(measures, confusion.sum(axis=0)), versions)


def _parsed(content: bytes) -> tuple[list[str], np.ndarray, dict[str, np.ndarray]]:
    try:
        described = _Described.model_validate_json(content)
    except ValidationError as error:
        raise ValueError(first_problem(error)) from None
    classes = described.classes
    confusion = np.array(described.confusion, np.int64)
    measures = {
        name: np.array(values, np.float64)
        for name, values in described.values.items()
        if name in MEASURES
    }
    if confusion.shape != (len(classes),) * 2 or confusion.min() < 0 or confusion.sum() == 0:
        raise ValueError("the confusion matrix does not fit the classes")
    if not measures or any(values.size == 0 for values in measures.values()):
        raise ValueError("a measure has no values")
    return classes, confusion, measures


def read_answers(path: Path, reference: ReferenceValues) -> Values:
    """Read answers as `classifier predict --json` and `classifier serve --record` write them.

    A measure counts where all answers have it. Confidence and outside score of several views are no
    measures: those of the test split are of one view.

    Raises:
        UserError: where a line is no answer or is of another model, or there are no lines.
    """
    places = {name: index for index, name in enumerate(reference.classes)}
    predicted = np.zeros(len(places), np.int64)
    columns: dict[str, list[float]] = {name: [] for name in MEASURES}
    count = merged = 0
    try:
        opened = path.open("rb")
    except OSError as error:
        raise UserError(
            f"{describe_os_error(error)}: give what `classifier serve --record` or `classifier "
            "predict --json` has written."
        ) from None
    with opened as lines:
        for number, line in enumerate(lines, start=1):
            try:
                answer = parse_json(line)
                best = answer["top"][0]
                predicted[places[best["label"]]] += 1
                given = answer | {"confidence": _number("confidence", best["probability"])}
                several = _number("views", answer.get("views", 1)) != 1
                merged += several
                for name in MEASURES:
                    if given.get(name) is not None and not (several and name in OF_ONE_VIEW):
                        columns[name].append(_number(name, given[name]))
                version = answer.get("model")
                is_ours = version is None or version in reference.versions
            except _WRONG as error:
                raise UserError(
                    f"{path}: line {number} is no answer of this model ({_reason(error)}): give "
                    "what `classifier predict --json` or `classifier serve --record` has written."
                ) from None
            if not is_ours:
                raise UserError(
                    f"{path}: line {number} is of another model, {version}: give that model by "
                    "--models, or leave its answers out."
                )
            count = number
    if count == 0:
        raise UserError(f"{path} holds no answers.")
    measures = {name: np.array(values) for name, values in columns.items() if len(values) == count}
    return Values(measures, predicted, merged)


def _number(name: str, value: Any) -> float:
    low, high = _RANGES.get(name, (-_MOST, _MOST))
    if isinstance(value, bool | str) or not low <= float(value) <= high:
        raise ValueError(f"{value!r} is no number from {low:g} to {high:g}, as {name} is")
    return float(value)


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{error} is missing or unknown"
    # What Python says of other types names its own, such as NoneType.
    return str(error) if isinstance(error, ValueError) else "it has another form"


def names_of(measures: Iterable[str]) -> list[str]:
    """Return measures in the order of MEASURES."""
    return [name for name in MEASURES if name in set(measures)]
