import os
import sys
import threading
import time
from pathlib import Path

import pytest

from classifier.core.cache import cache_folder, locked, read_checked, scratch_folder, write_checked
from classifier.core.errors import UserError


def test_folder_lies_where_the_variable_says_and_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLASSIFIER_CACHE", str(tmp_path / "chosen"))
    folder = cache_folder("resume")
    assert folder == tmp_path / "chosen/resume"
    assert folder.is_dir()


def test_tilde_in_the_variable_is_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("CLASSIFIER_CACHE", "~/chosen")
    assert cache_folder("resume") == tmp_path / "chosen/resume"


@pytest.mark.skipif(sys.platform != "linux", reason="XDG_CACHE_HOME is of Linux")
@pytest.mark.parametrize("chosen", [None, ""])
def test_without_the_variable_it_is_the_systems_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: str | None
) -> None:
    monkeypatch.delenv("CLASSIFIER_CACHE", raising=False)
    if chosen is not None:
        monkeypatch.setenv("CLASSIFIER_CACHE", chosen)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert cache_folder("resume") == tmp_path / "reproducible-image-classifier/resume"


def test_folder_that_cannot_be_written_is_named_with_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CLASSIFIER_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"file.resume cannot be written to .* CLASSIFIER_CACHE"):
        cache_folder("resume")


def test_tilde_of_an_unknown_user_is_named_with_the_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CLASSIFIER_CACHE", "~nobody-here/cache")
    with pytest.raises(
        UserError, match=r"~nobody-here/cache cannot be written .* CLASSIFIER_CACHE"
    ):
        cache_folder("resume")


@pytest.mark.skipif(sys.platform != "linux", reason="HOME decides on Linux")
def test_home_that_does_not_exist_is_reported_with_the_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CLASSIFIER_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", "/proc/nowhere")
    with pytest.raises(UserError, match=r"/proc/nowhere/.* set .* CLASSIFIER_CACHE"):
        cache_folder("resume")


@pytest.mark.parametrize("content", [b"", b"content", bytes(5000)])
def test_checked_content_comes_back(tmp_path: Path, content: bytes) -> None:
    write_checked(tmp_path / "a/file", content)
    assert read_checked(tmp_path / "a/file") == content


def test_checked_content_that_is_missing_cut_or_changed_is_none(tmp_path: Path) -> None:
    path = tmp_path / "file"
    assert read_checked(path) is None
    write_checked(path, b"content")
    whole = path.read_bytes()
    for damaged in (b"", whole[:10], whole[:-1], whole + b"x", whole[:-1] + b"x"):
        path.write_bytes(damaged)
        assert read_checked(path) is None


@pytest.mark.skipif(sys.platform == "win32", reason="nothing is locked on Windows")
def test_second_waits_until_the_first_has_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "lock"
    events: list[str] = []

    def second() -> None:
        with locked(path):
            events.append("second is inside")

    thread = threading.Thread(target=second)
    with locked(path):
        thread.start()
        said, deadline = "", time.monotonic() + 60
        while f"waiting for another process that uses {path}" not in said:
            assert time.monotonic() < deadline
            time.sleep(0.01)
            said += capsys.readouterr().err
        events.append("first leaves")
    thread.join(timeout=60)
    assert events == ["first leaves", "second is inside"]


def test_lock_is_free_again_after_an_exception(tmp_path: Path) -> None:
    def failing() -> None:
        with locked(tmp_path / "lock"):
            raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            failing()


def test_scratch_folder_is_removed_and_so_are_old_ones_of_killed_programs() -> None:
    kind = cache_folder("search")
    for name, age in (("scratch-old", 2 * 86400), ("scratch-new", 60)):
        (kind / name).mkdir()
        os.utime(kind / name, times=(time.time() - age, time.time() - age))
    with scratch_folder("search") as folder:
        (folder / "images.npy").write_bytes(b"a")
        assert sorted(path.name for path in kind.iterdir()) == sorted([folder.name, "scratch-new"])
    assert [path.name for path in kind.iterdir()] == ["scratch-new"]


def test_scratch_folder_that_another_program_removes_at_that_moment_does_no_harm() -> None:
    # It is listed and has gone when it is looked at, as this link to nowhere.
    (cache_folder("search") / "scratch-gone").symlink_to("nowhere")
    with scratch_folder("search") as folder:
        assert folder.is_dir()
