"""Write files atomically: a reader sees the old content or the new, never a part."""

import csv
import glob
import hashlib
import json
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # pandas takes longer to import than most programs that write a file run
    import pandas as pd


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success flush it to disk and rename it to `path`.

    What killed processes of this machine left of the same file is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    ours = f".{path.name}.{_machine()}-"
    for left in path.parent.glob(f"{glob.escape(ours)}*.tmp"):
        process = left.name.removeprefix(ours).removesuffix(".tmp")
        if process.isdecimal() and not _is_running(int(process)):
            with suppress(OSError):  # it may belong to another user
                left.unlink()
    temporary = path.with_name(f"{ours}{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@cache
def _machine() -> str:
    """Return a short name of what gives process ids their meaning: a machine, or a container."""
    namespace = Path("/proc/self/ns/pid")
    number = namespace.stat().st_ino if namespace.exists() else 0
    return hashlib.sha256(f"{socket.gethostname()} {number}".encode()).hexdigest()[:8]


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (OverflowError, ProcessLookupError):
        return False
    except PermissionError:  # another user's
        return True
    return True


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path` atomically; create missing folders."""
    with replacing(path) as temporary:
        temporary.write_bytes(content)


def json_bytes(content: dict[str, Any] | list[dict[str, Any]]) -> bytes:
    """Return `content` as indented UTF-8 JSON.

    Raises:
        ValueError: For NaN and infinity, which JSON does not have.
    """
    return f"{json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)}\n".encode()


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write `content` as `json_bytes` returns it."""
    write_bytes(path, json_bytes(content))


def write_csv(path: Path, table: "pd.DataFrame") -> None:
    """Write `table` as UTF-8 CSV without its index, the same bytes on every system."""
    write_bytes(path, table.to_csv(index=False, lineterminator="\n").encode())


def write_rows(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write UTF-8 CSV row by row: a data frame of a million rows takes far more memory.

    `rows` may be a generator; where it raises, the file stays as it was.
    """
    with (
        replacing(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal, read in blocks."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
