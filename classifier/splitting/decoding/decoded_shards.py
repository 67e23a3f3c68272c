"""Decode the shards of a data set, of which those that were decoded before are in the cache."""

import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
from tqdm import tqdm

from classifier.core.cache import cache_folder
from classifier.core.code import code_digest
from classifier.core.errors import UserError
from classifier.core.executors import SCHEDULER_VARIABLE, open_executor
from classifier.core.processes import worker_count
from classifier.core.versions import installed_versions
from classifier.processing.images import Preprocessing
from classifier.splitting.decoding.raw_files import RawFiles
from classifier.splitting.decoding.shard_entries import (
    DecodedShard,
    DecodeTask,
    ShardImages,
    decode_shards,
    facts_of,
    read_entry,
)

_KEPT_DAYS = 30
# Shards of one archive that are written at the same time; each is an open file.
_OPEN_SHARDS = 256
# Threads decode fewer images as fast: each process takes about a second to start.
_MIN_IMAGES_FOR_PROCESSES = 5000

# The module whose import closure is the code that decodes.
DECODER = decode_shards.__module__


def decode(
    raw: RawFiles,
    images: Sequence[tuple[str, bytes]],
    shard_of: np.ndarray,
    preprocessing: Preprocessing,
) -> list[DecodedShard]:
    """Return all shards, decoded now or in an earlier run.

    The cache keeps a shard as long as a run uses it once in 30 days.

    Args:
        raw: The raw files.
        images: Path and SHA-256 of each image, sorted by path.
        shard_of: Shard of each image, int `(n,)`.
        preprocessing: How an image becomes a square.

    Raises:
        UserError: A raw file is damaged or has changed since its images were hashed.
    """
    folder = cache_folder("decoded")
    code = _code_key(preprocessing)
    shards: list[ShardImages] = []
    for number in range(raw.shards):
        listed = [images[row] for row in np.flatnonzero(shard_of == number).tolist()]
        shards.append(ShardImages(folder / _key(code, listed), listed))
    with ThreadPoolExecutor(worker_count()) as pool:
        known = list(pool.map(read_entry, [shard.entry for shard in shards]))
    # Before the others are decoded, which may take hours: another run may remove old entries.
    for shard, entry in zip(shards, known, strict=True):
        if entry is not None:
            facts_of(shard.entry).touch()
    missing = {number: shard for number, shard in enumerate(shards) if known[number] is None}
    _run(_tasks(raw, missing, preprocessing))
    decoded: list[DecodedShard] = []
    for shard, entry in zip(shards, known, strict=True):
        found = entry or read_entry(shard.entry, trusted=True)
        if found is None:
            raise UserError(
                f"{shard.entry} has gone while the stage ran: run it again, and give two runs "
                "on different machines the same cache folder only if they see the same files."
            )
        decoded.append(found)
    _remove_old(folder)
    return decoded


def _tasks(
    raw: RawFiles, missing: Mapping[int, ShardImages], preprocessing: Preprocessing
) -> list[DecodeTask]:
    """Divide shards into tasks: one for each, or few where a raw file is read from its start."""
    numbers = sorted(missing)
    alone = len(raw.files) > 1 or raw.files[0].reads_in_any_order()
    size = 1 if alone else _OPEN_SHARDS
    parts = [numbers[start : start + size] for start in range(0, len(numbers), size)]
    threads = max(1, worker_count() // max(1, len(parts)))
    return [
        DecodeTask(
            raw.file_of(part[0])._replace(path=raw.file_of(part[0]).path.absolute()),
            [missing[number] for number in part],
            preprocessing,
            threads,
            has_bar=len(parts) == 1,
        )
        for part in parts
    ]


def _run(tasks: Sequence[DecodeTask]) -> None:
    """Decode all tasks: in threads of this process, or in processes, or on a Dask cluster."""
    if not tasks:
        return
    total = sum(len(shard.images) for task in tasks for shard in task.shards)
    is_small = len(tasks) <= 1 or total < _MIN_IMAGES_FOR_PROCESSES
    if is_small and not os.environ.get(SCHEDULER_VARIABLE):
        for task in tasks:
            decode_shards(task._replace(threads=worker_count()))
        return
    # No new file in data/raw/, of which DVC would notice it.
    shared = [*sorted({task.file.path for task in tasks}), tasks[0].shards[0].entry.parent]
    with (
        open_executor(len(tasks), shared=shared) as executor,
        tqdm(desc="split", total=len(tasks), unit="shards", disable=None) as bar,
    ):
        for _ in executor.map(decode_shards, tasks, _name):
            bar.update()


def _name(task: DecodeTask) -> str:
    return f"decode {task.file.path}"


def _code_key(preprocessing: Preprocessing) -> bytes:
    """Return what the decoded images depend on, besides the image files."""
    depends_on = {
        "preprocessing": asdict(preprocessing),
        "code": code_digest(DECODER),
        "versions": installed_versions("numpy", "pillow", "pillow-heif"),
    }
    return json.dumps(depends_on, sort_keys=True).encode()


def _key(code: bytes, images: Sequence[tuple[str, bytes]]) -> str:
    digest = hashlib.sha256(code)
    for path, content in images:
        digest.update(f"\n{content.hex()} {path}".encode())
    return digest.hexdigest()[:32]


def _remove_old(folder: Path) -> None:
    """Remove the files of entries that no run has used for _KEPT_DAYS.

    The file of facts tells when that was; the other one is linked to, and DVC notes its times.
    """
    oldest = time.time() - _KEPT_DAYS * 24 * 3600
    for images in folder.glob("*.npy"):
        facts = facts_of(images.with_suffix(""))
        with suppress(FileNotFoundError):  # another run that shares the cache was faster
            used = facts if facts.exists() else images
            if used.stat().st_mtime < oldest:
                facts.unlink(missing_ok=True)
                images.unlink(missing_ok=True)
