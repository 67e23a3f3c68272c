"""What a user may get wrong, case by case: the names are those of docs/bad-input.md.

Every case is a function that prepares the current folder, an empty one, so that a stage must refuse
to run there; `stack` closes what it opens. The cases are in its neighbours.
"""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from builders.images import class_folders, write_archive
from builders.sources import download_section

PETS = class_folders({"cat": 5, "dog": 5})
IMAGE = PETS["cat/000.png"]


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


def archive(write: Callable[[Path], object], name: str = "data.zip") -> None:
    """Let `write` make the archive that is to be brought."""
    write(Path(name))
    write_params(download=download_section(source="archive", url=name, watch=name))


def members(files: dict[str, bytes], name: str = "data.zip") -> None:
    archive(lambda path: write_archive(path, files), name)
