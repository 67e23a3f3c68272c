"""What an added, a replaced and a removed image cost: bytes of DVC's cache and of a push, seconds.

    python benchmarks/data/growth.py cifar.zip --side 32 --suffix .png
    python benchmarks/data/growth.py boats.zip --side 256 --stored-size 128

Takes `--count` images of the archive, scaled to `--side` pixels; where it holds fewer, they are
taken again, each time shifted by other pixels. Runs the stages download and split of a copy of this
project with the preset photos by `dvc repro`, and pushes to a folder. `--shards 1` shows what it
costs without shards.
"""

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from classifier.processing.formats import IMAGE_SUFFIXES

ROOT = Path(__file__).resolve().parents[2]
TABLES = ("data/raw", "data/split", "results/split")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--side", type=int, required=True)
    parser.add_argument("--stored-size", type=int)
    parser.add_argument("--suffix", default=".jpg")
    parser.add_argument("--shards", type=int, default=64)
    parser.add_argument("--similarity", default="0.75")
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        photos, project = Path(folder) / "photos", Path(folder) / "project"
        for name, content in images(options.archive, options.count, options.side, options.suffix):
            (photos / name).parent.mkdir(parents=True, exist_ok=True)
            (photos / name).write_bytes(content)
        bench = Bench(project)
        stored_size = options.stored_size or options.side
        knobs = {
            "download.url": photos,
            "download.shards": options.shards,
            "split.stored_size": stored_size,
            "split.duplicate_similarity": options.similarity,
            "split.min_images_per_class": 3,
            "split.checks.min_side": 8,
            "train.input_size": stored_size * 7 // 8,
        }
        assignments = [f"{knob}={value}" for knob, value in knobs.items()]
        bench.run("classifier", "preset", "photos", *assignments)
        print(f"originals {size_of(photos) / 2**20:.1f} MiB")
        bench.measure("first run")
        files = sorted(path for path in photos.rglob("*") if path.is_file())
        added = files[0].with_name(f"new{options.suffix}")
        added.write_bytes(encode(Image.open(files[0]).transpose(Image.Transpose.ROTATE_90), added))
        bench.measure("one added")
        changed = Image.open(files[1]).transpose(Image.Transpose.ROTATE_90)
        files[1].write_bytes(encode(changed, files[1]))
        bench.measure("one replaced")
        files[2].unlink()
        bench.measure("one removed")
        for place in TABLES:
            for path in sorted((project / place).glob("*.csv")):
                print(f"{path.relative_to(project)}: {path.stat().st_size / 1e6:.2f} MB")


class Bench:
    """A copy of this project, with a DVC cache and a remote of its own."""

    def __init__(self, project: Path) -> None:
        self.project, self.remote = project, project.with_name("remote")
        listed = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
        names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in filter(None, names.split("\0")):
            if name != "dvc.lock" and not name.startswith("results/") and (ROOT / name).is_file():
                (project / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, project / name)
        subprocess.run(["git", "init", "--quiet"], cwd=project, check=True)
        self.run("dvc", "remote", "add", "--default", "folder", str(self.remote))
        self.stored, self.pushed = 0, 0

    def run(self, module: str, *arguments: str) -> None:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        cache = str(self.project.with_name("cache"))
        variables = {"CLASSIFIER_CACHE": cache, "PATH": path, "PYTHONPATH": ""}
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=self.project,
            env=os.environ | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(f"{module} {' '.join(arguments)}\n{done.stdout}\n{done.stderr}")

    def measure(self, change: str) -> None:
        started = time.perf_counter()
        before = os.times()
        self.run("dvc", "repro", "split")
        seconds, after = time.perf_counter() - started, os.times()
        processor = after.children_user + after.children_system
        processor -= before.children_user + before.children_system
        self.run("dvc", "push")
        stored, pushed = size_of(self.project / ".dvc/cache"), size_of(self.remote)
        timing = json.loads((self.project / "results/split/timing.json").read_bytes())
        disk = size_of(self.project, self.project.with_name("cache"))
        print(
            f"{change}: DVC's cache {described(stored, self.stored)}, remote "
            f"{described(pushed, self.pushed)}, split {timing['seconds']} s, dvc repro "
            f"{seconds:.1f} s ({processor:.1f} s of processor time); project and cache folder "
            f"{disk / 2**20:.1f} MiB",
            flush=True,
        )
        self.stored, self.pushed = stored, pushed


def described(size: int, before: int) -> str:
    """Return a number of bytes, and by which part it has grown."""
    growth = f" (+{(size - before) / before:.2%})" if before > 2**20 else ""
    return f"{size / 2**20:.2f} MiB{growth}"


def size_of(*folders: Path) -> int:
    """Bytes of all files; those that are links to one file count once."""
    found: dict[tuple[int, int], int] = {}
    for folder in folders:
        for path in folder.rglob("*"):
            status = path.lstat()
            if path.is_file() and not path.is_symlink():
                found[status.st_dev, status.st_ino] = status.st_size
    return sum(found.values())


def images(archive: Path, count: int, side: int, suffix: str) -> Iterator[tuple[str, bytes]]:
    """Yield names, `class/number`, and contents of image files."""
    with zipfile.ZipFile(archive) as opened:
        names = [name for name in opened.namelist() if Path(name).suffix.lower() in IMAGE_SUFFIXES]
        step = max(1, len(names) // count)
        chosen = names[::step][:count]
        scaled: dict[str, np.ndarray] = {}
        for number in range(count):
            name, again = chosen[number % len(chosen)], number // len(chosen)
            if name not in scaled:
                image = Image.open(io.BytesIO(opened.read(name))).convert("RGB")
                image.thumbnail((side, side))
                scaled[name] = np.asarray(image)
            shifted = np.roll(scaled[name], (17 * again, 29 * again), axis=(0, 1))
            path = f"{Path(name).parent.name}/{number:06d}{suffix}"
            yield path, encode(Image.fromarray(shifted), Path(path))


def encode(image: Image.Image, path: Path) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG" if path.suffix == ".png" else "JPEG")
    return buffer.getvalue()


if __name__ == "__main__":
    main()
