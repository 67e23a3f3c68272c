"""A project that was downloaded as a zip, with DVC itself."""

import re
import shutil
from pathlib import Path

import pytest
from builders.clones import Clone
from builders.sources import write_files

from classifier.commands import push
from classifier.commands.shared.repository import check_repository
from classifier.commands.shared.up_to_date import outdated_stages
from classifier.core.errors import UserError


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    """A DVC project without Git, the current folder."""
    write_files(tmp_path, {".dvc/config": b"[core]\n    analytics = false\n"})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    return Clone(tmp_path, tmp_path / "cache")


def test_folder_that_is_no_git_repository_is_told_and_what_is_said_mends_it(project: Clone) -> None:
    with pytest.raises(UserError, match=r"is not a git repository, as after .* run `git init`"):
        check_repository()
    project.run("git", "init", "--quiet")
    check_repository()
    assert project.dvc("status").strip()


def test_config_that_dvc_cannot_read_is_a_sentence(project: Clone) -> None:
    project.run("git", "init", "--quiet")
    Path(".dvc/config").write_text("[core\n", "utf-8")
    with pytest.raises(UserError, match="DVC cannot run here: "):
        check_repository()


def test_damaged_database_of_dvc_is_a_sentence_and_what_is_said_mends_it(
    project: Clone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(project.folder / "site"))
    project.run("git", "init", "--quiet")
    Path("dvc.yaml").write_text("stages: {}\n", "utf-8")
    check_repository()
    databases = list(Path("site").rglob("*.db"))
    assert databases
    for database in databases:
        database.write_bytes(b"damaged" * 1000)
    for ask in (check_repository, outdated_stages, lambda: push.main([])):
        with pytest.raises(UserError, match="DVC cannot use its database of hashes") as caught:
            ask()
    named = re.search(r"remove (\S+) when no DVC runs", str(caught.value))
    assert named
    shutil.rmtree(named[1])
    check_repository()


def test_outside_of_a_dvc_project_nothing_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check_repository()
