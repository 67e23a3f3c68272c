"""Where things are kept that may be lost without harm: unfinished downloads, states to resume.

They lie outside the project, since DVC deletes a stage's outputs before it runs the stage, and
runs queued experiments in a folder that it throws away.
"""

import hashlib
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from classifier.core.files import write_bytes

if TYPE_CHECKING:
    from torch import Tensor

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

CACHE_VARIABLE = "CLASSIFIER_CACHE"
_DIGEST_BYTES = hashlib.sha256().digest_size


def cache_folder(kind: str) -> Path:
    """The folder for things of this kind, which is there afterwards.

    It lies in the folder that the environment variable CLASSIFIER_CACHE names, or else in the
    system's folder for caches.
    """
    chosen = os.environ.get(CACHE_VARIABLE)
    root = Path(chosen) if chosen else platformdirs.user_cache_path("reproducible-image-classifier")
    folder = root / kind
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def write_checked(path: Path, content: bytes) -> None:
    """Write `content` behind its own SHA-256."""
    write_bytes(path, hashlib.sha256(content).digest() + content)


def read_checked(path: Path) -> bytes | None:
    """What `write_checked` wrote to `path`; None where it is missing, damaged or of another."""
    try:
        stored = path.read_bytes()
    except FileNotFoundError:
        return None
    digest, content = stored[:_DIGEST_BYTES], stored[_DIGEST_BYTES:]
    return content if hashlib.sha256(content).digest() == digest else None


def digest_tensors(tensors: Mapping[str, "Tensor"]) -> str:
    """The SHA-256 of all tensors' names and values, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, tensor in tensors.items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait until no other process is inside `locked(path)`; the end of a process opens its lock.

    `path` is created and stays. On Windows, which has no such lock, nothing is locked.
    """
    with path.open("ab") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"waiting for another process that uses {path}", file=sys.stderr)
                fcntl.flock(file, fcntl.LOCK_EX)
        yield
