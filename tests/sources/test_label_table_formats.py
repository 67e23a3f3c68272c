import csv
import io
import json
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from builders.label_tables import ALL, TABLE, classes, label
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from classifier.core.errors import UserError
from classifier.sources.tables import read_labels, write_files, write_labels


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_separators_and_byte_order_marks_of_spreadsheets_are_known(
    separator: str, encoding: str
) -> None:
    rows = "\r\n".join(separator.join((path, kind)) for path, kind in ALL.items())
    content = f"id{separator}kind\r\n{rows}\r\n\r\n".encode(encoding)
    assert classes(label(content)) == ALL


def test_json_of_label_studio_is_a_table() -> None:
    listed = [
        {"id": i, "image": f"/data/local/{path}", "choice": kind, "lead_time": 1.5}
        for i, (path, kind) in enumerate(ALL.items())
    ]
    table = {"file": "t.json", "path": "image", "class": "choice"}
    labels = label(json.dumps(listed), name="t.json", labels=table)
    assert classes(labels) == ALL
    assert labels.columns == ["id", "lead_time"]
    assert labels.images[1].columns == ("1", "1.5")


def test_number_that_is_none_in_json_is_no_label() -> None:
    kinds: list[object] = [*ALL.values()]
    kinds[0] = float("nan")
    listed = [{"id": path, "kind": kind} for path, kind in zip(ALL, kinds, strict=True)]
    table = TABLE | {"file": "t.json"}
    with pytest.raises(UserError, match="1 image without label"):
        label(json.dumps(listed), name="t.json", labels=table)


def test_halves_of_letters_in_json_are_replaced(tmp_path: Path) -> None:
    halves = ["cut \ud83d", "\ude00", "\U0001f600", ["\ud83d"]]
    listed = [
        {"id": path, "kind": f"{kind}\ud83d", "note\ud83d": note}
        for (path, kind), note in zip(ALL.items(), halves, strict=True)
    ]
    table = TABLE | {"file": "t.json"}
    rows = json.dumps([*listed, {"id": "gone\ud83d", "kind": "cat"}])
    labels = label(rows, name="t.json", labels=table, on_bad_row="skip")
    write_labels(tmp_path / "labels.csv", labels.images, labels.columns)
    write_files(tmp_path / "files.csv", labels.no_files)
    assert labels.columns == ["note\ufffd"]
    assert {image.class_name for image in labels.images} == {"cat\ufffd", "dog\ufffd"}
    notes = [image.columns[0] for image in read_labels(tmp_path / "labels.csv")]
    assert notes == ["cut \ufffd", "\ufffd", "\U0001f600", '["\ufffd"]']


def parquet_of(**columns: list[Any]) -> bytes:
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), buffer)
    return buffer.getvalue()


def test_parquet_is_read_as_text() -> None:
    content = parquet_of(id=list(ALL), kind=list(ALL.values()), age=[1, None, 3, 4])
    labels = label(content, name="t.parquet")
    assert classes(labels) == ALL
    assert [image.columns for image in labels.images] == [("1",), ("",), ("3",), ("4",)]


def test_bytes_and_dates_of_parquet_are_text() -> None:
    kinds, days = [kind.encode() for kind in ALL.values()], [[date(2026, 11, 28)]] * 4
    labels = label(parquet_of(id=list(ALL), kind=kinds, days=days), name="t.parquet")
    assert classes(labels) == ALL
    assert {image.columns for image in labels.images} == {('["2026-11-28"]',)}


@given(
    st.sampled_from([",", ";", "\t", "|"]),
    st.sampled_from(["kind", "kind of\nanimal", "kind,of;animal", "kind\r\n"]),
    st.sampled_from(["", "\n", "\r\n \r\n", ",,\n"]),
    st.sampled_from(["", "\n", " \n"]),
)
def test_a_header_may_be_quoted_and_blank_lines_are_passed_over(
    separator: str, kind: str, before: str, between: str
) -> None:
    rows = between.join(f"{path}{separator}{kind}\n" for path, kind in ALL.items())
    column = " ".join(kind.split())
    table = f'{before}"id"{separator}"{kind}"\n{between}{rows}'
    labels = label(table, labels=TABLE | {"file": "t.csv", "class": column})
    assert classes(labels) == ALL


@pytest.mark.parametrize("first", ["sep=;\r\n", '"sep=;"\n', "SEP=;\n", "\ufeffsep=; \n\n"])
def test_line_that_says_the_separator_is_known(first: str) -> None:
    rows = "".join(f"{path};{kind}\n" for path, kind in ALL.items())
    # More commas than semicolons: without that line, the table would be one of commas.
    table = f"{first}id;kind, of, animal\n{rows}"
    section = TABLE | {"class": "kind, of, animal"}
    assert classes(label(table, labels=section)) == ALL
    with pytest.raises(UserError, match=f"line {table.count(chr(10)) + 1}, has 3 values"):
        label(f"{table}1;cat;dog\n", labels=section)


def test_other_separators_are_read_where_the_first_line_says_them() -> None:
    rows = "".join(f"{path}^{kind}\n" for path, kind in ALL.items())
    assert classes(label(f"sep=^\nid^kind\n{rows}")) == ALL
    tabs = rows.replace("^", "\t")
    assert classes(label(f"sep=\t\nid\tkind\n{tabs}")) == ALL


@pytest.mark.parametrize("name", ["t.jsonl", "t.ndjson", "t.json", "t.csv"])
def test_json_lines_are_refused_with_a_remedy(name: str) -> None:
    lines = "\n".join(json.dumps({"id": path, "kind": kind}) for path, kind in ALL.items())
    said = r"is JSON Lines, .+ which is not read: save it as CSV, such as by pandas"
    with pytest.raises(UserError, match=said):
        label(lines, name=name)


@pytest.mark.parametrize("separator", [",", ";"])
def test_emptied_rows_of_a_spreadsheet_are_passed_over(separator: str) -> None:
    rows = "".join(f"{path}{separator}{kind}\n" for path, kind in ALL.items())
    assert classes(label(f"id{separator}kind\n{separator}\n{rows}{separator}\n")) == ALL


def test_parquet_without_its_reader_names_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match="`pip install pyarrow`, or save the table as CSV"):
        label(b"PAR1", name="t.parquet")


@pytest.mark.parametrize(
    ("content", "name", "sentence"),
    [
        (b"no parquet", "t.parquet", r"t\.parquet is no Parquet file"),
        (b"\xff\xfe", "t.csv", r"t\.csv is not UTF-8: save it"),
        (b"", "t.csv", r"t\.csv is empty"),
        (b"\n \n,\n", "t.csv", r"t\.csv is empty"),
        (b"{", "t.json", r"t\.json is no JSON file"),
        (b'{"id": 1}', "t.json", "must be a list of objects"),
        (b'[{"id": 1, "id": 2}]', "t.json", r"t\.json names 'id' twice in one object"),
        (b"id,breed\n", "t.csv", "no column 'kind', which .+; its columns are id, breed"),
        (b"id,kind,kind\n", "t.csv", "two columns 'kind'"),
        (b"id,kind,x,x\n", "t.csv", r"t\.csv has two columns 'x': rename one of them\."),
        (b"id,kind,,\n1,cat,a,b\n", "t.csv", "several columns without a name: name them"),
        (b"id,kind\n1,cat,dog\n", "t.csv", "line 2, has 3 values for 2 columns"),
        (b'id,kind,x\n1,cat,\n2,cat,"5 inch\n3,dog,\n', "t.csv", "begins in line 3: .+ quotation"),
        (b'id,kind,x\n1,cat,"5\n2,cat,\n3,dog,"7\n', "t.csv", "begins in line 2: .+ quotation"),
        (b'id,kind,"x\n1,cat,\n', "t.csv", "begins in line 1: .+ quotation"),
    ],
)
def test_damaged_tables_are_a_sentence(content: bytes, name: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        label(content, name=name)


def test_further_columns_are_one_line_without_spaces_around_it(tmp_path: Path) -> None:
    notes = ["p1", " p1 ", " ", "left\rright"]
    listed = [
        {"id": path, "kind": kind, "note": note}
        for (path, kind), note in zip(ALL.items(), notes, strict=True)
    ]
    labels = label(json.dumps(listed), name="t.json")
    write_labels(tmp_path / "labels.csv", labels.images, labels.columns)
    read = [image.columns for image in read_labels(tmp_path / "labels.csv")]
    assert read == [("p1",), ("p1",), ("",), ("left right",)]


def test_cells_are_read_whatever_their_length(tmp_path: Path) -> None:
    # The limit is one of the process, which another test may have raised.
    csv.field_size_limit(1 << 17)
    mask = "7 " * 100_000 + "7"
    rows = [f"{path},{kind},{mask}" for path, kind in ALL.items()]
    labels = label("\n".join(["id,kind,mask", *rows]))
    csv.field_size_limit(1 << 17)
    write_labels(tmp_path / "labels.csv", labels.images, labels.columns)
    assert list(read_labels(tmp_path / "labels.csv")) == labels.images
