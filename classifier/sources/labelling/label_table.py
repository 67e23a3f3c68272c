"""Take the labels of images from a table."""

import os
import sys
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

from classifier.core.errors import UserError
from classifier.sources.labelling.file_index import FileIndex
from classifier.sources.labelling.labels import (
    KeptOut,
    Labels,
    check_rows,
    clean_class,
    describe_columns,
    describe_labels,
    further_columns,
    split_of_value,
    with_splits_of_folders,
)
from classifier.sources.labelling.table_files import Table, check_columns, is_watched, read_table
from classifier.sources.names import clean_name
from classifier.sources.params import DownloadParams, TableParams
from classifier.sources.tables import LabelledImage, SeenFile, SplitName

# Address of a local file in the exports of Label Studio, percent-encoded.
_LOCAL_FILES = "/data/local-files/?d="
_TRUE = frozenset({"1", "1.0", "true", "True", "TRUE"})


class _Row(NamedTuple):
    """A row of a table: `name` as the table has it, `class_name` empty where there is none."""

    name: str
    class_name: str
    split: SplitName
    columns: tuple[str, ...]


class _Matches:
    """The rows of each image, collected row by row.

    Attributes:
        images: What the first row of each image says, by its place; None where there is none.
        conflicts: Classes of images of which rows say different ones, by place.
        no_files: Rows that fit no file.
        ambiguous: Rows that fit several.
    """

    def __init__(self, paths: Sequence[str], group: int | None) -> None:
        """Begin without rows; `group` is the place of the column of groups among the columns."""
        self._index = FileIndex(paths)
        self._paths = paths
        self._group = group
        self.images: list[LabelledImage | None] = [None] * len(paths)
        self.conflicts: dict[int, set[str]] = {}
        self.no_files: list[SeenFile] = []
        self.ambiguous: list[SeenFile] = []

    def add(self, row: _Row, shared: Callable[[], str]) -> None:
        """Give a row to the image that it names; `shared` returns how all names begin."""
        name = _as_path(row.name)
        places = self._index.find(name, row.split)
        if not places and shared():
            places = self._index.find(name.removeprefix(shared()), row.split)
        if not places:
            self.no_files.append(SeenFile(row.name, 0, "no file"))
        elif len(places) > 1:
            fits = " and ".join(self._paths[place] for place in places[:2])
            self.ambiguous.append(SeenFile(row.name, 0, "ambiguous", f"fits {fits}"))
        elif (first := self.images[places[0]]) is None:
            path = self._paths[places[0]]
            self.images[places[0]] = LabelledImage(path, row.class_name, row.split, row.columns)
        elif self._label(first) != self._label(row):
            told = self.conflicts.setdefault(places[0], {self._label(first)})
            told.add(self._label(row))

    def _label(self, row: "_Row | LabelledImage") -> str:
        """Return what rows of one image must agree on, in words: class, split and group."""
        further = [row.split] if row.split else []
        if self._group is not None and row.columns[self._group]:
            further.append(f"group {row.columns[self._group]}")
        name = row.class_name or "none"
        return f"{name} ({', '.join(further)})" if further else name


def label_by_table(
    files: Sequence[SeenFile], read: Callable[[str], bytes | None], params: DownloadParams
) -> Labels:
    """Return the labels of the images among `files` that the tables of download.labels say.

    Where the tables say no splits, folders that name them are honoured.

    Args:
        files: Sorted by path.
        read: Returns the content of a file of the source; None if there is none.
        params: Section `download`.

    Raises:
        UserError: A table cannot be read, or rows and files do not fit and `on_bad_row` is `error`.
    """
    assert params.labels is not None
    tables = list(_open_tables(params.labels, read, params))
    paths = [file.path for file in files if file.status == "image"]
    columns = _further(tables, params.labels)
    group = params.labels.group
    matches = _Matches(paths, columns.index(group) if group in columns else None)
    names: dict[str, SplitName] = {}
    for table, split in tables:
        # Asked for only where a name fits no file: it takes another pass over the table.
        shared = cache(partial(_shared_folders, table, params.labels.path))
        for row in _rows(table, split, params.labels, columns, names):
            matches.add(row, shared)
    source = " and ".join(table.name for table, _ in tables)
    images, kept_out = _decide(paths, matches)
    for file in files:
        if any(_is_table(file.path, table.name, params) for table, _ in tables):
            kept_out[file.path] = KeptOut("table", "")
    _check(matches, kept_out, params, source)
    if not names:
        images, names = with_splits_of_folders(images)
    origin = f"from {_named(params.labels)} of {source}"
    lines = describe_labels(images, origin, names)
    lines += describe_columns(further_columns(columns), params.labels.group)
    no_files = [*matches.no_files, *matches.ambiguous]
    return Labels(images, further_columns(columns), kept_out, no_files, lines)


def _open_tables(
    labels: TableParams, read: Callable[[str], bytes | None], params: DownloadParams
) -> Iterator[tuple[Table, SplitName]]:
    """Yield each table and the split that it is of (empty: not said)."""
    files: Mapping[SplitName, str]
    files = {"": labels.file} if isinstance(labels.file, str) else {**labels.file}
    for split, name in files.items():
        content = _content(name, read, params)
        table = read_table(name, content, labels.path)
        wanted = (labels.class_name, labels.split, labels.group)
        check_columns(table, [column for column in wanted if column is not None])
        check_columns(table, labels.one_hot or [])
        yield table, split


def _content(name: str, read: Callable[[str], bytes | None], params: DownloadParams) -> bytes:
    path = Path(name)
    if path.is_file():
        check_watched(name, params)
        return path.read_bytes()
    content = read(clean_name(name))
    if content is None:
        raise UserError(
            f"there is no table {name}, neither by this path nor within {params.url}: correct "
            "download.labels.file."
        )
    return content


def check_watched(name: str, params: DownloadParams) -> None:
    """Raise UserError if a change of the table at the path `name` would not be noticed."""
    if not is_watched(name, params.watch):
        remedy = (
            f"set download.watch to the folder that holds it and {params.url}"
            if params.source == "folder"
            else f"set download.watch to {name!r}, and download.checksum, which pins the archive"
        )
        raise UserError(
            f"the table {name} lies outside of download.watch ({params.watch}), so that a change "
            f"would not be noticed: {remedy}."
        )


def _shared_folders(table: Table, path_column: str) -> str:
    """Return the folders with which all names of a table begin, such as those of another machine.

    Names are cut by no less: of `train/1.jpg` and `test/1.jpg`, neither may mean `1.jpg`.
    """
    place = table.columns.index(path_column)
    names = (_as_path(row[place]) for row in table.rows())
    first = last = next(names, "")
    for name in names:
        if name < first:
            first = name
        elif name > last:
            last = name
    shared = 0  # letters, up to and with the last slash that both begin with
    for end, (one, other) in enumerate(zip(first, last, strict=False), start=1):
        if one != other:
            break
        if one == "/":
            shared = end
    return first[:shared]


def _as_path(name: str) -> str:
    """Return a name with `/` between folders, also of Windows and of Label Studio's addresses."""
    path = name.strip().replace("\\", "/")
    if _LOCAL_FILES in path:
        path = urllib.parse.unquote(path.partition(_LOCAL_FILES)[2])
    return path


def _is_table(path: str, name: str, params: DownloadParams) -> bool:
    """Return whether the file `path` of the source is the table that is called `name`."""
    return name in (path, os.path.join(params.url or "", path))  # noqa: PTH118 (a Path drops ./)


def _further(tables: Sequence[tuple[Table, SplitName]], labels: TableParams) -> list[str]:
    """Return the columns of all tables that have no other use, in their order."""
    used = {labels.path, labels.class_name, labels.split, *(labels.one_hot or [])}
    found = {column: None for table, _ in tables for column in table.columns if column not in used}
    return list(found)


def _rows(
    table: Table,
    split: SplitName,
    labels: TableParams,
    columns: Sequence[str],
    names: dict[str, SplitName],
) -> Iterator[_Row]:
    """Yield the rows of a table; add to `names` what says the split, and which it is."""
    place = {column: number for number, column in enumerate(table.columns)}
    further = [place.get(column) for column in columns]
    one_hot = [(place[name], name) for name in labels.one_hot or []]
    if split:
        names[table.name] = split
    for row in table.rows():
        given = split
        if labels.split is not None:
            value = row[place[labels.split]]
            given = split_of_value(value, f"the column {labels.split} of {table.name}")
            if given:
                names[value] = given
        if labels.class_name is not None:
            class_name = row[place[labels.class_name]]
        else:
            hot = [name for number, name in one_hot if row[number].strip() in _TRUE]
            class_name = hot[0] if len(hot) == 1 else ""
        values = tuple("" if number is None else row[number] for number in further)
        # A million rows share the few names of classes.
        class_name = sys.intern(clean_class(class_name))
        yield _Row(row[place[labels.path]], class_name, given, values)


def _decide(
    paths: Sequence[str], matches: _Matches
) -> tuple[list[LabelledImage], dict[str, KeptOut]]:
    """Return the images that take part, and why each other does not."""
    images: list[LabelledImage] = []
    kept_out: dict[str, KeptOut] = {}
    no_row, no_label = KeptOut("no row", ""), KeptOut("no label", "")
    for place, (path, image) in enumerate(zip(paths, matches.images, strict=True)):
        if image is None:
            kept_out[path] = no_row
        elif told := matches.conflicts.get(place):
            kept_out[path] = KeptOut("two labels", " and ".join(sorted(told)))
        elif not image.class_name:
            kept_out[path] = no_label
        else:
            images.append(image)
    return images, kept_out


def _check(
    matches: _Matches, kept_out: Mapping[str, KeptOut], params: DownloadParams, source: str
) -> None:
    by_status: dict[str, list[str]] = {}
    for path, (status, _) in kept_out.items():
        by_status.setdefault(status, []).append(path)
    problems = {
        ("row", "without file"): [row.path for row in matches.no_files],
        ("row", "for several files"): [row.path for row in matches.ambiguous],
        ("image", "without row"): by_status.get("no row", []),
        ("image", "without label"): by_status.get("no label", []),
        ("image", "with two labels"): by_status.get("two labels", []),
    }
    check_rows(problems, params.on_bad_row, source)


def _named(labels: TableParams) -> str:
    if labels.class_name is not None:
        return f"column {labels.class_name}"
    return f"{len(labels.one_hot or [])} one-hot columns"
