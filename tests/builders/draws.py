"""Draw the splits of images whose content is a function of their path."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any

from builders.splits import split_params
from classifier.data.dataset import Split
from classifier.splitting.assignment import assign
from classifier.splitting.raw_images import RawImage


def draw(
    images: Sequence[RawImage], groups: Sequence[int] | None = None, **changes: Any
) -> list[Split]:
    """The splits of images whose content is a function of their path."""
    keys = [hashlib.sha256(image.path.encode()).digest() for image in images]
    return assign(images, keys, split_params(**changes), groups)


def images_of(sizes: dict[str, int], given: Split | None = None) -> list[RawImage]:
    """The given number of images of each class, sorted by path."""
    folder = f"{given}/" if given else ""
    return sorted(
        RawImage(f"{folder}{name}/{i:04d}.png", name, given)
        for name, size in sizes.items()
        for i in range(size)
    )


def counts_of(images: list[RawImage], splits: list[Split]) -> Counter[tuple[str, Split]]:
    pairs = zip(images, splits, strict=True)
    return Counter((image.class_name, split) for image, split in pairs)


def moved(before: list[RawImage], after: list[RawImage], **changes: Any) -> int:
    """The number of images in both data sets that are in another split."""
    old, new = (
        {image.path: split for image, split in zip(of, draw(of, **changes), strict=True)}
        for of in (before, after)
    )
    return sum(old[path] != new[path] for path in old.keys() & new.keys())
