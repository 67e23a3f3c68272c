"""What a user may get wrong, case by case: the names are those of docs/bad-input.md.

Every case is a function that prepares the current folder, an empty one, so that a stage must refuse
to run there; `stack` closes what it opens. The cases are in its neighbours.
"""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import yaml


class Case(NamedTuple):
    """stage: its name, the program that is run."""

    stage: str
    prepare: Callable[[ExitStack], None]


def add_case(
    cases: dict[str, Case], stage: str, name: str
) -> Callable[[Callable[[ExitStack], None]], None]:
    """A decorator that adds the function to `cases`."""

    def add(prepare: Callable[[ExitStack], None]) -> None:
        cases[name] = Case(stage, prepare)

    return add


def write_params(**sections: Any) -> None:
    Path("params.yaml").write_text(yaml.safe_dump(sections), "utf-8")
