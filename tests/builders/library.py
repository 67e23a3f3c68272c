"""Copies of the library's source, in which tests edit files."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from classifier.core.code import PACKAGES, ROOT


def copy_library(folder: Path) -> Path:
    """Copy the source of all packages below `folder`, and return the folder."""
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, folder / package, ignore=ignored)
    return folder


def edit(path: Path) -> None:
    """Append a comment, which is a change of any source file and of any page."""
    with path.open("a", encoding="utf-8") as file:
        file.write("\n# changed\n")


@contextmanager
def edited(path: Path) -> Iterator[None]:
    """Inside, the file is changed by `edit`."""
    before = path.read_bytes()
    edit(path)
    yield
    path.write_bytes(before)
