"""Write and read the tables of data/raw/: the label of each image, and every file that was seen."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from classifier.core.files import write_rows

LABELS, FILES = "labels.csv", "files.csv"
_LONGEST_CELL = (1 << 31) - 1  # letters, the most that `csv` takes on every system
SplitName = Literal["train", "val", "test", ""]


class LabelledImage(NamedTuple):
    """A row of labels.csv: an image that takes part.

    Attributes:
        path: In the archive or below the folder of images.
        class_name: Its class.
        split: The split that the data gives; empty where it is to be drawn.
        columns: Values of the further columns, such as a patient or a camera.
    """

    path: str
    class_name: str
    split: SplitName
    columns: tuple[str, ...] = ()


class SeenFile(NamedTuple):
    """A row of files.csv: a file of the source.

    Attributes:
        path: In the archive or below the folder of images.
        size: In bytes.
        status: `image` for an image that takes part, otherwise the rule that keeps the file out.
        reason: What a person should know about it besides; mostly empty.
    """

    path: str
    size: int
    status: str
    reason: str = ""


def write_labels(path: Path, images: Iterable[LabelledImage], columns: Sequence[str] = ()) -> None:
    """Write labels.csv; `images` are sorted by path, `columns` names their further columns."""
    rows = ((image[0], image[1], image[2], *image.columns) for image in images)
    write_rows(path, ("path", "class", "split", *columns), rows)


def write_files(path: Path, files: Iterable[SeenFile]) -> None:
    """Write files.csv; `files` are sorted by path."""
    write_rows(path, ("path", "bytes", "status", "reason"), files)


def read_columns(path: Path) -> list[str]:
    """Return the names of the further columns of labels.csv."""
    return next(_rows(path))[3:]


def read_labels(path: Path) -> Iterator[LabelledImage]:
    """Yield the rows of labels.csv, sorted by path."""
    rows = _rows(path)
    next(rows)
    for name, class_name, split, *columns in rows:
        assert split in ("train", "val", "test", "")
        yield LabelledImage(name, class_name, split, tuple(columns))


def read_files(path: Path) -> Iterator[SeenFile]:
    """Yield the rows of files.csv, sorted by path."""
    rows = _rows(path)
    next(rows)
    for name, size, status, reason in rows:
        yield SeenFile(name, int(size), status, reason)


def allow_long_cells() -> None:
    """Make `csv` read cells of any length: a column of masks or images has longer ones."""
    csv.field_size_limit(_LONGEST_CELL)


def _rows(path: Path) -> Iterator[list[str]]:
    allow_long_cells()
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.reader(file)
