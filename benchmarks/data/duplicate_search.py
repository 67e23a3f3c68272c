"""How long the search for near-duplicates takes, exact and by the index, and what the index finds.

    python benchmarks/data/duplicate_search.py CIFAR.zip [--sizes 60000 200000 1000000]

CIFAR.zip holds CIFAR-10 as PNG files. Up to 60,000 the images are its own; beyond, they are made
from them by a crop of random side and place, a turn and a flip. Prints processor seconds of one
core, since the wall clock says what else the machine does: vectors, building the index, candidates,
details. Candidates of more than `--most` images are searched in that share of the rows that would
take as long as `--most` images, spread over all rows, and the seconds are multiplied.
Memory is the peak of this process. CLASSIFIER_CACHE is not used; files go to --folder.
"""

import argparse
import io
import resource
import tempfile
import time
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from threadpoolctl import threadpool_limits

from classifier.core.executors import open_executor
from classifier.splitting.duplicates import candidate_pairs, near_duplicates
from classifier.splitting.duplicates.candidate_pairs import Rows, find_in_rows
from classifier.splitting.duplicates.thumbnails import SIDE, grey_thumbnail

SIMILARITY = 0.75


class Search(NamedTuple):
    """Candidates, and the processor seconds that they took."""

    pairs: np.ndarray
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[60_000, 200_000, 1_000_000])
    parser.add_argument("--most", type=int, default=200_000)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    threadpool_limits(1)
    real = read_thumbnails(options.archive)
    print(
        "| images | vectors | exact | index built | index | pairs an image | details | found |"
        " peak |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for size in options.sizes:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            print(measure(Path(folder), real, size, options.most), flush=True)


def measure(folder: Path, real: np.ndarray, size: int, most: int) -> str:
    thumbnails, vectors = folder / "thumbnails.npy", folder / "vectors.npy"
    np.save(thumbnails, images_of(real, size))
    with open_executor(1) as executor:
        described = timed(near_duplicates._write_vectors, vectors, thumbnails, size, executor)[1]
    rows = chosen_rows(size, most)
    share = sum(len(part) for part in rows) / size
    exact = search(vectors, None, rows)
    index_file, built = timed(candidate_pairs._write_index, vectors)
    index = search(vectors, index_file, rows)
    stored = np.load(thumbnails, mmap_mode="r")
    some = exact.pairs[:: max(1, len(exact.pairs) // 100_000)]
    alike, compared = timed(near_duplicates._detail_similarity, stored, some)
    details = compared / max(1, len(some)) * len(exact.pairs) / share
    near = {tuple(pair) for pair in some[alike >= SIMILARITY].tolist()}
    found = near & {tuple(pair) for pair in index.pairs.tolist()}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    cells = [
        f"{size:,}",
        f"{described:.0f} s",
        f"{exact.seconds / share:,.0f} s",
        f"{built:.1f} s",
        f"{index.seconds / share:,.0f} s",
        f"{len(exact.pairs) / share / size:.1f}",
        f"{details:,.0f} s",
        f"{len(found):,} of {len(near):,}",
        f"{peak:,.0f} MiB",
    ]
    return f"| {' | '.join(cells)} |"


def search(vectors: Path, index_file: str | None, rows: list[range]) -> Search:
    tasks = [Rows(str(vectors), index_file, part[0], part[-1] + 1, 10**9) for part in rows]
    found, seconds = timed(lambda: [find_in_rows(task) for task in tasks])
    return Search(np.unique(np.concatenate(found), axis=0), seconds)


def chosen_rows(size: int, most: int) -> list[range]:
    """Whole tasks, spread over all rows, that take about as long as all rows of `most` images."""
    step = candidate_pairs._ROWS_A_TASK
    tasks = [range(first, min(first + step, size)) for first in range(0, size, step)]
    if size <= most:
        return tasks
    count = max(5, round(len(tasks) * (most / size) ** 2))
    return [tasks[int(place)] for place in np.linspace(0, len(tasks) - 1, count)]


def images_of(real: np.ndarray, size: int) -> np.ndarray:
    """Thumbnails uint8 `(size, SIDE, SIDE)`: the real ones, and crops of them."""
    if size <= len(real):
        return real[np.sort(np.random.default_rng(0).choice(len(real), size, replace=False))]
    draw = np.random.default_rng(0)
    made = np.empty((size, SIDE, SIDE), np.uint8)
    made[: len(real)] = real
    for row in range(len(real), size):
        side = draw.integers(16, 27)
        top, left = draw.integers(0, SIDE - side + 1, 2)
        image = real[draw.integers(len(real)), top : top + side, left : left + side]
        places = np.arange(SIDE) * side // SIDE
        turned = np.rot90(image[np.ix_(places, places)], int(draw.integers(4)))
        made[row] = turned[:, ::-1] if draw.integers(2) else turned
    return made


def read_thumbnails(archive: Path) -> np.ndarray:
    with zipfile.ZipFile(archive) as file:
        names = sorted(name for name in file.namelist() if name.endswith(".png"))
        images = (Image.open(io.BytesIO(file.read(name))).convert("RGB") for name in names)
        return np.stack([grey_thumbnail(np.asarray(image)) for image in images])


def timed(function, *arguments):
    begin = time.process_time()
    result = function(*arguments)
    return result, time.process_time() - begin


if __name__ == "__main__":
    main()
