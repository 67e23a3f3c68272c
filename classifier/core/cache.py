"""The cache folder: unfinished downloads, checkpoints, features; all may be lost without harm.

It lies outside the project, since DVC deletes a stage's outputs before it runs the stage, and
runs queued experiments in a temporary folder.
"""

import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from classifier.core.errors import UserError
from classifier.core.files import write_bytes

if TYPE_CHECKING:
    from torch import Tensor

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

CACHE_VARIABLE = "CLASSIFIER_CACHE"
_SCRATCH, _SCRATCH_SECONDS = "scratch-", 86400
_DIGEST_BYTES = hashlib.sha256().digest_size


def cache_folder(kind: str) -> Path:
    """Return the folder for one kind of cached files; create it where it is missing.

    It lies in the folder that the environment variable CLASSIFIER_CACHE names, or else in the
    user's cache folder of this operating system.

    Raises:
        UserError: The folder cannot be created or written to.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    try:
        root = (
            Path(chosen).expanduser()
            if chosen
            else platformdirs.user_cache_path("reproducible-image-classifier")
        )
    except RuntimeError as error:  # `~` of a user whom the system does not know
        raise _not_writable(Path(chosen or ""), str(error).rstrip(".")) from None
    folder = root.absolute() / kind
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_writable(folder, error.strerror or str(error)) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _not_writable(folder, "Permission denied")
    return folder


@contextmanager
def scratch_folder(kind: str) -> Iterator[Path]:
    """Yield a new empty folder in the cache folder `kind`; remove it afterwards.

    Such folders of programs that were killed are removed when they are a day old.

    Raises:
        UserError: As in `cache_folder`.
    """
    folder = cache_folder(kind)
    for left in folder.glob(f"{_SCRATCH}*"):
        with suppress(FileNotFoundError):  # another program that shares the cache was faster
            if time.time() - left.stat().st_mtime > _SCRATCH_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=_SCRATCH, dir=folder) as name:
        yield Path(name)


def _not_writable(folder: Path, reason: str) -> UserError:
    return UserError(
        f"the cache folder {folder} cannot be written to ({reason}): set the environment variable "
        f"{CACHE_VARIABLE} to a folder that can."
    )


def write_checked(path: Path, content: bytes) -> None:
    """Write the SHA-256 of `content` and then `content`, for `read_checked`."""
    write_bytes(path, hashlib.sha256(content).digest() + content)


def read_checked(path: Path) -> bytes | None:
    """Return what `write_checked` wrote to `path`; None where the file is missing or damaged."""
    try:
        stored = path.read_bytes()
    except FileNotFoundError:
        return None
    digest, content = stored[:_DIGEST_BYTES], stored[_DIGEST_BYTES:]
    return content if hashlib.sha256(content).digest() == digest else None


def digest_tensors(tensors: Mapping[str, "Tensor"]) -> str:
    """Return the SHA-256 of names, dtypes, shapes and values, in hexadecimal, in any order."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path`; wait while another process holds it.

    The system releases the lock when the process ends, however it ends. `path` is created and
    stays. On Windows nothing is locked.
    """
    with path.open("ab") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"waiting for another process that uses {path}", file=sys.stderr)
                fcntl.flock(file, fcntl.LOCK_EX)
        yield
