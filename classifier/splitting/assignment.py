"""Which class and which split an image belongs to: read off its path, or drawn by a seed."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from classifier.core.errors import UserError
from classifier.core.random import stream
from classifier.data.dataset import SPLITS, Split

_LAYERS: dict[str, Split] = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
_REMEDY = (
    "raise split.min_images_per_class, name them in split.exclude_classes, or change "
    "split.fractions; where duplicates hold a class together, see split.duplicates."
)


class Located(NamedTuple):
    """An image's path, its class, and the split whose folder it lies in, if the data has such."""

    path: str
    class_name: str
    given: Split | None


def locate(paths: Iterable[str]) -> list[Located]:
    """Class and given split of each image, sorted by path.

    The class is the name of the folder that holds the image. Folders that all images share
    are passed over; if `train`, `val` (or `valid`, `validation`) and `test` come next, in letters
    of any case, they are the splits.

    Raises UserError where an image lies outside of what the others are sorted into.
    """
    names = sorted(paths)
    folders = [name.split("/")[:-1] for name in names]
    if loose := next((name for name in names if "/" not in name), None):
        raise UserError(f"{loose} lies in no folder: put each image in the folder of its class.")
    depth = 0
    while names and all(
        len(parts) > depth + 1 and parts[depth] == folders[0][depth] for parts in folders
    ):
        depth += 1
    given: list[Split | None] = [_layer(parts[depth:]) for parts in folders]
    if any(given):
        _check_layers(names, given)
    return [
        Located(name, parts[-1], layer)
        for name, parts, layer in zip(names, folders, given, strict=True)
    ]


def without_excluded(images: list[Located], excluded: Iterable[str]) -> list[Located]:
    """The images of all classes but these; raises UserError where there is no such class."""
    classes = {image.class_name for image in images}
    names = set(excluded)
    if unknown := sorted(names - classes):
        raise UserError(
            f"split.exclude_classes names {', '.join(unknown)}, but the classes are "
            f"{', '.join(sorted(classes))}."
        )
    return [image for image in images if image.class_name not in names]


def without_small(images: list[Located], minimum: int) -> tuple[list[Located], dict[str, int]]:
    """The images of classes with at least `minimum`, and the size of each smaller class.

    Raises UserError where less than two classes stay.
    """
    sizes = Counter(image.class_name for image in images)
    small = {name: size for name, size in sorted(sizes.items()) if size < minimum}
    if len(sizes) - len(small) < 2:
        found = ", ".join(f"{name} {size}" for name, size in sorted(sizes.items()))
        raise UserError(
            f"two classes or more need {minimum} images each; found: {found or 'none'}. Add "
            "images or lower split.min_images_per_class."
        )
    return [image for image in images if image.class_name not in small], small


def assign(
    images: Sequence[Located],
    fractions: Mapping[Split, float],
    seed: int,
    groups: Sequence[int] | np.ndarray | None = None,
) -> list[Split]:
    """The split of each image, which are sorted by path.

    Given splits stay. A split that is missing is drawn from each class's images that are given
    to `train`, or from all where none is given. The numbers differ from the fractions by less
    than one image a class. Who is drawn depends on nothing but the seed, the class's name and
    the paths of its images, so other classes may come and go.

    groups: a number of each image; those with the same one, other than 0, are drawn together.
    Where single images do not suffice to make up for it, the numbers differ by more.

    Raises UserError where a class would not be in every split.
    """
    given = {image.given for image in images} - {None}
    drawn: list[Split] = [split for split in SPLITS if split == "train" or split not in given]
    splits: list[Split] = [image.given or "train" for image in images]
    pools: dict[str, list[int]] = {}
    for row, image in enumerate(images):
        pool = pools.setdefault(image.class_name, [])
        if splits[row] == "train":
            pool.append(row)
    together = _together(pools.values(), groups)
    placed: dict[int, Split] = {}
    for class_name, rows in pools.items():
        sizes = allocate(len(rows), [fractions[split] for split in drawn])
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
    """Add the split of each row of a class to `placed`, and of the rows that are drawn with it.

    Groups come first and are spread over the splits in proportion to their sizes; then single
    images, in their order, fill one split after the other.
    """
    room = dict(sizes)
    for row in order:
        if row in placed:  # with an image of another class
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
    """Where to put so many images of a class, of whose `sizes` there is this `room` left."""
    fitting: list[Split] = [split for split in SPLITS if room.get(split, 0) >= size]
    if not fitting:
        return sorted(room, key=lambda split: -room[split])[0]
    if in_group:
        return sorted(fitting, key=lambda split: -room[split] / sizes[split])[0]
    return fitting[0]


def _together(
    pools: Iterable[Sequence[int]], groups: Sequence[int] | np.ndarray | None
) -> dict[int, list[int]]:
    """The rows that are drawn with each row of a group, itself included."""
    if groups is None:
        return {}
    members: dict[int, list[int]] = {}
    for row in sorted(row for rows in pools for row in rows):
        if groups[row]:
            members.setdefault(groups[row], []).append(row)
    return {row: rows for rows in members.values() if len(rows) > 1 for row in rows}


def allocate(total: int, weights: Sequence[float]) -> list[int]:
    """`total` divided in proportion to `weights`, each part rounded up or down (largest remainder).

    A part that would be nothing is rounded up before others are.
    """
    # Rounded, since 0.57 x 100 is 56.99999999999999 in floats.
    shares = [round(total * weight / math.fsum(weights), 6) for weight in weights]
    sizes = [math.floor(share) for share in shares]
    first = sorted(range(len(sizes)), key=lambda i: (sizes[i] > 0, sizes[i] - shares[i], i))
    for part in first[: total - sum(sizes)]:
        sizes[part] += 1
    return sizes


def _permutation(length: int, class_name: str, seed: int) -> np.ndarray:
    """The numbers below `length` in an order drawn for this class and seed: int64 `(length,)`."""
    draws = stream("split", seed, class_name).bit_generator.random_raw(length)
    # The raw numbers are the same in every version of numpy, which does not hold for shuffles.
    return np.argsort(draws, kind="stable")


def _layer(parts: Sequence[str]) -> Split | None:
    """The split that these folders begin with; the last of them is the class."""
    return _LAYERS.get(parts[0].lower()) if len(parts) > 1 else None


def _check_layers(names: Sequence[str], given: Sequence[Split | None]) -> None:
    if None in given:
        raise UserError(
            f"{names[given.index(None)]} lies in no folder of a split and a class, as "
            f"{names[[split is not None for split in given].index(True)]} does: put every image "
            "below train/, val/ or test/, and there in the folder of its class, or none of them."
        )
    if "train" not in given:
        raise UserError("there are folders val/ or test/, but there is none called train/.")


def _check_presence(images: Sequence[Located], splits: Sequence[Split]) -> None:
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
