"""Read and rewrite data/corrections.csv: labels that people corrected, and excluded images.

The file is part of the repository, so that every correction has an author and a date. Raw data
never changes.
"""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from classifier.core.errors import UserError
from classifier.core.files import write_rows

COLUMNS = ("path", "class", "reason")
EXCLUDE = "exclude"


class Correction(NamedTuple):
    """A row of data/corrections.csv.

    Attributes:
        path: Of the image in labels.csv, or `sha256:` and the digest of its file.
        class_name: The right class, or `exclude`. The class that the image has confirms it.
        reason: Why; free text.
    """

    path: str
    class_name: str
    reason: str


def read_corrections(path: Path) -> list[Correction]:
    """Return the rows in their order; none if there is no such file.

    Raises:
        UserError: The file is no table with the three columns, or a value is missing.
    """
    if not path.exists():
        return []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header, *rows = list(csv.reader(file, strict=True)) or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is no CSV file in UTF-8 ({error}): correct it.") from None
    if tuple(header) != COLUMNS:
        raise UserError(f"{path} must begin with the line {','.join(COLUMNS)}.")
    corrections = []
    for number, row in enumerate(rows, 2):
        if not row:
            continue
        if len(row) != len(COLUMNS) or not row[0] or not row[1]:
            raise UserError(
                f"line {number} of {path} must hold path,class,reason; class may be {EXCLUDE}."
            )
        corrections.append(Correction(*row))
    return corrections


def write_corrections(path: Path, corrections: Iterable[Correction]) -> None:
    """Write all rows; the file is whole at every moment."""
    write_rows(path, COLUMNS, corrections)
