"""Assign images to splits: keep predefined splits, draw the others by hashes of their content.

The units of the draw are single images and groups. In each class they are ordered by a hash of the
seed and of their content; the first fraction becomes test, the next val, the rest train. So an
added or removed image moves about one other image, and no file name and no other class matters.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from classifier.core.errors import UserError
from classifier.core.random import hash_numbers
from classifier.data.dataset import SPLITS, Split
from classifier.splitting.apportionment import apportion
from classifier.splitting.params import SplitParams
from classifier.splitting.raw_images import RawImage

# The order in which the splits are filled.
_FILLED: tuple[Split, ...] = ("test", "val", "train")
_NAMED = 10


def assign(
    images: Sequence[RawImage],
    keys: Sequence[bytes],
    params: SplitParams,
    groups: Sequence[int] | np.ndarray | None = None,
) -> list[Split]:
    """Return the split of each image.

    Predefined splits are kept. A split that is not predefined is drawn from the images of each
    class that are predefined as `train`, or from all of them where nothing is predefined. The
    sizes differ from the fractions by less than one image a class.

    Args:
        images: Sorted by path.
        keys: Digest of the content of each image. Of equal ones, the path decides the order.
        params: Section `split`.
        groups: A number for each image. Images with the same number other than 0 get the same
            split. A group that is larger than the free part of a split goes into the next one;
            where that leaves too few single images, sizes differ by more than one.

    Raises:
        UserError: A class would be missing in train, or in another split where
            `allow_missing_classes` is false; or a split would be empty.
    """
    splits: list[Split] = [image.predefined_split or "train" for image in images]
    names = [image.class_name for image in images]
    pool = [row for row, split in enumerate(splits) if split == "train"]
    units = _ordered_units(pool, keys, params.seed, groups)
    drawn = _drawn(images)
    if params.folds is not None:
        _check_folds(drawn, params.folds)
        units = _without_fold(units, names, splits, params.folds, params.fold)
        drawn = drawn[1:]
    fractions = params.fractions.by_split()
    places = _fill(units, names, [fractions[split] for split in drawn])
    for unit, place in zip(units, places, strict=True):
        for row in unit:
            splits[row] = drawn[place]
    counts = Counter(zip(names, splits, strict=True))
    if params.allow_missing_classes:
        _check_trained(counts)
        _check_filled(counts, params.folds)
    else:
        _check_presence(counts, _drawn(images), params.folds)
    return splits


def check_class_sizes(images: Sequence[RawImage], params: SplitParams) -> None:
    """Raise the error that `assign` would raise without groups; needs no content, so is fast."""
    counts = expected_sizes(images, params)
    if params.allow_missing_classes:
        _check_filled(counts, params.folds)
    else:
        _check_presence(counts, _drawn(images), params.folds)


def expected_sizes(images: Sequence[RawImage], params: SplitParams) -> Counter[tuple[str, Split]]:
    """Return the number of images of each class and split that `assign` gives without groups."""
    drawn = _drawn(images)
    fractions = params.fractions.by_split()
    given: Counter[tuple[str, Split]] = Counter(
        (image.class_name, image.predefined_split or "train") for image in images
    )
    counts: Counter[tuple[str, Split]] = Counter()
    for (name, split), size in given.items():
        if split != "train":
            counts[name, split] += size
            continue
        parts, rest = drawn, size
        if params.folds is not None:
            _check_folds(drawn, params.folds)
            counts[name, "test"] = apportion(size, [1] * params.folds)[params.fold]
            parts, rest = drawn[1:], size - counts[name, "test"]
        sizes = apportion(rest, [fractions[part] for part in parts])
        counts.update({(name, part): of for part, of in zip(parts, sizes, strict=True)})
    return counts


def _check_folds(drawn: Sequence[Split], folds: int) -> None:
    """Raise UserError if the data gives its test or val images, which folds would draw again."""
    if len(drawn) < len(_FILLED):
        raise UserError(
            f"split.folds is {folds}, but the data gives its own test or val images: set "
            "split.folds: null, or bring the data without splits."
        )


def _without_fold(
    units: Sequence[list[int]],
    names: Sequence[str],
    splits: list[Split],
    folds: int,
    fold: int,
) -> list[list[int]]:
    """Set the split of the images of a fold to test; return the other units.

    The folds are equal parts of the order of the units. The others come in this order from the
    next fold on, so that val, which is filled first, is another part for each fold.
    """
    fold_of = _fill(units, names, [1] * folds)
    for unit, own in zip(units, fold_of, strict=True):
        if own == fold:
            for row in unit:
                splits[row] = "test"
    others = sorted(range(len(units)), key=lambda place: (fold_of[place] - fold - 1) % folds)
    return [units[place] for place in others if fold_of[place] != fold]


def without_untrained(images: list[RawImage]) -> tuple[list[RawImage], dict[str, int]]:
    """Return the images of classes that can be trained, and the size of each other class.

    Those are the classes of which the data gives val or test images alone.
    """
    trained = {image.class_name for image in images if image.predefined_split in (None, "train")}
    sizes = Counter(image.class_name for image in images if image.class_name not in trained)
    return [image for image in images if image.class_name in trained], dict(sorted(sizes.items()))


def _drawn(images: Iterable[RawImage]) -> list[Split]:
    """Return the splits that are not predefined, and train, in the order they are filled in."""
    predefined = {image.predefined_split for image in images}
    return [split for split in _FILLED if split == "train" or split not in predefined]


def _ordered_units(
    rows: Sequence[int],
    keys: Sequence[bytes],
    seed: int,
    groups: Sequence[int] | np.ndarray | None,
) -> list[list[int]]:
    """Return the rows of each group and of each single image, in the order of their hashes.

    The key of a group is the smallest of its images.
    """
    members: dict[int, list[int]] = {}
    units: list[list[int]] = []
    for row in rows:
        number = 0 if groups is None else int(groups[row])
        if number and number in members:
            members[number].append(row)
            continue
        unit = [row]
        units.append(unit)
        if number:
            members[number] = unit
    hashes = hash_numbers("split", seed, (min(keys[row] for row in unit) for unit in units))
    # Stable: where hashes are equal, the first path decides.
    return [units[place] for place in np.argsort(hashes, kind="stable")]


def _fill(
    units: Sequence[Sequence[int]], names: Sequence[str], weights: Sequence[float]
) -> list[int]:
    """Return the part of each unit, 0 to `len(weights) - 1`; the parts are filled in their order.

    Args:
        units: Rows of each unit, in the order of the draw.
        names: Class of each row.
        weights: Of the parts; every class is divided in this proportion.
    """
    totals = Counter(names[row] for unit in units for row in unit)
    sizes = {name: apportion(total, weights) for name, total in totals.items()}
    room = {name: list(parts) for name, parts in sizes.items()}
    places = []
    for unit in units:
        counts = Counter(names[row] for row in unit)
        place = _first_fit(counts, room)
        if place is None:
            place = _roomiest(counts, room, sizes)
        for name, count in counts.items():
            room[name][place] -= count
        places.append(place)
    return places


def _first_fit(counts: Mapping[str, int], room: Mapping[str, Sequence[int]]) -> int | None:
    """Return the first part with room for these images of each class; None if there is none."""
    parts = range(len(next(iter(room.values()))))
    fits = (all(room[name][part] >= count for name, count in counts.items()) for part in parts)
    return next((part for part, fitting in enumerate(fits) if fitting), None)


def _roomiest(
    counts: Mapping[str, int],
    room: Mapping[str, Sequence[int]],
    sizes: Mapping[str, Sequence[int]],
) -> int:
    """Return the part whose free share is largest, over the classes of these images."""

    def free_share(part: int) -> float:
        shares = (n * room[name][part] / max(sizes[name][part], 1) for name, n in counts.items())
        return sum(shares)

    parts = range(len(next(iter(room.values()))))
    return max(parts, key=free_share)


def _check_trained(counts: Mapping[tuple[str, Split], int]) -> None:
    """Raise UserError if a class has no training images. counts: by class and split."""
    classes = sorted({name for name, _ in counts})
    untrained = [name for name in classes if not counts.get((name, "train"))]
    if untrained:
        raise UserError(
            f"no training images are left of {_shortened(untrained, ', ')}, without those that "
            "cannot be read, are duplicates, or belong to a group that is in another split: add "
            "images, or name these classes in split.exclude_classes."
        )


def _check_filled(counts: Mapping[tuple[str, Split], int], folds: int | None) -> None:
    """Raise UserError if a split has no images of any class. folds: `split.folds`."""
    for split in SPLITS:
        if not any(size for (_, of), size in counts.items() if of == split):
            remedy = f"raise split.fractions.{split}"
            if split == "test" and folds is not None:
                remedy = "lower split.folds"
            raise UserError(f"the {split} split has no images: add images, or {remedy}.")


def _check_presence(
    counts: Mapping[tuple[str, Split], int], drawn: Sequence[Split], folds: int | None
) -> None:
    """Raise UserError if a class has no images in a split.

    Args:
        counts: Number of images by class and split.
        drawn: The splits that are drawn; the data gives the others.
        folds: See `split.folds`.
    """
    classes = sorted({name for name, _ in counts})
    sizes = {name: {split: counts.get((name, split), 0) for split in SPLITS} for name in classes}
    lacking = {name: of for name, of in sizes.items() if 0 in of.values()}
    if not lacking:
        return
    listed = [
        f"{name}: {', '.join(f'{split} {size}' for split, size in of.items())}"
        for name, of in lacking.items()
    ]
    additions = []
    for name, of in lacking.items():
        # What is drawn is lacking too, where there is no image to draw it from.
        to_draw = any(of[split] for split in drawn)
        needed = [split for split in SPLITS if of[split] == 0 and split not in drawn]
        needed = needed if to_draw else ["train"]
        additions += [f"images of {name} to {split}" for split in needed]
    if additions:
        remedy = (
            f"add {_shortened(additions, ', ')}; or name these classes in split.exclude_classes; "
            "or set split.allow_missing_classes: true, which goes on without them in that split."
        )
    else:
        fewer = "" if folds is None else f"take fewer than {folds} folds, "
        remedy = (
            f"{fewer}raise split.min_images_per_class, name them in split.exclude_classes, change "
            "split.fractions, or set split.allow_missing_classes: true; where duplicates or "
            "groups hold a class together, see split.duplicates and split.group_by."
        )
    raise UserError(f"these classes are not in every split ({_shortened(listed, '; ')}): {remedy}")


def _shortened(parts: Sequence[str], separator: str) -> str:
    """Join the first _NAMED parts, and say how many more there are."""
    more = len(parts) - _NAMED
    end = f"{separator}and {more} more" if more > 0 else ""
    return separator.join(parts[:_NAMED]) + end
