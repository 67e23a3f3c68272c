"""Find and read tables of labels: CSV, TSV, Parquet and JSON files."""

import codecs
import csv
import io
import json
import math
import os
import re
import string
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from classifier.core.errors import UserError
from classifier.core.text import one_line
from classifier.sources.names import ending
from classifier.sources.tables import allow_long_cells

_SEPARATORS = (",", ";", "\t", "|")
# The first line of tables that Excel is to open by itself, such as `sep=;`.
_SEPARATOR_LINE = re.compile(r'"?sep=([^"\s]|\t)"?\s*', re.IGNORECASE)
_PARQUET = (".parquet", ".pq")
_JSON = (".json", ".jsonl", ".ndjson")


class Table(NamedTuple):
    """A table, whose values are all text.

    Attributes:
        name: Of its file, as download.labels has it.
        columns: Names of the columns.
        rows: Reads the rows one by one; each has a value for each column.
    """

    name: str
    columns: list[str]
    rows: Callable[[], Iterator[Sequence[str]]]


def read_table(name: str, content: bytes, path_column: str) -> Table:
    """Return the table in a file; `path_column` is one that it must have.

    Raises:
        UserError: The file is no such table, or lacks the column.
    """
    if ending(name) in _PARQUET:
        table = _parquet(name, content)
    elif ending(name) in _JSON or content[:1] == b"{":
        table = _json(name, content)
    else:
        table = _text(name, content)
    check_columns(table, [path_column])
    return table


def check_columns(table: Table, names: Sequence[str]) -> None:
    """Raise UserError if the table lacks one of these columns or has one of them twice."""
    for name in names:
        if table.columns.count(name) != 1:
            problem = "two columns" if name in table.columns else "no column"
            raise UserError(
                f"{table.name} has {problem} {name!r}, which download.labels names; its columns "
                f"are {', '.join(table.columns[:20])}."
            )


def is_watched(file: str, watch: str) -> bool:
    """Return whether a file is the path `watch` or lies in that folder."""
    inside = os.path.relpath(Path(file).absolute(), Path(watch).absolute())
    return inside == os.curdir or not inside.startswith(os.pardir)


def _text(name: str, content: bytes) -> Table:
    # Decoded line by line: the text of a million rows takes much memory.
    def lines() -> io.TextIOWrapper:
        return io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", newline="")

    allow_long_cells()
    with _sentences(name):
        told = _SEPARATOR_LINE.fullmatch(lines().readline())
        if told:  # leaves an empty line, so that errors count the lines as the file has them
            content = b"\n" + content.removeprefix(codecs.BOM_UTF8)[len(told[0].encode()) :]
        separators = (told[1],) if told else _SEPARATORS
        headers = {each: _header(csv.reader(lines(), delimiter=each)) for each in separators}
    # A wrong separator leaves quotes within the names, or makes fewer columns.
    separator = max(
        headers, key=lambda each: (-"".join(headers[each]).count('"'), len(headers[each]))
    )
    columns = headers[separator]
    if not columns:
        raise UserError(f"{name} is empty: it needs a line of column names and a row an image.")

    def rows() -> Iterator[Sequence[str]]:
        reader = _strict_rows(name, lines(), separator)
        _header(row for _, row in reader)
        for line, row in reader:
            if not any(value.strip() for value in row):
                continue  # as of emptied rows of a spreadsheet
            if len(row) == len(columns):
                yield row
            else:
                raise UserError(
                    f"{name}, line {line}, has {len(row)} values for "
                    f"{len(columns)} columns: correct the line."
                )

    _header(row for _, row in _strict_rows(name, lines(), separator))
    return Table(name, columns, rows)


def _strict_rows(
    name: str, lines: io.TextIOWrapper, separator: str
) -> Iterator[tuple[int, list[str]]]:
    """Yield the last line of each row, and the row.

    Raises:
        UserError: A quotation mark is not closed at the end of its value: the rows after it, to the
            next one, would be a part of that value.
    """
    reader = csv.reader(lines, delimiter=separator, strict=True)
    first = 1
    with _sentences(name):
        try:
            for row in reader:
                yield reader.line_num, row
                first = reader.line_num + 1
        except csv.Error as error:
            raise UserError(
                f"{name} is no CSV table (in the row that begins in line {first}: {error}): "
                "correct its quotation marks."
            ) from None


def _header(rows: Iterator[list[str]]) -> list[str]:
    """Return the first row that is not blank, as names of columns; a line break becomes a space."""
    blank = "".join(_SEPARATORS) + string.whitespace
    first = next((row for row in rows if any(value.strip(blank) for value in row)), [])
    return [one_line(value) for value in first]


@contextmanager
def _sentences(name: str) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError:
        raise UserError(f"{name} is not UTF-8: save it as CSV in UTF-8.") from None
    except csv.Error as error:
        raise UserError(f"{name} is no CSV table ({error}): save it again.") from None


def _parquet(name: str, content: bytes) -> Table:
    try:
        import pyarrow  # noqa: PLC0415 (an extra)
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError:
        raise UserError(
            f"{name} is a Parquet file, which needs one more package: `pip install pyarrow`, or "
            "save the table as CSV."
        ) from None
    try:
        file = parquet.ParquetFile(pyarrow.BufferReader(content))
    except pyarrow.ArrowException as error:
        raise UserError(f"{name} is no Parquet file ({error}): write it again.") from None

    def rows() -> Iterator[Sequence[str]]:
        for batch in file.iter_batches():
            values = [column.to_pylist() for column in batch.columns]
            yield from ([_as_text(value) for value in row] for row in zip(*values, strict=True))

    return Table(name, [one_line(column) for column in file.schema_arrow.names], rows)


def _json(name: str, content: bytes) -> Table:
    """Return the table in a list of objects, such as Label Studio's export JSON-MIN."""

    def once(pairs: list[tuple[str, object]]) -> dict[str, object]:
        # Python takes the last of several values of one name.
        twice = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
        if twice:
            raise UserError(
                f"{name} names {_whole_letters(twice[0])!r} twice in one object: leave one of them."
            )
        return dict(pairs)

    try:
        listed = json.loads(content, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        if _is_object(content.partition(b"\n")[0]):
            raise UserError(
                f"{name} is JSON Lines, an object a line, which is not read: save it as CSV, such "
                'as by pandas: `pandas.read_json(FILE, lines=True).to_csv("labels.csv")`.'
            ) from None
        raise UserError(f"{name} is no JSON file ({error}): write it again.") from None
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise UserError(f"{name} is no table: as JSON, it must be a list of objects, one an image.")
    columns = list(dict.fromkeys(key for each in listed for key in each))

    def rows() -> Iterator[Sequence[str]]:
        return ([_as_text(each.get(column)) for column in columns] for each in listed)

    return Table(name, [one_line(_whole_letters(column)) for column in columns], rows)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _as_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        if math.isnan(value):  # as pandas has it for what is missing
            return ""
        if value.is_integer():  # as a column of numbers with gaps has them
            return str(int(value))
    if isinstance(value, list | dict):
        value = json.dumps(value, ensure_ascii=False, default=_as_text)
    if isinstance(value, bytes):  # as Parquet files without a type of text have it
        return value.decode("utf-8", "backslashreplace")
    return _whole_letters(str(value))


def _whole_letters(text: str) -> str:
    """Return a text with U+FFFD for each half of a letter, as JSON has it of a cut emoji."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
