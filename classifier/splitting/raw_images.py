"""List the raw images: the class and the predefined split of each, read from its path."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from classifier.core.errors import UserError
from classifier.data.dataset import Split

_SPLIT_FOLDERS: dict[str, Split] = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}


class RawImage(NamedTuple):
    """Path and class of an image, and the split of its folder if the data has such folders."""

    path: str
    class_name: str
    predefined_split: Split | None


def locate_images(paths: Iterable[str]) -> list[RawImage]:
    """Return the class and the predefined split of each image, sorted by path.

    The class is the name of the folder that holds the image. Folders that contain all images are
    skipped; if `train`, `val` (or `valid`, `validation`) and `test` come next, in upper or lower
    case, they are predefined splits.

    Raises:
        UserError: An image is in no folder, or not in a split's folder as the others are.
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
    predefined: list[Split | None] = [_predefined_split(parts[depth:]) for parts in folders]
    if any(predefined):
        _check_predefined(names, predefined)
    return [
        RawImage(name, parts[-1], split)
        for name, parts, split in zip(names, folders, predefined, strict=True)
    ]


def without_excluded(images: list[RawImage], excluded: Iterable[str]) -> list[RawImage]:
    """Return the images of all classes except these; raise UserError if a class is unknown."""
    classes = {image.class_name for image in images}
    names = set(excluded)
    if unknown := sorted(names - classes):
        raise UserError(
            f"split.exclude_classes names {', '.join(unknown)}, but the classes are "
            f"{', '.join(sorted(classes))}."
        )
    return [image for image in images if image.class_name not in names]


def without_small(images: list[RawImage], minimum: int) -> tuple[list[RawImage], dict[str, int]]:
    """Return the images of classes with at least `minimum`, and the size of each smaller class.

    Raises:
        UserError: Fewer than two classes remain.
    """
    sizes = Counter(image.class_name for image in images)
    small = {name: size for name, size in sorted(sizes.items()) if size < minimum}
    if len(sizes) - len(small) < 2:
        found = ", ".join(f"{name} {size}" for name, size in sorted(sizes.items()))
        raise UserError(
            f"at least two classes need {minimum} or more images each; found: {found or 'none'}. "
            "Add images or lower split.min_images_per_class."
        )
    return [image for image in images if image.class_name not in small], small


def _predefined_split(parts: Sequence[str]) -> Split | None:
    """Return the split that these folders begin with; the last of them is the class."""
    return _SPLIT_FOLDERS.get(parts[0].lower()) if len(parts) > 1 else None


def _check_predefined(names: Sequence[str], predefined: Sequence[Split | None]) -> None:
    if None in predefined:
        raise UserError(
            f"{names[predefined.index(None)]} is in no folder of a split and a class, as "
            f"{names[[split is not None for split in predefined].index(True)]} is: put all images "
            "below train/, val/ or test/, each in the folder of its class, or none of them."
        )
    if "train" not in predefined:
        raise UserError(
            "there are folders val/ or test/, but no folder train/: put the training images there."
        )
