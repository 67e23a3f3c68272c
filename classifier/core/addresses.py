"""Addresses of data and weights as text: of which kind they are, and how to print them."""

import urllib.parse
import urllib.request
from pathlib import Path


def is_web_address(url: str) -> bool:
    """Return whether `url` is an address of HTTP or HTTPS."""
    return url.lower().startswith(("http://", "https://"))


def local_path(url: str) -> Path:
    """Return the path that a `file:` address or a plain path names.

    Raises:
        ValueError: The address names another computer.
    """
    if not url.lower().startswith("file:"):
        return Path(url)
    parts = urllib.parse.urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise ValueError(f"{url!r} names a file of another computer; write file:///path.")
    return Path(urllib.request.url2pathname(parts.path))


def check_without_password(url: str | None, knob: str) -> None:
    """Raise ValueError for a web address with a password, which Git would keep for ever."""
    if url is not None and is_web_address(url) and "@" in _authority(url):
        raise ValueError(
            f"{knob} holds a name or password: write them to ~/.netrc instead (`machine HOST login "
            "NAME password PASSWORD`), and the address without them."
        )


def shown_address(url: str) -> str:
    """Return a web address as it may be printed and shared, other texts as they are.

    A query, which may hold a token, becomes `?…`; a name and password go.
    """
    if not is_web_address(url):
        return url
    head = url.partition("#")[0].partition("?")
    authority = _authority(url)
    safe = head[0].replace(authority, authority.rpartition("@")[2], 1)
    return f"{safe}?…" if head[1] else safe


def _authority(url: str) -> str:
    """Return what stands between `//` and the path; unlike `urlsplit`, of any text."""
    after = url.partition("//")[2]
    ends = [place for mark in "/?#" if (place := after.find(mark)) >= 0]
    return after[: min(ends, default=len(after))]
