"""Read what the stages before the report wrote: a file that is missing or damaged is named."""

import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from classifier.core.errors import UserError

Json = dict[str, Any]
# Cells by heading.
Row = dict[str, str]


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Raise UserError where the file is missing, or not what its reader expects."""
    try:
        yield
    except FileNotFoundError:
        raise UserError(
            f"{path.as_posix()} is missing: `dvc repro` runs the stage that writes it."
        ) from None
    except (ValueError, EOFError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{path.as_posix()} is damaged ({reason}): `dvc repro` runs the stage that writes it."
        ) from None


def read_bytes(path: Path) -> bytes:
    """Return the file's content; raise UserError if it is missing."""
    with reading(path):
        return path.read_bytes()


def read_json(path: Path) -> Json:
    """Read a JSON file that holds a mapping; raise UserError if it is missing or damaged."""
    with reading(path):
        return json.loads(path.read_bytes())


def read_rows(path: Path) -> list[Row]:
    """Read the rows of a CSV file with all cells as text: a class may be called `NA` or `007`.

    Raises UserError if the file is missing or empty, or a row has not a cell for each heading.
    """
    with reading(path):
        table = csv.reader(io.StringIO(path.read_bytes().decode(), newline=""))
        headings = next(table, [])
        if not headings:
            raise ValueError("it is empty")
        return [dict(zip(headings, cells, strict=True)) for cells in table]


def read_numbers(path: Path) -> pd.DataFrame:
    """Read a CSV file of numbers; raise UserError if it is missing or damaged."""
    with reading(path):
        return pd.read_csv(path)


def read_table(path: Path, names: str) -> pd.DataFrame:
    """Read a CSV file; all cells of the column `names` are text, also `007` and `NA`.

    Raises UserError if the file is missing or damaged.
    """
    with reading(path):
        return pd.read_csv(path, dtype={names: str}, keep_default_na=False, na_filter=False)


def read_images(path: Path) -> np.ndarray:
    """Read an array of images, uint8; raise UserError if the file is missing or damaged."""
    with reading(path):
        return np.load(path)
