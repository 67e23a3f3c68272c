"""How many images change their split when one image is added or removed.

    python benchmarks/data/split_stability.py

Draws the splits of two classes of 500 images each, with default fractions, by the hashes of
`classifier.splitting.assignment` and by a permutation of the files in the order of their names, as
scikit-learn's train_test_split does it. Prints the number of other images that move, the mean and
the maximum over 20 seeds. Takes some seconds.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from classifier.core.config import load_section
from classifier.data.dataset import Split
from classifier.splitting.apportionment import apportion
from classifier.splitting.assignment import assign
from classifier.splitting.params import SplitParams
from classifier.splitting.raw_images import RawImage

SIZE, SEEDS = 500, 20


class File(NamedTuple):
    """A file and what stands for its content, which stays when it is renamed."""

    image: RawImage
    content: str


Draw = Callable[[list[File], int], dict[str, Split]]


def main() -> None:
    files = [file_of(kind, 2 * place + 1) for kind in ("cat", "dog") for place in range(SIZE)]
    middle = SIZE // 2
    reverse = [
        file._replace(image=file_of(file.image.class_name, 9999 - place).image)
        for place, file in enumerate(files)
    ]
    changes = {
        "one added, first of its class": [file_of("cat", 0), *files],
        "one added, in the middle": [*files[:middle], file_of("cat", SIZE), *files[middle:]],
        "one added, last of its class": [*files[:SIZE], file_of("cat", 2 * SIZE), *files[SIZE:]],
        "first removed": files[1:],
        "one in the middle removed": [*files[:middle], *files[middle + 1 :]],
        "last removed": [*files[: SIZE - 1], *files[SIZE:]],
        "all renamed, in reverse order": sorted(reverse),
    }
    print("| change | by hashes, mean | most | by permutation, mean | most |")
    print("| --- | --- | --- | --- | --- |")
    for change, changed in changes.items():
        cells = []
        for draw in (by_hashes, by_permutation):
            moves = [moved(draw(files, seed), draw(changed, seed)) for seed in range(SEEDS)]
            cells += [f"{np.mean(moves):.1f}", str(max(moves))]
        print(f"| {change} | {' | '.join(cells)} |")


def file_of(kind: str, place: int) -> File:
    return File(RawImage(f"{kind}/{place:05d}.jpg", kind, None), f"{kind} {place}")


def by_hashes(files: list[File], seed: int) -> dict[str, Split]:
    params = load_section("split", SplitParams, Path(__file__).parents[2] / "params.yaml")
    keys = [hashlib.sha256(file.content.encode()).digest() for file in files]
    images = [file.image for file in files]
    splits = assign(images, keys, params.model_copy(update={"seed": seed}))
    return {file.content: split for file, split in zip(files, splits, strict=True)}


def by_permutation(files: list[File], seed: int) -> dict[str, Split]:
    splits: dict[str, Split] = {}
    for kind in ("cat", "dog"):
        own = [file for file in files if file.image.class_name == kind]
        test, val, _ = apportion(len(own), [0.2, 0.1, 0.7])
        order = np.random.default_rng(seed).permutation(len(own))
        for rank, row in enumerate(order):
            split: Split = "test" if rank < test else "val" if rank < test + val else "train"
            splits[own[row].content] = split
    return splits


def moved(before: dict[str, Split], after: dict[str, Split]) -> int:
    return sum(before[name] != after[name] for name in before.keys() & after.keys())


if __name__ == "__main__":
    main()
