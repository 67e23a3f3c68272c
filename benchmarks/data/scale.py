"""Seconds and memory of each step from a folder of many images to data/split/.

    python benchmarks/data/scale.py [--sizes 10000 100000 1000000] [--real CIFAR.zip 200000]
        [--search index] [--folder FOLDER]

Synthetic images are PNG files of 8 x 8 pixels, 1,000 to a folder, of ten classes. Real ones are
CIFAR-10's as PNG files, and, beyond 60,000, crops of them as files of their own. Each size gets a
project in a temporary folder: the stages download and split with 64 shards, split once more
(nothing is decoded again), `dvc add` of data/raw and data/split, `dvc status`, and `dvc add` of the
folder of up to 200,000 images itself, for comparison. Prints wall and processor seconds of each
step and the peak of its memory. A million images take about 6 GB of disk, which is freed again.
"""

import argparse
import io
import json
import os
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

ROOT = Path(__file__).parents[2]
CLASSES, A_FOLDER, SIDE = 10, 1000, 8
# With more files, the folder itself is not put under DVC: it would take an hour.
MOST_LOOSE = 200_000
# Steps of a stage: module and function, and what the table calls it.
STEPS = {
    "download": [
        ("classifier.sources.acquire", "list_folder", "list files"),
        ("classifier.sources.acquire", "_label", "label"),
        ("classifier.sources.acquire", "write_labels", "write labels.csv"),
        ("classifier.sources.acquire", "write_files", "write files.csv"),
    ],
    "split": [
        ("classifier.splitting.split", "read_labels", "read labels.csv"),
        ("classifier.splitting.split", "hash_images", "hash images"),
        ("classifier.splitting.split", "_decode", "decode"),
        ("classifier.splitting.split", "_find_duplicates", "find duplicates"),
        ("classifier.splitting.split", "assign", "assign"),
        ("classifier.splitting.split", "_write_tables", "write manifest"),
        ("stages.split", "load_dataset", "read manifest"),
        ("stages.split", "write_results", "write results"),
        ("stages.split", "write_account", "write files.csv"),
    ],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--real", nargs=2, metavar=("CIFAR.zip", "COUNT"))
    parser.add_argument("--search", default="exact", choices=("exact", "index", "none"))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--stage", choices=STEPS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.stage:
        run_with_steps(options.stage)
        return
    for size in options.sizes:
        with tempfile.TemporaryDirectory(dir=options.folder) as work:
            write_all(Path(work, "images"), synthetic(size))
            measure(Path(work), "synthetic", size, options.search)
    if options.real:
        archive, count = options.real
        with tempfile.TemporaryDirectory(dir=options.folder) as work:
            write_all(Path(work, "images"), real(Path(archive), int(count)))
            measure(Path(work), "real", int(count), options.search)


def measure(work: Path, kind: str, count: int, search: str) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
    images, what = work / "images", f"{count:,} {kind}"
    params["download"] |= {
        "source": "folder",
        "url": str(images),
        "watch": str(images),
        "shards": 64,
        "class_level": 1,
    }
    near = (
        {"duplicate_similarity": None}
        if search == "none"
        else {"duplicate_similarity": 0.75, "duplicate_search": search}
    )
    params["split"] |= {"stored_size": SIDE if kind == "synthetic" else 32, **near}
    (work / "data").mkdir()
    (work / "params.yaml").write_text(yaml.safe_dump(params), "utf-8")
    shutil.copy(ROOT / "data/corrections.csv", work / "data")
    own = [sys.executable, __file__, "--stage"]
    dvc = [sys.executable, "-m", "dvc"]
    row(what, "files on disk", 0, 0, 0, note=disk(images))
    run(what, "download", work, [*own, "download"])
    run(what, "split", work, [*own, "split"])
    run(what, "split again", work, [*own, "split"])
    for command in (["init", "-q", "--no-scm"], ["config", "cache.type", "reflink,hardlink,copy"]):
        subprocess.run([*dvc, *command], cwd=work, check=True)
    run(what, "dvc add data/raw", work, [*dvc, "add", "-q", "data/raw"], disk(work / "data/raw"))
    run(
        what,
        "dvc add data/split",
        work,
        [*dvc, "add", "-q", "data/split"],
        disk(work / "data/split"),
    )
    run(what, "dvc status", work, [*dvc, "status", "-q"])
    if count > MOST_LOOSE:
        return
    run(what, "dvc add images", work, [*dvc, "add", "-q", "images"])
    run(what, "dvc status with images", work, [*dvc, "status", "-q"])


def run(what: str, step: str, work: Path, command: list[str], note: str = "") -> None:
    """Run a program, and print what it and its processes took."""
    steps = work / "steps.json"
    steps.unlink(missing_ok=True)
    variables = {"PYTHONPATH": str(ROOT), "CLASSIFIER_CACHE": str(work / "cache")}
    begin, before = time.perf_counter(), processor(resource.RUSAGE_CHILDREN)
    with (work / "log").open("w") as log:
        started = subprocess.Popen(
            command, cwd=work, env=os.environ | variables, stdout=log, stderr=log
        )
        _, status, usage = os.wait4(started.pid, 0)
    started.returncode = os.waitstatus_to_exitcode(status)
    if started.returncode:
        sys.exit((work / "log").read_text())
    took = time.perf_counter() - begin, processor(resource.RUSAGE_CHILDREN) - before
    row(what, step, *took, usage.ru_maxrss / 1024, note)
    if steps.exists():
        for name, wall, cpu, peak in json.loads(steps.read_bytes()):
            row(what, f"· {name}", wall, cpu, peak)


def row(what: str, step: str, wall: float, cpu: float, peak: float, note: str = "") -> None:
    print(
        f"| {what} | {step} | {wall:,.1f} s | {cpu:,.1f} s | {peak:,.0f} MiB | {note} |", flush=True
    )


def run_with_steps(stage: str) -> None:
    """Run a stage; write seconds of its steps and the memory's peak after each to steps.json."""
    found: list[tuple[str, float, float, float]] = []

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            wall, cpu = time.perf_counter(), processor(resource.RUSAGE_SELF)
            children = processor(resource.RUSAGE_CHILDREN)
            try:
                return function(*arguments, **named)
            finally:
                used = processor(resource.RUSAGE_SELF) - cpu
                used += processor(resource.RUSAGE_CHILDREN) - children
                peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
                found.append((name, time.perf_counter() - wall, used, peak))

        return call

    for module_name, function, name in STEPS[stage]:
        module = import_module(module_name)
        setattr(module, function, timed(name, getattr(module, function)))
    import_module(f"stages.{stage}").main()
    Path("steps.json").write_text(json.dumps(found), "utf-8")


def processor(who: int) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def disk(folder: Path) -> str:
    """Number of files below `folder`, their bytes, and the bytes that they take on the disk."""
    count = size = taken = 0
    # Not a list: the peak of a new process begins with the memory of the one that starts it.
    for entry in walk(folder):
        state = entry.stat()
        count, size, taken = count + 1, size + state.st_size, taken + state.st_blocks * 512
    return f"{count:,} files, {size / 1e6:,.0f} MB, on the disk {taken / 1e6:,.0f} MB"


def walk(folder: Path) -> Iterator["os.DirEntry[str]"]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield from walk(Path(entry.path))
            else:
                yield entry


def write_all(folder: Path, images: Iterator[bytes]) -> None:
    for place, content in enumerate(images):
        below = folder / f"class{place % CLASSES}" / f"{place // (CLASSES * A_FOLDER):04d}"
        if place // CLASSES % A_FOLDER == 0:
            below.mkdir(parents=True, exist_ok=True)
        (below / f"{place:08d}.png").write_bytes(content)


def synthetic(count: int) -> Iterator[bytes]:
    """Yield different images as PNG files, without a library: a million in half a minute."""
    draw = np.random.default_rng(0)
    head = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0))
    tail = chunk(b"IEND", b"")
    for start in range(0, count, 10_000):
        size = min(10_000, count - start)
        coarse = draw.integers(0, 256, (size, 4, 4, 3), np.uint8).repeat(2, 1).repeat(2, 2)
        rows = np.zeros((size, SIDE, SIDE * 3 + 1), np.uint8)
        rows[:, :, 1:] = (coarse // 2 + draw.integers(0, 128, coarse.shape, np.uint8)).reshape(
            size, SIDE, SIDE * 3
        )
        for image in rows:
            yield head + chunk(b"IDAT", zlib.compress(image.tobytes(), 0)) + tail


def chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def real(archive: Path, count: int) -> Iterator[bytes]:
    draw = np.random.default_rng(0)
    with zipfile.ZipFile(archive) as file:
        names = [name for name in file.namelist() if name.endswith(".png")]
        for place in range(count):
            content = file.read(names[place % len(names)])
            if place < len(names):
                yield content
                continue
            left, top, side = *draw.integers(0, 7, 2), draw.integers(18, 26)
            box = (int(left), int(top), int(left + side), int(top + side))
            image = Image.open(io.BytesIO(content)).resize((32, 32), box=box)
            buffer = io.BytesIO()
            image.save(buffer, "PNG", compress_level=1)
            yield buffer.getvalue()


if __name__ == "__main__":
    main()
