"""What a killed program leaves in a folder that DVC hashes, with DVC and Git themselves."""

import os
import re
import shutil
from pathlib import Path

import pytest
from builders.clones import ROOT, Clone
from builders.sources import write_files

from classifier.core import files

PIPELINE = """
stages:
  make:
    cmd: cp -r taken made
    deps: [taken]
    outs: [made]
"""


@pytest.fixture
def project(tmp_path: Path) -> Clone:
    """A pipeline that makes one folder out of another, with this project's ignore files."""
    for name in (".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, tmp_path / name)
    write_files(tmp_path, {"dvc.yaml": PIPELINE.encode(), "taken/a.zip": b"images"})
    return Clone.of_pipeline(tmp_path)


def leave_behind(path: Path, machine: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write what a program that was killed on this machine would leave of `path`."""
    monkeypatch.setattr(files, "_machine", lambda: machine)
    with files.replacing(path) as temporary:
        temporary.write_bytes(b"half")
        left = temporary.with_name(temporary.name.replace(str(os.getpid()), "999999999"))
        left.write_bytes(b"half")
    path.unlink()
    return left


def test_leftovers_of_any_machine_change_no_hash_and_are_not_stored(
    project: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = files._machine()
    before = (project.folder / "dvc.lock").read_bytes()
    for folder in ("taken", "made", "made/deep"):
        for machine in (own, "0a1b2c3d"):
            leave_behind(project.folder / folder / "data.zip", machine, monkeypatch)
    assert "up to date" in project.dvc("status")
    assert "Running stage" not in project.dvc("repro")
    project.dvc("commit", "--force")
    assert (project.folder / "dvc.lock").read_bytes() == before
    assert project.run("git", "status", "--porcelain") == ""
    stored = [path for path in (project.folder / ".dvc/cache/files").rglob("*") if path.is_file()]
    assert b"half" not in [path.read_bytes() for path in stored]


def test_a_hidden_file_of_the_users_own_counts(project: Clone) -> None:
    (project.folder / "taken/.notes.tmp").write_bytes(b"x")
    assert re.search(r"modified: +taken", project.dvc("status"))
