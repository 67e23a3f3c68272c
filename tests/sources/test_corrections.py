from pathlib import Path

import pytest

from classifier.core.errors import UserError
from classifier.sources.corrections import Correction, read_corrections, write_corrections

ROWS = [
    Correction("cat/a.jpg", "dog", 'it barks, "really"'),
    Correction("sha256:" + "0" * 64, "exclude", ""),
    Correction("Tür/ä.png", "猫", "two\nlines"),
]


def test_written_corrections_are_read_back(tmp_path: Path) -> None:
    write_corrections(tmp_path / "corrections.csv", ROWS)
    assert read_corrections(tmp_path / "corrections.csv") == ROWS


def test_no_file_holds_no_corrections(tmp_path: Path) -> None:
    assert read_corrections(tmp_path / "corrections.csv") == []


@pytest.mark.parametrize(
    "text", ["path,class,reason\n", "path,class,reason\n\n", "\ufeffpath,class,reason\n"]
)
def test_header_alone_holds_no_corrections(tmp_path: Path, text: str) -> None:
    path = tmp_path / "corrections.csv"
    path.write_text(text, "utf-8")
    assert read_corrections(path) == []


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "must begin with the line path,class,reason"),
        ("name,label\n", "must begin with the line path,class,reason"),
        ("path,class,reason\na.jpg,dog\n", "line 2 of .* must hold"),
        ("path,class,reason\na.jpg,dog,\n,dog,why\n", "line 3 of .* must hold"),
        ("path,class,reason\na.jpg,,why\n", "line 2 of .* must hold"),
        ('path,class,reason\na.jpg,dog,"5 inch\nb.jpg,dog,\n', "no CSV file .*end of data"),
    ],
)
def test_damaged_file_is_refused_with_its_place(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "corrections.csv"
    path.write_text(text, "utf-8")
    with pytest.raises(UserError, match=sentence):
        read_corrections(path)


def test_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "corrections.csv"
    path.write_bytes("path,class,reason\nTür.jpg,dog,\n".encode("latin-1"))
    with pytest.raises(UserError, match="no CSV file in UTF-8"):
        read_corrections(path)
