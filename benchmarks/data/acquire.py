"""Seconds and peak memory of the download and split stages for one archive of images.

    python benchmarks/data/acquire.py --archive cifar-10-python.tar.gz --source cifar10
    python benchmarks/data/acquire.py --archive cifar-10-png.zip [--every 2]
    python benchmarks/data/acquire.py --archive boats.zip --stored-size 256 \\
        --min-images-per-class 40

With `--every 2` only every second image is packed and measured: the memory that `split` needs
must not grow with the images, only with their names. The figures: benchmarks/data/README.md.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import yaml

from classifier.core.config import read_params
from classifier.core.files import sha256_of
from classifier.sources.archives import list_members, read_members, write_zip

ROOT = Path(__file__).resolve().parents[2]


class Cost(NamedTuple):
    """What a program took, its start included."""

    seconds: float
    peak_megabytes: float


def main() -> None:
    arguments = parse_arguments()
    with tempfile.TemporaryDirectory() as folder:
        archive = arguments.archive.resolve()
        if arguments.every > 1:
            archive = thin_out(archive, Path(folder) / "part.zip", arguments.every)
        params = read_params(ROOT / "params.yaml")
        params["download"] |= {
            "source": arguments.source,
            "url": str(archive),
            "checksum": f"sha256:{sha256_of(archive)}",
        }
        params["split"] |= {
            "stored_size": arguments.stored_size,
            "min_images_per_class": arguments.min_images_per_class,
        }
        (Path(folder) / "params.yaml").write_text(yaml.safe_dump(params), "utf-8")
        for stage in ("download", "split"):
            cost = run_stage(stage, Path(folder))
            print(f"{stage}: {cost.seconds:.1f} s, peak {cost.peak_megabytes:.0f} MiB")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--archive", type=Path, required=True)
    parser.add_argument("--source", choices=("archive", "cifar10"), default="archive")
    parser.add_argument("--stored-size", type=int, default=32)
    parser.add_argument("--min-images-per-class", type=int, default=3)
    parser.add_argument("--every", type=int, default=1)
    return parser.parse_args()


def thin_out(archive: Path, part: Path, every: int) -> Path:
    """Pack every n-th member of `archive` into `part`; return that path."""
    names = {member.name for member in list_members(archive)[::every]}
    write_zip(part, read_members(archive, names.__contains__))
    return part


def run_stage(stage: str, folder: Path) -> Cost:
    """Run a stage's program in `folder`, on this checkout's library."""
    started = time.perf_counter()
    command = [sys.executable, "-m", f"stages.{stage}"]
    process = subprocess.Popen(command, cwd=folder, env=os.environ | {"PYTHONPATH": str(ROOT)})
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        sys.exit(f"the stage {stage} failed")
    unit = 1 if sys.platform == "darwin" else 1024
    return Cost(time.perf_counter() - started, usage.ru_maxrss * unit / 2**20)


if __name__ == "__main__":
    main()
