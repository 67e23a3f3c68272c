"""Get the images that `download.source` names, verified, in data/raw/, with their labels."""

import sys
import time
from pathlib import Path

if __name__ == "__main__":  # `python stages/download.py` finds the packages of this project
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from classifier.core.config import load_section
from classifier.core.stage import run_stage
from classifier.core.text import escape_name
from classifier.core.timing import write_timing
from classifier.sources.acquire import acquire
from classifier.sources.params import DownloadParams
from classifier.sources.tracking import describe_untracked

RAW = Path("data/raw")


def main() -> None:
    """Run the stage."""
    started = time.perf_counter()
    params = load_section("download", DownloadParams)
    files, lines = acquire(params, RAW)
    size = sum(file.stat().st_size for file in files)
    hold = f"{files[0]} holds" if len(files) == 1 else f"{len(files)} files in {RAW} hold"
    print(f"download: {hold} the images of {params.source}, {size / 1e6:.1f} MB")
    untracked = describe_untracked(Path(params.watch), "download.url and download.watch")
    for line in [*lines, *untracked]:
        print(f"download: {escape_name(line)}")
    write_timing("download", started, megabytes=round(size / 1e6, 1))


if __name__ == "__main__":
    run_stage("download", main)
