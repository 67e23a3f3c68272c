"""Give the rows of a table to the images that they name."""

import urllib.parse
from collections.abc import Callable, Sequence
from typing import NamedTuple

from classifier.core.addresses import local_path
from classifier.sources.labelling.file_index import FileIndex
from classifier.sources.params import DownloadParams
from classifier.sources.tables import LabelledImage, SeenFile, SplitName

# Address of a local file in the exports of Label Studio, percent-encoded.
_LOCAL_FILES = "/data/local-files/?d="


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        name: Of the image, as the table has it.
        class_name: Its class; empty where there is none.
        split: That the table says; empty where it says none.
        columns: Values of the further columns.
        others: Further classes that a one-hot row gives the image, which are too many.
    """

    name: str
    class_name: str
    split: SplitName
    columns: tuple[str, ...]
    others: tuple[str, ...] = ()


class Difference(NamedTuple):
    """Two values of one column in rows of the image `path`."""

    path: str
    one: str
    other: str


class Matches:
    """The rows of each image, collected row by row.

    Attributes:
        images: What the first row of each image says, by its place; None where there is none.
        conflicts: Labels of each image that is given different ones, by place.
        no_files: Rows that fit no file.
        ambiguous: Rows that fit several.
        class_names: Of all rows, also of those that fit no file.
        repeats: Number of rows that give an image the same class, split and group once more.
    """

    def __init__(self, paths: Sequence[str], group: int | None, folder: str = "") -> None:
        """Begin without rows.

        Args:
            paths: Of the images.
            group: Place of the column of groups among the columns; None where there is none.
            folder: Whole path of the folder of the images, with a slash at the end; names of rows
                may begin with it. Empty for an archive.
        """
        self._index = FileIndex(paths)
        self._folder = folder
        self._paths = paths
        self._group = group
        # Another value of a column than the first row has, by place and column.
        self._others: dict[int, dict[int, str]] = {}
        self.images: list[LabelledImage | None] = [None] * len(paths)
        self.conflicts: dict[int, set[str]] = {}
        self.no_files: list[SeenFile] = []
        self.ambiguous: list[SeenFile] = []
        self.class_names: set[str] = set()
        self.repeats = 0

    def add(self, row: Row, shared: Callable[[], str]) -> None:
        """Give a row to the image that it names; `shared` returns how all names begin."""
        name = as_path(row.name).removeprefix(self._folder)
        self.class_names.update(_classes(row))
        places = self._index.find(name, row.split)
        if not places:
            places = self._index.find_without(shared(), name, row.split)
        if not places:
            self.no_files.append(SeenFile(row.name, 0, "no file"))
        elif len(places) > 1:
            fits = " and ".join(self._paths[place] for place in places[:2])
            self.ambiguous.append(SeenFile(row.name, 0, "ambiguous", f"fits {fits}"))
        else:
            self._give(places[0], row)

    def _give(self, place: int, row: Row) -> None:
        first = self.images[place]
        if first is None:
            path = self._paths[place]
            self.images[place] = LabelledImage(path, row.class_name, row.split, row.columns)
        if row.others or (first is not None and self._label(first) != self._label(row)):
            told = self.conflicts.setdefault(place, {self._label(first or row)})
            told.update(self._label(row._replace(class_name=name)) for name in _classes(row))
        elif first is not None:
            self.repeats += 1
            if first.columns != row.columns:
                others = self._others.setdefault(place, {})
                for column, value in enumerate(row.columns):
                    if value != first.columns[column]:
                        others.setdefault(column, value)

    def differences(self) -> dict[int, Difference]:
        """Return an example for each column that differs in rows of an image that takes part."""
        found: dict[int, Difference] = {}
        for place in sorted(self._others.keys() - self.conflicts.keys()):
            first = self.images[place]
            assert first is not None
            if not first.class_name:
                continue
            for column, value in self._others[place].items():
                found.setdefault(column, Difference(first.path, first.columns[column], value))
        return dict(sorted(found.items()))

    def _label(self, row: Row | LabelledImage) -> str:
        """Return what rows of one image must agree on, in words: class, split and group."""
        further = [row.split] if row.split else []
        if self._group is not None and row.columns[self._group]:
            further.append(f"group {row.columns[self._group]}")
        name = row.class_name or "none"
        return f"{name} ({', '.join(further)})" if further else name


def _classes(row: Row) -> tuple[str, ...]:
    return (row.class_name, *row.others)


def whole_path(params: DownloadParams) -> str:
    """Return the whole path of the folder of the images, with a slash; empty for an archive."""
    if params.source != "folder" or params.url is None:
        return ""
    return f"{local_path(params.url).absolute().as_posix()}/"


def as_path(name: str) -> str:
    """Return a name with `/` between folders, also of Windows and of Label Studio's addresses."""
    path = name.strip().replace("\\", "/")
    if _LOCAL_FILES in path:
        path = urllib.parse.unquote(path.partition(_LOCAL_FILES)[2])
    return path
