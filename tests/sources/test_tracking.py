import subprocess
from pathlib import Path

import pytest
from builders.sources import write_files

from classifier.sources.tracking import describe_untracked

KNOBS = "download.url and download.watch"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the folder photos, the current folder."""
    write_files(tmp_path, {"photos/cat/a.png": b"x"})
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_untracked_photos_in_the_project_are_told_to_be_lost_to_queued_experiments(
    project: Path,
) -> None:
    (line,) = describe_untracked(Path("photos"), KNOBS)
    assert "run `dvc add photos` and commit, or write the whole path in download.url" in line
    assert describe_untracked(project / "photos", KNOBS) == []


@pytest.mark.parametrize("by", ["git", "dvc"])
def test_tracked_photos_are_not_spoken_of(project: Path, by: str) -> None:
    if by == "git":
        subprocess.run(["git", "add", "photos"], cwd=project, check=True)
    else:
        write_files(project, {"photos.dvc": b""})
        (line,) = describe_untracked(Path("photos/cat"), KNOBS)
        assert "Git does not track photos.dvc" in line
        assert "run `git add photos.dvc` and commit" in line
        subprocess.run(["git", "add", "photos.dvc"], cwd=project, check=True)
    assert describe_untracked(Path("photos"), KNOBS) == []
    assert describe_untracked(Path("photos/cat"), KNOBS) == []


def test_the_command_that_is_told_is_right_for_a_name_with_a_space(project: Path) -> None:
    write_files(project, {"my photos/a.png": b"x"})
    assert "run `dvc add 'my photos'` and commit" in describe_untracked(Path("my photos"), KNOBS)[0]
    write_files(project, {"my photos.dvc": b""})
    (line,) = describe_untracked(Path("my photos"), KNOBS)
    assert "run `git add 'my photos.dvc'` and commit" in line


def test_a_folder_of_which_git_tracks_a_part_is_told(project: Path) -> None:
    subprocess.run(["git", "add", "photos"], cwd=project, check=True)
    write_files(project, {"photos/dog/b.png": b"x"})
    (line,) = describe_untracked(Path("photos"), KNOBS)
    assert "neither Git nor DVC tracks all of it" in line
    assert describe_untracked(Path("photos/cat"), KNOBS) == []


def test_where_there_is_no_git_nothing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path, {"photos/a.png": b"x"})
    monkeypatch.chdir(tmp_path)
    assert describe_untracked(Path("photos"), KNOBS) == []
    monkeypatch.setenv("PATH", "")
    assert describe_untracked(Path("photos"), KNOBS) == []
