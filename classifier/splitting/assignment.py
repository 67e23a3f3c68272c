"""Assign images to splits: keep predefined splits, draw the others by a seed."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from classifier.core.errors import UserError
from classifier.core.random import stream
from classifier.data.dataset import SPLITS, Split
from classifier.splitting.raw_images import RawImage

_REMEDY = (
    "raise split.min_images_per_class, name them in split.exclude_classes, or change "
    "split.fractions; where duplicates hold a class together, see split.duplicates."
)


def assign(
    images: Sequence[RawImage],
    fractions: Mapping[Split, float],
    seed: int,
    groups: Sequence[int] | np.ndarray | None = None,
) -> list[Split]:
    """Return the split of each image.

    Predefined splits are kept. A split that is not predefined is drawn from the images of each
    class that are predefined as `train`, or from all of them where nothing is predefined. The
    sizes differ from the fractions by less than one image a class. Which images are drawn depends
    only on the seed, the class's name and the order of its images, not on other classes.

    Args:
        images: Sorted by path.
        fractions: Fraction of each split; their sum is 1.
        seed: Seed of the draw.
        groups: A number for each image. Images with the same number other than 0 get the same
            split. If single images cannot compensate for it, sizes differ by more than one.

    Raises:
        UserError: A class would be missing in a split.
    """
    predefined = {image.predefined_split for image in images} - {None}
    drawn: list[Split] = [split for split in SPLITS if split == "train" or split not in predefined]
    splits: list[Split] = [image.predefined_split or "train" for image in images]
    pools: dict[str, list[int]] = {}
    for row, image in enumerate(images):
        pool = pools.setdefault(image.class_name, [])
        if splits[row] == "train":
            pool.append(row)
    together = _together(pools.values(), groups)
    placed: dict[int, Split] = {}
    for class_name, rows in pools.items():
        sizes = largest_remainder(len(rows), [fractions[split] for split in drawn])
        order = [rows[place] for place in _permutation(len(rows), class_name, seed)]
        room: dict[Split, int] = dict(zip(drawn, sizes, strict=True))
        _place(order, room, together, placed)
    for row, split in placed.items():
        splits[row] = split
    _check_presence(images, splits)
    return splits


def _place(
    order: Sequence[int],
    sizes: Mapping[Split, int],
    together: Mapping[int, list[int]],
    placed: dict[int, Split],
) -> None:
    """Add the split of each row of a class, and of the other rows of its group, to `placed`.

    Groups are placed first, over the splits in proportion to their sizes. Then single images, in
    their order, fill one split after the other.
    """
    room = dict(sizes)
    for row in order:
        if row in placed:  # together with an image of another class
            room[placed[row]] -= 1
    own = set(order)
    for row in sorted(order, key=lambda row: row not in together):
        if row in placed:
            continue
        members = together.get(row, [row])
        size = len(own.intersection(members))
        split = _choose(room, sizes, size, in_group=row in together)
        room[split] -= size
        for member in members:
            placed[member] = split


def _choose(
    room: Mapping[Split, int], sizes: Mapping[Split, int], size: int, *, in_group: bool
) -> Split:
    """Return the split for `size` images of a class; `room` is the free part of `sizes`."""
    fitting: list[Split] = [split for split in SPLITS if room.get(split, 0) >= size]
    if not fitting:
        return sorted(room, key=lambda split: -room[split])[0]
    if in_group:
        return sorted(fitting, key=lambda split: -room[split] / sizes[split])[0]
    return fitting[0]


def _together(
    pools: Iterable[Sequence[int]], groups: Sequence[int] | np.ndarray | None
) -> dict[int, list[int]]:
    """Return all rows of its group for each row that is in a group."""
    if groups is None:
        return {}
    members: dict[int, list[int]] = {}
    for row in sorted(row for rows in pools for row in rows):
        if groups[row]:
            members.setdefault(groups[row], []).append(row)
    return {row: rows for rows in members.values() if len(rows) > 1 for row in rows}


def largest_remainder(total: int, weights: Sequence[float]) -> list[int]:
    """Divide `total` in proportion to `weights` by the largest remainder method.

    Each part is rounded up or down; a part that would be 0 is rounded up before others are.
    """
    # Rounded because 0.57 x 100 is 56.99999999999999 in floats.
    shares = [round(total * weight / math.fsum(weights), 6) for weight in weights]
    sizes = [math.floor(share) for share in shares]
    first = sorted(range(len(sizes)), key=lambda i: (sizes[i] > 0, sizes[i] - shares[i], i))
    for part in first[: total - sum(sizes)]:
        sizes[part] += 1
    return sizes


def _permutation(length: int, class_name: str, seed: int) -> np.ndarray:
    """Return a random permutation for this class and seed: int64 `(length,)`."""
    draws = stream("split", seed, class_name).bit_generator.random_raw(length)
    # Raw numbers are the same in every version of NumPy; shuffles are not.
    return np.argsort(draws, kind="stable")


def _check_presence(images: Sequence[RawImage], splits: Sequence[Split]) -> None:
    counts = Counter((image.class_name, split) for image, split in zip(images, splits, strict=True))
    classes = sorted({image.class_name for image in images})
    lacking = [name for name in classes if any(counts[name, split] == 0 for split in SPLITS)]
    if lacking:
        listed = "; ".join(
            f"{name}: {', '.join(f'{split} {counts[name, split]}' for split in SPLITS)}"
            for name in lacking[:10]
        )
        more = f"; and {len(lacking) - 10} more" if len(lacking) > 10 else ""
        raise UserError(f"these classes are not in every split ({listed}{more}): {_REMEDY}")
