import subprocess
from pathlib import Path

import pytest
from builders.sources import download_params, local_params, write_files

from classifier.core.errors import UserError
from classifier.sources.presence import check_present, describe_untracked


def test_a_folder_that_is_gone_is_named_with_the_way_back(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"download\.url is .*photos.*dvc checkout data/raw"):
        check_present(local_params("folder", tmp_path / "photos"))
    (tmp_path / "photos").mkdir()
    check_present(local_params("folder", tmp_path / "photos"))


def test_a_web_address_is_not_looked_up(tmp_path: Path) -> None:
    params = download_params(
        source="archive",
        url="https://host.example/a.zip",
        checksum=f"sha256:{'0' * 64}",
        watch=str(tmp_path),
    )
    check_present(params)


def test_a_watched_path_that_is_gone_is_named(tmp_path: Path) -> None:
    gone = download_params(source="digits", url=None, checksum=None, watch=str(tmp_path / "x"))
    with pytest.raises(UserError, match=r"download\.watch is .*x"):
        check_present(gone)


def test_a_table_beside_the_watched_folder_is_named(tmp_path: Path) -> None:
    write_files(tmp_path, {"photos/a.png": b"x", "labels.csv": b"id,kind\n"})
    table = {"file": str(tmp_path / "labels.csv"), "path": "id", "class": "kind"}
    with pytest.raises(UserError, match=r"lies outside of download\.watch"):
        check_present(local_params("folder", tmp_path / "photos", labels=table))
    watch = str(tmp_path)
    check_present(local_params("folder", tmp_path / "photos", labels=table, watch=watch))


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
    (line,) = describe_untracked(local_params("folder", "photos"))
    assert "run `dvc add photos` and commit, or write the whole path" in line
    assert describe_untracked(local_params("folder", project / "photos")) == []


@pytest.mark.parametrize("by", ["git", "dvc"])
def test_tracked_photos_are_not_spoken_of(project: Path, by: str) -> None:
    if by == "git":
        subprocess.run(["git", "add", "photos"], cwd=project, check=True)
    else:
        write_files(project, {"photos.dvc": b""})
    assert describe_untracked(local_params("folder", "photos")) == []
    assert describe_untracked(local_params("folder", "photos/cat")) == []


def test_where_there_is_no_git_nothing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_files(tmp_path, {"photos/a.png": b"x"})
    monkeypatch.chdir(tmp_path)
    assert describe_untracked(local_params("folder", "photos")) == []
    monkeypatch.setenv("PATH", "")
    assert describe_untracked(local_params("folder", "photos")) == []
