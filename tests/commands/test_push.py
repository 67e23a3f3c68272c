import subprocess
import sys
from pathlib import Path

import pytest
from dvc.repo import Repo

from classifier.commands.push import experiments_without_remote, main


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DVC project with an experiment made before its remote was committed, and one after."""
    folder = tmp_path_factory.mktemp("project")
    remote = tmp_path_factory.mktemp("remote")

    def git(*arguments: str) -> None:
        subprocess.run(["git", *arguments], cwd=folder, check=True)

    def dvc(*arguments: str) -> None:
        subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=folder, check=True)

    def save_experiment(name: str) -> None:
        (folder / "notes.txt").write_text(name)
        dvc("exp", "save", "--quiet", "--name", name)
        git("checkout", "--quiet", "notes.txt")

    git("init", "--quiet")
    git("config", "user.name", "test")
    git("config", "user.email", "test@localhost")
    dvc("init", "--quiet")
    (folder / "notes.txt").write_text("first")
    git("add", "--all")
    git("commit", "--quiet", "--message", "first")
    save_experiment("early")
    dvc("remote", "add", "--quiet", "--default", "team", str(remote))
    git("commit", "--quiet", "--all", "--message", "a remote")
    save_experiment("late")
    return folder


def test_experiments_made_before_the_remote_was_committed_are_found(project: Path) -> None:
    with Repo(str(project)) as repo:
        assert experiments_without_remote(repo) == ["early"]


def test_pushing_warns_about_them(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(project)
    main([])
    printed = capsys.readouterr()
    assert "files pushed" in printed.out
    assert printed.err.startswith("warning: made before the remote was committed: early. ")
    assert "late" not in printed.err


def test_a_remote_that_is_kept_private_is_no_reason_to_warn(project: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--mirror", project, clone / ".git"], check=True)
    subprocess.run(["git", "config", "core.bare", "false"], cwd=clone, check=True)
    subprocess.run(["git", "checkout", "--quiet", "HEAD~1", "--", "."], cwd=clone, check=True)
    with Repo(str(clone)) as repo:
        assert experiments_without_remote(repo) == []


def test_results_that_gc_has_removed_are_no_reason_to_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def dvc(*arguments: str) -> None:
        subprocess.run([sys.executable, "-m", "dvc", *arguments], check=True)

    subprocess.run(["git", "init", "--quiet"], check=True)
    dvc("init", "--quiet")
    dvc("remote", "add", "--quiet", "--default", "team", str(tmp_path / "remote"))
    dvc("stage", "add", "-q", "-n", "copy", "-d", "a", "-o", "out", "mkdir out && cp a out")
    for content in ("old", "new"):
        Path("a").write_text(content)
        dvc("repro", "--quiet")
    dvc("gc", "--quiet", "--workspace", "--force")
    capfd.readouterr()
    main([])
    printed = capfd.readouterr()
    assert "files pushed" in printed.out
    assert printed.err == ""
