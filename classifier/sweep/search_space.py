"""Read sweep.yaml, a range or choices for some knobs of section train, and draw values."""

from collections.abc import Iterator
from functools import reduce
from itertools import product
from operator import getitem
from pathlib import Path
from typing import Annotated, Any, Self

from optuna import Trial
from pydantic import Field, model_validator

from classifier.core.config import Params, either, load_yaml, validate_section
from classifier.core.errors import UserError
from classifier.processing.idle_knobs import DECIDING, idle_knobs, unread_knobs
from classifier.training.params import TrainParams

Scalar = bool | int | float | str | None
_Number = Annotated[int | float, either("a finite number")]
_Choice = Annotated[Scalar, either("a finite number, a text, true, false or null")]


class Range(Params):
    """From low to high; whole numbers where both are. log: by order of magnitude."""

    low: _Number
    high: _Number
    log: bool = False

    @model_validator(mode="after")
    def _ascends(self) -> Self:
        if self.low >= self.high or (self.log and self.low <= 0):
            raise ValueError("low must be less than high, and greater than 0 with log.")
        # A drawn value that is rounded would else lie outside, such as 1.0 for 0.99998.
        whole = isinstance(self.low, int) and isinstance(self.high, int)
        if not whole and any(rounded(float(end)) != end for end in (self.low, self.high)):
            raise ValueError("give low and high four digits at most, to which values are rounded.")
        return self


class Choices(Params):
    """One of several values."""

    choices: list[_Choice] = Field(min_length=2)

    @model_validator(mode="after")
    def _differ(self) -> Self:
        if len({repr(choice) for choice in self.choices}) < len(self.choices):
            raise ValueError("choices must differ.")
        return self


Space = dict[str, Range | Choices]


def read_space(path: Path) -> Space:
    """Return ranges and choices by full name of the knob; raise UserError where one is wrong."""
    try:
        content = load_yaml(path.read_bytes(), str(path))
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing: it must name the knobs to search and their ranges."
        ) from None
    if not isinstance(content, dict):
        raise UserError(f"{path} must give each knob low and high (and log: true), or choices.")
    for name in content:
        if not name.startswith("train."):
            raise UserError(f"{path}: {name} is no knob of section train, which a sweep runs.")
    if not content:
        raise UserError(f"{path} names no knobs to try.")
    return {name: _values_of(name, content, path) for name in content}


def _values_of(knob: str, content: dict[str, Any], path: Path) -> Range | Choices:
    given = content[knob]
    if not isinstance(given, dict) or not {"low", "high", "choices"} & set(given):
        raise UserError(f"{path}: {knob} must have low and high (and log: true), or choices.")
    return validate_section(knob, Choices if "choices" in given else Range, content, path)


def check_effect(space: Space, params: TrainParams) -> None:
    """Raise UserError where a knob of the sweep changes nothing, so that trials would be alike.

    A knob counts if it changes something beside one of the values that the sweep gives to others.
    """
    found = [idle_knobs(train) | unread_knobs(train) for train in _settings(space, params)]
    told = [
        f"{knob} (because of train.{_reason(knob, found[0])})"
        for knob in space
        if all(_reason(knob, idle) for idle in found)
    ]
    if told:
        raise UserError(
            f"sweep.yaml: {', '.join(told)} would change nothing: name other knobs there, or give "
            "those in brackets other values in params.yaml."
        )


def _reason(knob: str, idle: dict[str, str]) -> str | None:
    """Return the knob whose value is why this one changes nothing; None where it counts."""
    return next((by for name, by in idle.items() if f"{knob}.".startswith(f"train.{name}.")), None)


def _settings(space: Space, params: TrainParams) -> Iterator[dict[str, Any]]:
    """Yield section `train` with each combination of the values that decide what others do.

    Of a range these are its ends.
    """
    ends = {
        name.removeprefix("train."): of.choices if isinstance(of, Choices) else [of.low, of.high]
        for name, of in space.items()
        if name.removeprefix("train.") in DECIDING
    }
    for values in product(*ends.values()):
        train = params.model_dump()
        for name, value in zip(ends, values, strict=True):
            *groups, last = name.split(".")
            reduce(getitem, groups, train)[last] = value
        yield train


def rounded(value: Scalar) -> Scalar:
    """Return a number with four significant digits, other values as they are."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


def shown(value: Scalar) -> bool | int | float | str:
    """Return a value as a table shows it: rounded, and null as YAML writes it."""
    found = rounded(value)
    return "null" if found is None else found


def suggest(trial: Trial, space: Space) -> dict[str, Scalar]:
    """Return a value for each knob; those of ranges have four significant digits."""
    values: dict[str, Scalar] = {}
    for name, of in space.items():
        if isinstance(of, Choices):
            values[name] = trial.suggest_categorical(name, of.choices)
        elif isinstance(of.low, int) and isinstance(of.high, int):
            values[name] = trial.suggest_int(name, of.low, of.high, log=of.log)
        else:
            values[name] = rounded(trial.suggest_float(name, of.low, of.high, log=of.log))
    return values
