"""A kill while DVC writes one of its own files, with DVC itself."""

from pathlib import Path

import pytest
from builders.clones import Clone
from builders.sources import write_files

from classifier.commands.shared.dvc_files import cut_short_file

PIPELINE = """
stages:
  first:
    cmd: cp taken made
    deps: [taken]
    outs: [made]
  second:
    cmd: cat made made > twice
    deps: [made]
    params:
    - params.yaml:
    outs: [twice]
"""
LOCK_FILE = "dvc.lock"
PROCESSES = ".dvc/tmp/rwlock"


@pytest.fixture
def project(tmp_path: Path) -> Clone:
    """A pipeline of two stages that has run and is committed."""
    write_files(
        tmp_path,
        {"dvc.yaml": PIPELINE.encode(), "taken": b"images", "params.yaml": b"download: {}\n"},
    )
    return Clone.of_pipeline(tmp_path)


def refusal(project: Clone) -> str:
    """What `classifier check` says before it reads params.yaml."""
    process = project.start("classifier", "check")
    _, said = process.communicate()
    assert process.returncode == 1
    return said


def test_lock_file_that_is_cut_short_is_named_and_what_is_said_mends_it(project: Clone) -> None:
    lock = project.folder / LOCK_FILE
    before = lock.read_bytes()
    (project.folder / "taken").write_bytes(b"other images")
    project.dvc("repro", "--quiet")
    after = lock.read_bytes()
    lock.write_bytes(b"")
    assert "dvc.lock is not whole" in refusal(project)
    assert "git checkout dvc.lock" in refusal(project)
    project.run("git", "checkout", "dvc.lock")
    assert lock.read_bytes() == before
    assert "Running stage" not in project.dvc("repro")
    assert lock.read_bytes() == after


def test_list_of_what_runs_that_is_cut_short_is_named_and_what_is_said_mends_it(
    project: Clone,
) -> None:
    (project.folder / PROCESSES).write_text('{"write": {', "utf-8")
    assert f"{PROCESSES} is not whole" in refusal(project)
    (project.folder / PROCESSES).unlink()
    assert "up to date" in project.dvc("repro")


def test_whatever_is_left_of_the_lock_file_dvc_reads_it_or_it_is_named(project: Clone) -> None:
    whole = (project.folder / LOCK_FILE).read_bytes()
    for length in range(0, len(whole), 61):
        (project.folder / LOCK_FILE).write_bytes(whole[:length])
        read = project.start("dvc", "status")
        read.communicate()
        assert (read.returncode == 0) == (cut_short_file(project.folder) is None), length


def test_conflict_markers_are_left_to_dvc(project: Clone) -> None:
    (project.folder / LOCK_FILE).write_text("<<<<<<< ours\n=======\n>>>>>>> theirs\n", "utf-8")
    assert cut_short_file(project.folder) is None
