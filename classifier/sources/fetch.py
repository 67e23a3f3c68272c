"""Get one file from a web address or a path: resume after a cut, verify before use."""

import errno
import hashlib
import http.client
import json
import re
import shutil
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from classifier.core.addresses import shown_address
from classifier.core.cache import locked
from classifier.core.errors import UserError
from classifier.core.files import replacing, write_json
from classifier.sources.web_requests import open_address

ATTEMPTS = 5  # in a row without a new byte
FIRST_PAUSE = 1.0  # seconds before the second attempt; each further pause is twice as long
TIMEOUT = 30.0  # seconds without an answer or a byte
_BLOCK = 1 << 18
_TRANSIENT = frozenset(
    {408, 425, 429, 500, 502, 503, 504}
)  # statuses that may disappear by themselves


class Checksum(NamedTuple):
    """The checksum of a file: `algorithm` is sha256 or md5, `digest` is hexadecimal."""

    algorithm: str
    digest: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.digest}"

    def of(self, path: Path) -> "Checksum":
        """Return the checksum of `path` by the same algorithm."""
        with path.open("rb") as file:
            return Checksum(self.algorithm, hashlib.file_digest(file, self.algorithm).hexdigest())


class _CutError(Exception):
    """The connection failed in a way that another attempt may succeed after."""


def parse_checksum(text: str) -> Checksum:
    """Parse `sha256:` and 64 hexadecimal digits, or `md5:` and 32; else raise ValueError."""
    if not re.fullmatch(r"sha256:[0-9a-fA-F]{64}|md5:[0-9a-fA-F]{32}", text):
        raise ValueError(
            f"{text!r} is no checksum; write sha256: and 64 hexadecimal digits, or md5: and 32."
        )
    algorithm, _, digest = text.partition(":")
    return Checksum(algorithm, digest.lower())


def download(url: str, checksum: Checksum, cache: Path) -> Path:
    """Download `url` to the folder `cache` once; return the path of the verified file.

    A download that was cut goes on where it stopped, also in another process, and a file that is
    there already is not downloaded again. Proxies are taken from the environment.

    Raises:
        UserError: The file cannot be downloaded, or has another checksum.
    """
    kept = cache / f"{checksum.algorithm}-{checksum.digest}"
    partial = partial_path(url, checksum, cache)
    with _sentence_when_full(cache), locked(partial.with_suffix(".lock")):
        if kept.exists() and checksum.of(kept) == checksum:
            return kept
        if not (partial.exists() and checksum.of(partial) == checksum):
            _receive(url, partial)
        _note(partial).unlink(missing_ok=True)
        _verify(partial, checksum, shown_address(url))
        return partial.replace(kept)


def link_or_copy(source: Path, destination: Path) -> None:
    """Make `destination` the same file as `source`, or a copy of it on another file system.

    Only for files that nobody changes in place: a change would reach both.
    """
    with _sentence_when_full(destination.parent):
        destination.parent.mkdir(parents=True, exist_ok=True)
        destination.unlink(missing_ok=True)
        try:
            destination.hardlink_to(source)
        except OSError:  # another file system, or one without hard links
            with replacing(destination) as temporary:
                shutil.copyfile(source, temporary)


def check_file(source: Path, checksum: Checksum | None) -> None:
    """Raise UserError if there is no such file, or if it has another checksum."""
    if source.is_dir():
        raise UserError(f"{source} is a folder: set download.source to folder, or name a file.")
    if not source.is_file():
        raise UserError(f"there is no file {source}: correct download.url.")
    if checksum is not None:
        _compare(source, checksum, str(source))


def copy_file(source: Path, destination: Path, checksum: Checksum | None) -> None:
    """Copy a file and verify it if there is a checksum; `destination` is never partial.

    Raises:
        UserError: The copy has another checksum.
    """
    with _sentence_when_full(destination.parent), replacing(destination) as temporary:
        with (
            source.open("rb") as reader,
            temporary.open("wb") as writer,
            _progress(source.name, 0, source.stat().st_size) as bar,
        ):
            while block := reader.read(_BLOCK):
                writer.write(block)
                bar.update(len(block))
        if checksum is not None:
            _compare(temporary, checksum, str(source))


def partial_path(url: str, checksum: Checksum, cache: Path) -> Path:
    """Return the path of the bytes of an unfinished download."""
    return cache / f"{hashlib.sha256(f'{url} {checksum}'.encode()).hexdigest()[:32]}.part"


def _verify(path: Path, checksum: Checksum, origin: str) -> None:
    """Raise UserError and remove `path`, a temporary file, if it has another checksum."""
    try:
        _compare(path, checksum, origin)
    except UserError:
        path.unlink()
        raise


def _compare(path: Path, checksum: Checksum, origin: str) -> None:
    """Raise UserError if `path`, which has come from `origin`, has another checksum."""
    found = checksum.of(path)
    if found != checksum:
        raise UserError(
            f"{origin} has the checksum {found}, but download.checksum is {checksum}: if the file "
            f"was renewed on purpose, set download.checksum to the first, or else try again."
        )


def _receive(url: str, partial: Path) -> None:
    """Download the rest of `url` into `partial`, with new attempts after each cut."""
    shown = shown_address(url)
    most, failures = _size(partial), 0
    while True:
        try:
            return _request(url, partial)
        except _CutError as error:
            if _size(partial) > most:
                most, failures = _size(partial), 0
            failures += 1
            if failures == ATTEMPTS:
                raise UserError(
                    f"{shown} cannot be downloaded ({error}): check the address and the network, "
                    f"then try again; {_size(partial):,} bytes have arrived and are kept."
                ) from error
            pause = FIRST_PAUSE * 2 ** (failures - 1)
            tqdm.write(
                f"{shown_address(url)}: {error}; trying again in {pause:g} s", file=sys.stderr
            )
            time.sleep(pause)


def _request(url: str, partial: Path) -> None:
    """Send one request for the bytes that `partial` lacks, and append the answer."""
    response = _open(url, partial)
    with response:
        have = _size(partial) if response.status == http.HTTPStatus.PARTIAL_CONTENT else 0
        if have and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            partial.unlink()
            raise _CutError("the server sent another part than the one asked for")
        length = response.headers.get("Content-Length")
        total = have + int(length) if length is not None else None
        validator = response.headers.get("ETag") or response.headers.get("Last-Modified")
        write_json(_note(partial), {"url": shown_address(url), "validator": validator})
        name = urllib.parse.unquote(urllib.parse.urlsplit(url).path.rpartition("/")[2])
        most = have + shutil.disk_usage(partial.parent).free // 2
        with partial.open("ab" if have else "wb") as file, _progress(name, have, total) as bar:
            while block := _read(response):
                file.write(block)
                bar.update(len(block))
                if total is None and file.tell() > most:
                    break
    if total is None and _size(partial) > most:
        partial.unlink()
        raise UserError(
            f"{shown_address(url)} sends more than {most:,} bytes, half of the free space of "
            f"{partial.parent}, and does not say how many there are: correct download.url."
        )
    if total is not None and _size(partial) < total:
        raise _CutError(f"the connection was cut after {_size(partial):,} of {total:,} bytes")


def _open(url: str, partial: Path) -> http.client.HTTPResponse:
    shown = shown_address(url)
    try:
        return open_address(_question(url, partial), TIMEOUT)
    except UserError:
        raise
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            partial.unlink(missing_ok=True)
            raise _CutError("the file has become shorter") from error
        if error.code in _TRANSIENT:
            raise _CutError(f"the server answers {error.code} {error.reason}") from error
        if error.code < 400:
            raise UserError(f"{shown} redirects in a circle: correct download.url.") from error
        raise UserError(
            f"{shown} cannot be downloaded: the server answers {error.code} {error.reason}; "
            "correct download.url, or ask for access."
        ) from error
    except (http.client.InvalidURL, ValueError) as error:
        raise UserError(
            f"{shown} is no valid web address ({error}): correct download.url."
        ) from error
    except (OSError, http.client.HTTPException) as error:
        raise _CutError(_reason(error)) from error


def _question(url: str, partial: Path) -> urllib.request.Request:
    """Return the request for the bytes after those of `partial`, or for all if it has none.

    If-Range makes a server whose file has changed send the new file from its start.
    """
    # Quotes spaces and letters beyond ASCII (a space becomes %20); quoted text stays as it is.
    request = urllib.request.Request(urllib.parse.quote(url, safe=":/?#[]@!$&'()*+,;=%~"))
    request.add_header("User-Agent", "reproducible-image-classifier")
    if have := _size(partial):
        request.add_header("Range", f"bytes={have}-")
        note = _note(partial)
        validator = json.loads(note.read_bytes())["validator"] if note.exists() else None
        # A weak validator (W/) does not promise the same bytes, so servers refuse it here.
        if validator is not None and not validator.startswith("W/"):
            request.add_header("If-Range", validator)
    return request


def _read(response: http.client.HTTPResponse) -> bytes:
    try:
        return response.read(_BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise _CutError(_reason(error)) from error


def _reason(error: Exception) -> str:
    reason = getattr(error, "reason", None) or error
    return getattr(reason, "strerror", None) or str(reason) or type(reason).__name__


def _note(partial: Path) -> Path:
    """Return the path of the JSON file that says which version of the file `partial` is of."""
    return partial.with_suffix(".json")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _progress(name: str, have: int, total: int | None) -> tqdm:
    """Return a progress bar of bytes, which is shown only on a terminal."""
    return tqdm(
        desc=name,
        initial=have,
        total=total,
        unit="B",
        unit_scale=True,
        unit_divisor=1024,
        disable=None,
    )


@contextmanager
def _sentence_when_full(*folders: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        places = " and ".join(str(folder) for folder in folders)
        raise UserError(f"the disk is full: free some space for {places}.") from error
