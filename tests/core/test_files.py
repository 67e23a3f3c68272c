import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from classifier.core.files import replacing, sha256_of, write_bytes, write_csv, write_json


def test_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")
    with replacing(path) as temporary:
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("interruption", [ZeroDivisionError, KeyboardInterrupt, SystemExit])
def test_interrupted_write_leaves_the_old_file_and_no_temporary(
    tmp_path: Path, interruption: type[BaseException]
) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"old")

    def interrupted_write() -> None:
        with replacing(path) as temporary:
            temporary.write_bytes(b"half of the n")
            raise interruption

    with pytest.raises(interruption):
        interrupted_write()
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("file", b"old")]


def test_what_a_killed_process_left_is_removed_by_the_next_write(tmp_path: Path) -> None:
    write = """
from classifier.core.files import replacing
with replacing(Path(sys.argv[1])) as temporary:
    temporary.write_bytes(b"half of the n")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    imports = "import os, signal, sys\nfrom pathlib import Path\n"
    path, other = tmp_path / "a[1].csv", tmp_path / "a.csv"
    for killed in (path, other):
        subprocess.run([sys.executable, "-c", imports + write, str(killed)], check=False)
    assert len(list(tmp_path.iterdir())) == 2
    write_bytes(path, b"new")
    write_bytes(other, b"new")
    assert {file.name for file in tmp_path.iterdir()} == {"a[1].csv", "a.csv"}


def test_what_is_no_leftover_of_this_machine_stays(tmp_path: Path) -> None:
    with replacing(tmp_path / "file") as temporary:
        temporary.write_bytes(b"new")
    ours = temporary.name.removesuffix(f"{os.getpid()}.tmp")
    names = [f"{ours}1-999999999.tmp", f"{ours}backup of mine.tmp", ".file.0a1b2c3d-999999999.tmp"]
    for name in names:
        (tmp_path / name).write_bytes(b"theirs")
    (tmp_path / f"{ours}999999999.tmp").mkdir()  # which nobody can unlink
    write_bytes(tmp_path / "file", b"newer")
    assert all((tmp_path / name).read_bytes() == b"theirs" for name in names)


def test_what_a_running_process_is_writing_stays(tmp_path: Path) -> None:
    with replacing(tmp_path / "file") as temporary:
        temporary.write_bytes(b"new")
    # The parent of this process, for one, is running.
    theirs = temporary.with_name(temporary.name.replace(str(os.getpid()), str(os.getppid())))
    theirs.write_bytes(b"half of the n")
    write_bytes(tmp_path / "file", b"newer")
    assert theirs.read_bytes() == b"half of the n"


def test_missing_folders_are_made(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a/b/file", b"content")
    assert (tmp_path / "a/b/file").read_bytes() == b"content"


def test_nothing_stays_beside_the_file(tmp_path: Path) -> None:
    write_bytes(tmp_path / "file", b"content")
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def test_json_reads_back_and_keeps_the_order_of_keys(tmp_path: Path) -> None:
    content = {"z": 0.1, "a": ["Boot, groß", None], "m": {"n": 1}}
    write_json(tmp_path / "a.json", content)
    text = (tmp_path / "a.json").read_text("utf-8")
    assert json.loads(text) == content
    assert list(json.loads(text)) == ["z", "a", "m"]
    assert "Boot, groß" in text
    assert text.endswith("}\n")


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_json_refuses_what_it_cannot_hold_and_keeps_the_old_file(
    tmp_path: Path, number: float
) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"old": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"new": number})
    assert json.loads(path.read_text("utf-8")) == {"old": 1}


def test_csv_is_utf8_without_index_and_with_unix_line_ends(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", pd.DataFrame({"path": ["ä, b.png", "c.png"], "value": [0.5, 1]}))
    expected = 'path,value\n"ä, b.png",0.5\nc.png,1.0\n'
    assert (tmp_path / "a.csv").read_bytes() == expected.encode()


def test_same_content_gives_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_json(tmp_path / name / "file.json", {"x": 1 / 3, "y": [1, 2]})
        write_csv(tmp_path / name / "file.csv", pd.DataFrame({"x": [1 / 3, 2.0]}))
    for name in ("file.json", "file.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_sha256_is_that_of_the_whole_file(tmp_path: Path) -> None:
    content = bytes(range(256)) * 2000
    (tmp_path / "file").write_bytes(content)
    assert sha256_of(tmp_path / "file") == hashlib.sha256(content).hexdigest()
