"""Take the labels of images from a table."""

import os
import reprlib
import sys
import unicodedata
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path

from classifier.core.errors import UserError
from classifier.core.text import one_line
from classifier.sources.labelling.labels import (
    KeptOut,
    Labels,
    check_rows,
    describe_columns,
    describe_labels,
    describe_unused_splits,
    further_columns,
    split_of_value,
    with_composed_classes,
    with_splits_of_folders,
)
from classifier.sources.labelling.row_matches import Difference, Matches, Row, as_path, whole_path
from classifier.sources.labelling.table_files import Table, check_columns, is_watched, read_table
from classifier.sources.names import clean_name
from classifier.sources.params import DownloadParams, TableParams
from classifier.sources.tables import LabelledImage, SeenFile, SplitName

_MOST_NAMED = 10  # classes without images
_TRUE = frozenset({"1", "1.0", "true", "True", "TRUE"})
_FALSE = frozenset({"", "0", "0.0", "false", "False", "FALSE"})


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
    place = columns.index(group) if group in columns else None
    matches = Matches(paths, place, whole_path(params))
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
    lines += [] if names else describe_unused_splits(images)
    lost = matches.class_names - {"", *(image.class_name for image in images)}
    lines += _describe_lost(sorted(lost))
    differences = {columns[place]: found for place, found in matches.differences().items()}
    lines += _describe_repeats(matches.repeats, differences)
    images, columns = _without(images, columns, differences)
    lines += describe_columns(columns, group)
    no_files = [*matches.no_files, *matches.ambiguous]
    images = with_composed_classes(images)
    return Labels(images, further_columns(columns), kept_out, no_files, lines)


def _describe_lost(names: Sequence[str]) -> list[str]:
    """Return a line about classes of which no image takes part, if there are any."""
    shown = [repr(name) for name in names[:_MOST_NAMED]]
    if more := len(names) - len(shown):
        shown.append(f"and {more:,} more")
    return [f"classes of the table without images: {', '.join(shown)}"] if shown else []


def _describe_repeats(repeats: int, differences: Mapping[str, Difference]) -> list[str]:
    """Return lines about rows that repeat an image, and about columns in which they differ."""
    lines = [f"rows that repeat the label of an image: {repeats:,}"] if repeats else []
    if differences:
        told = ", ".join(
            f"{column or 'one without a name'} ({path}: {reprlib.repr(one)} and "
            f"{reprlib.repr(other)})"
            for column, (path, one, other) in differences.items()
        )
        lines.append(f"columns left out, since rows of one image differ in them: {told}")
    return lines


def _without(
    images: list[LabelledImage], columns: list[str], left_out: Container[str]
) -> tuple[list[LabelledImage], list[str]]:
    """Return images and columns without those to be left out."""
    kept = [place for place, column in enumerate(columns) if column not in left_out]
    if len(kept) == len(columns):
        return images, columns
    fewer = [image._replace(columns=tuple(image.columns[i] for i in kept)) for image in images]
    return fewer, [columns[place] for place in kept]


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
    names = (as_path(row[place]) for row in table.rows())
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


def _is_table(path: str, name: str, params: DownloadParams) -> bool:
    """Return whether the file `path` of the source is the table that is called `name`."""
    return name in (path, os.path.join(params.url or "", path))  # noqa: PTH118 (a Path drops ./)


def _further(tables: Sequence[tuple[Table, SplitName]], labels: TableParams) -> list[str]:
    """Return the columns of all tables that have no other use, in their order.

    Raises:
        UserError: A table has two columns of one name, or two without a name that hold values.
    """
    for table, _ in tables:
        _check_nameless(table)
        twice = next((name for name in table.columns if name and table.columns.count(name) > 1), "")
        if twice:
            raise UserError(f"{table.name} has two columns {twice!r}: rename one of them.")
    used = {labels.path, labels.class_name, labels.split, *(labels.one_hot or [])}
    found = {column: None for table, _ in tables for column in table.columns if column not in used}
    return list(found)


def _check_nameless(table: Table) -> None:
    """Raise UserError where two columns without a name hold values; empty ones may be several."""
    nameless = [place for place, name in enumerate(table.columns) if not name]
    if len(nameless) < 2:
        return
    filled = {place for row in table.rows() for place in nameless if row[place].strip()}
    if len(filled) > 1:
        raise UserError(f"{table.name} has several columns without a name: name them.")


def _rows(
    table: Table,
    split: SplitName,
    labels: TableParams,
    columns: Sequence[str],
    names: dict[str, SplitName],
) -> Iterator[Row]:
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
            classes = [row[place[labels.class_name]]]
        else:
            classes = [name for number, name in one_hot if _is_one(row[number], table, name)]
        values = tuple(
            "" if number is None else unicodedata.normalize("NFC", one_line(row[number]))
            for number in further
        )
        # A million rows share the few names of classes.
        class_name, *others = (sys.intern(name.strip()) for name in classes or [""])
        yield Row(row[place[labels.path]], class_name, given, values, tuple(others))


def _is_one(value: str, table: Table, column: str) -> bool:
    """Return whether a value of a one-hot column is 1; raise UserError where it is not 0 either."""
    if value.strip() in _TRUE:
        return True
    if value.strip() in _FALSE:
        return False
    raise UserError(
        f"{table.name} has {reprlib.repr(value)} in the one-hot column {column}: write 1 for the "
        "class of an image, and 0 or nothing for the others."
    )


def _decide(
    paths: Sequence[str], matches: Matches
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
    matches: Matches, kept_out: Mapping[str, KeptOut], params: DownloadParams, source: str
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
