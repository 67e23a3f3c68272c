import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from builders.colours import image_of
from builders.predict_program import Run, program

REPOSITORY = Path(__file__).parents[2]


HOSTILE = ["-dash.png", "100%d %s.png", "new\nline.png", "\x1b[31mred.png", "[a].png", "--json"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_one_line_and_are_exact_in_json(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, project: Path
) -> None:
    (tmp_path / name).write_bytes(image_of("red"))
    monkeypatch.chdir(tmp_path)
    models = ("--models", str(project / "models"))
    for form in ((), ("--csv",)):
        *_, line = run(*models, *form, "--", name).splitlines()
        shown = name.replace("\n", "\\n").replace("\x1b", "\\x1b")
        assert shown in line
        assert run.status == 0
    assert json.loads(run(*models, "--json", "--", name))["path"] == name
    assert json.loads(run(*models, "--json", "."))["path"] == name


def test_name_that_is_no_text_is_exact_in_json(project: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.png")
    (tmp_path / name).write_bytes(image_of("red"))
    for form in ((), ("--csv",)):
        done = program(project, str(tmp_path), *form)
        assert (done.returncode, done.stderr) == (0, "used 1 image\n")
        assert r"caf\udce9.png" in done.stdout
    done = program(project, str(tmp_path), "--json")
    assert os.fsencode(json.loads(done.stdout)["path"]) == os.fsencode(tmp_path / name)


def test_unknown_option_that_is_a_file_says_how_to_name_it(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "-photo.png").write_bytes(image_of("red"))
    monkeypatch.chdir(tmp_path)
    run("-photo.png")
    assert "for the file -photo.png write ./-photo.png" in str(run.status)


def test_names_from_find_print0_may_hold_line_breaks(project: Path, tmp_path: Path) -> None:
    (tmp_path / "a\nb.png").write_bytes(image_of("red"))
    done = program(project, "-", "--json", text=f"{tmp_path}/a\nb.png\0photos/a-red.png\0")
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 2)


def test_paths_come_from_standard_input(project: Path) -> None:
    done = program(project, "-", "--csv", text="photos/more/c-blue.webp\nphotos/a-red.png\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert [row["label"] for row in csv.DictReader(io.StringIO(done.stdout))] == ["blue", "red"]


@pytest.mark.parametrize("encoding", ["utf-8:strict", "latin-1"])
def test_names_of_any_bytes_are_read_and_answered_in_every_locale(
    project: Path, tmp_path: Path, encoding: str
) -> None:
    names = ["caf\udce9.png", "\u732b\U0001f408.png"]  # the first is no UTF-8
    for name in names:
        (tmp_path / name).write_bytes(image_of("red"))
    done = subprocess.run(
        [sys.executable, "-m", "classifier", "predict", "-", "--json"],
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "PYTHONIOENCODING": encoding},
        input=b"".join(os.fsencode(tmp_path / name) + b"\n" for name in names),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    answers = [json.loads(line) for line in done.stdout.decode().splitlines()]
    assert [answer["path"] for answer in answers] == [str(tmp_path / name) for name in names]
