import errno
import io
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from builders.downloads import CONTENT, RIGHT, WRONG
from builders.web.site import Handler, Server, serving

from classifier.core.cache import cache_folder
from classifier.core.errors import UserError
from classifier.sources import fetch as fetching
from classifier.sources.fetch import download, partial_path


@pytest.fixture
def server() -> Iterator[Server]:
    behaviour = Server(CONTENT)
    with serving(behaviour):
        yield behaviour


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "FIRST_PAUSE", 0.001)


@pytest.fixture
def cache() -> Path:
    return cache_folder("downloads")


def leftovers(folder: Path) -> list[str]:
    """Suffixes of what lies in the cache but for locks, which hold nothing."""
    return sorted(path.suffix for path in folder.iterdir() if path.suffix != ".lock")


def test_download_is_verified_and_kept(server: Server, cache: Path) -> None:
    kept = download(server.address, RIGHT, cache)
    assert kept.read_bytes() == CONTENT
    assert [path for path in cache.iterdir() if path.suffix != ".lock"] == [kept]


def test_kept_download_is_not_fetched_again_unless_it_is_damaged(
    server: Server, cache: Path
) -> None:
    for damage in (False, True):
        kept = download(server.address, RIGHT, cache)
        assert kept.read_bytes() == CONTENT
        if damage:
            kept.write_bytes(CONTENT[1:])
    assert server.asked == [None]
    assert download(server.address, RIGHT, cache).read_bytes() == CONTENT
    assert server.asked == [None, None]


def test_cut_connections_are_resumed(server: Server, cache: Path) -> None:
    server.sends = [300_000, 300_000, 10]
    kept = download(server.address, RIGHT, cache)
    assert kept.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=300000-", "bytes=600000-", "bytes=600010-"]


def interrupt(_: float) -> None:
    raise KeyboardInterrupt


def test_next_process_goes_on_where_the_last_stopped(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.sends = [400_000]
    with monkeypatch.context() as patch:
        patch.setattr("time.sleep", interrupt)
        with pytest.raises(KeyboardInterrupt):
            download(server.address, RIGHT, cache)
    assert leftovers(cache) == [".json", ".part"]
    kept = download(server.address, RIGHT, cache)
    assert kept.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=400000-"]


def test_server_without_ranges_starts_over(server: Server, cache: Path) -> None:
    server.ranges, server.sends = False, [500_000]
    kept = download(server.address, RIGHT, cache)
    assert kept.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=500000-"]


def test_file_that_changed_meanwhile_is_taken_from_its_start(server: Server, cache: Path) -> None:
    partial_path(server.address, RIGHT, cache).write_bytes(b"old" * 1000)
    note = partial_path(server.address, RIGHT, cache).with_suffix(".json")
    note.write_text('{"validator": "\\"zero\\""}', "utf-8")
    kept = download(server.address, RIGHT, cache)
    assert kept.read_bytes() == CONTENT
    assert server.asked == ["bytes=3000-"]


def test_whole_file_in_the_cache_is_not_downloaded_again(server: Server, cache: Path) -> None:
    partial_path(server.address, RIGHT, cache).write_bytes(CONTENT)
    kept = download(server.address, RIGHT, cache)
    assert kept.read_bytes() == CONTENT
    assert server.asked == []


def test_more_in_the_cache_than_the_server_has_is_thrown_away(server: Server, cache: Path) -> None:
    partial_path(server.address, RIGHT, cache).write_bytes(CONTENT + b"more")
    kept = download(server.address, RIGHT, cache)
    assert kept.read_bytes() == CONTENT


def test_wrong_checksum_names_both_and_removes_the_file(server: Server, cache: Path) -> None:
    with pytest.raises(UserError, match=r"set download\.checksum to the first") as caught:
        download(server.address, WRONG, cache)
    assert str(RIGHT) in str(caught.value)
    assert str(WRONG) in str(caught.value)
    assert leftovers(cache) == []


def test_passing_trouble_of_the_server_is_waited_out(
    server: Server, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.answers = [503, 429, 500]
    kept = download(server.address, RIGHT, cache)
    assert kept.read_bytes() == CONTENT
    assert "503 Service Unavailable; trying again in 0.001 s" in capsys.readouterr().err


@pytest.mark.parametrize("ranges", [True, False])
def test_attempts_without_progress_come_to_an_end(
    server: Server, cache: Path, ranges: bool
) -> None:
    server.ranges, server.sends = ranges, [70_000] + [0 if ranges else 70_000] * 20
    with pytest.raises(UserError, match=r"cut after 70,000 of 1,048,576 .+ are kept"):
        download(server.address, RIGHT, cache)
    assert len(server.asked) == 1 + fetching.ATTEMPTS - 1


@pytest.mark.parametrize("status", [404, 403])
def test_refusal_is_a_sentence_at_once(server: Server, cache: Path, status: int) -> None:
    server.answers = [status]
    with pytest.raises(UserError, match=f"the server answers {status} .+; correct download.url"):
        download(server.address, RIGHT, cache)
    assert len(server.asked) == 1


def test_redirect_loop_is_a_sentence(server: Server, cache: Path) -> None:
    server.answers = [302] * 50
    with pytest.raises(UserError, match="redirects in a circle"):
        download(server.address, RIGHT, cache)


def test_redirect_to_another_host_is_followed_without_the_password(
    server: Server, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".netrc").write_text("machine localhost login ann password secret\n", "utf-8")
    (tmp_path / ".netrc").chmod(0o600)
    server.answers, server.location = [302], server.address
    asked = server.address.replace("127.0.0.1", "localhost")
    assert download(asked, RIGHT, cache).read_bytes() == CONTENT
    assert server.logins == ["Basic YW5uOnNlY3JldA==", None]


def test_token_in_an_address_stays_out_of_what_is_printed_and_kept(
    server: Server, cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.sends = [1000] + [0] * 9
    address = server.address.replace("version=1", "token=secret")
    with pytest.raises(UserError, match=r"data%20set\.zip\?… cannot be downloaded") as caught:
        download(address, RIGHT, cache)
    kept = b"".join(path.read_bytes() for path in cache.glob("*.json"))
    assert kept
    assert "secret" not in f"{caught.value}{capsys.readouterr().err}{kept}"


def test_answer_without_an_end_does_not_fill_the_disk(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.has_length = False
    assert download(server.address, RIGHT, cache).read_bytes() == CONTENT
    usage = shutil.disk_usage(cache)._replace(free=len(CONTENT))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(UserError, match="sends more than 524,288 bytes, half of the free space"):
        download(server.address, WRONG, cache)
    assert ".part" not in leftovers(cache)


def test_no_network_is_a_sentence(cache: Path) -> None:
    with pytest.raises(UserError, match=r"cannot be downloaded \(Connection refused\)"):
        download("http://127.0.0.1:9/data.zip", RIGHT, cache)


def test_silent_server_is_a_sentence(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "TIMEOUT", 0.05)
    monkeypatch.setattr(Handler, "do_GET", lambda self: threading.Event().wait(0.3))
    with pytest.raises(UserError, match=r"cannot be downloaded \(timed out\)"):
        download(server.address, RIGHT, cache)


@pytest.mark.parametrize("url", ["http://127.0.0.1:port/a.zip", "http://[::1/a.zip"])
def test_impossible_address_is_a_sentence(cache: Path, url: str) -> None:
    with pytest.raises(UserError, match="no valid web address"):
        download(url, RIGHT, cache)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_full_disk_is_a_sentence(server: Server, cache: Path) -> None:
    # From the first answer on, as the whole of /dev/full can never be read.
    server.before = lambda: partial_path(server.address, RIGHT, cache).symlink_to("/dev/full")
    with pytest.raises(UserError, match=f"the disk is full: free some space for {cache}"):
        download(server.address, RIGHT, cache)


def test_other_trouble_with_the_disk_is_not_taken_for_a_full_one(
    server: Server, tmp_path: Path
) -> None:
    cache = tmp_path / "a file in the folder's place"
    cache.write_bytes(b"")
    with pytest.raises(OSError, match=r".*") as caught:
        download(server.address, RIGHT, cache)
    assert caught.value.errno in (errno.EEXIST, errno.ENOTDIR)


def test_spaces_and_letters_of_an_address_are_quoted(server: Server, cache: Path) -> None:
    kept = download(server.address.replace("%20", " ü "), RIGHT, cache)
    assert kept.read_bytes() == CONTENT


def test_proxy_of_the_environment_is_used(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", server.address.partition("/data")[0])
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setattr("urllib.request._opener", None)  # reads the environment once a process
    kept = download("http://images.invalid/data.zip", RIGHT, cache)
    assert kept.read_bytes() == CONTENT


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_bar_counts_bytes_from_where_the_download_goes_on(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    server.sends = [524_288]
    download(server.address, RIGHT, cache)
    first, second = terminal.getvalue().split("trying again")
    assert re.search(r"data set.zip:   0%.* 0.00/1.00M ", first)
    assert re.search(r"data set.zip:  50%.* 512k/1.00M ", second)
    assert re.search(r"data set.zip: 100%.* 1.00M/1.00M ", second)
