"""Read sweep.yaml, a range or choices for some knobs of section train, and draw values."""

from pathlib import Path
from typing import Self

from optuna import Trial
from pydantic import Field, RootModel, ValidationError, model_validator

from classifier.core.config import Params, load_yaml
from classifier.core.errors import UserError
from classifier.processing.idle_knobs import idle_knobs
from classifier.training.params import TrainParams

Scalar = bool | int | float | str | None


class Range(Params):
    """From low to high; whole numbers where both are. log: by order of magnitude."""

    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _ascends(self) -> Self:
        if self.low >= self.high or (self.log and self.low <= 0):
            raise ValueError("low must be less than high, and greater than 0 with log.")
        return self


class Choices(Params):
    """One of several values."""

    choices: list[Scalar] = Field(min_length=2)


Space = dict[str, Range | Choices]


def read_space(path: Path) -> Space:
    """Return ranges and choices by full name of the knob; raise UserError where one is wrong."""
    try:
        content = load_yaml(path.read_bytes(), str(path))
        space = RootModel[Space].model_validate(content).root
    except FileNotFoundError:
        raise UserError(
            f"{path} is missing: it must name the knobs to search and their ranges."
        ) from None
    except ValidationError as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{path} must give each knob low and high (and log: true), or choices: {reason}"
        ) from None
    for name in space:
        if not name.startswith("train."):
            raise UserError(f"{path}: {name} is no knob of section train, which a sweep runs.")
    if not space:
        raise UserError(f"{path} names no knobs to try.")
    return space


def check_effect(space: Space, params: TrainParams) -> None:
    """Raise UserError where a knob of the sweep changes nothing, so that all trials are alike."""
    if {"train.head", "train.model.freeze", "train.feature_views"} & set(space):
        return
    groups = tuple(f"train.{name}." for name in idle_knobs(params.model_dump()))
    idle = [name for name in space if f"{name}.".startswith(groups)]
    if idle:
        raise UserError(
            f"sweep.yaml: with train.head: {params.head} and train.model.freeze: "
            f"{params.model.freeze}, {', '.join(idle)} changes nothing: name other knobs, or "
            "choose another head."
        )


def rounded(value: Scalar) -> Scalar:
    """Return a number with four significant digits, other values as they are."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


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
