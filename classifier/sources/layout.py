"""Read the class and the split of each image from the folders that it lies in."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from classifier.core.errors import UserError
from classifier.sources.tables import LabelledImage, SplitName

_SPLIT_FOLDERS: dict[str, SplitName] = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}


class Place(NamedTuple):
    """What a folder says about its images: their class and their split (empty: none)."""

    class_name: str
    split: SplitName


def locate_images(paths: Sequence[str]) -> list[LabelledImage]:
    """Return the class and the split of each image, in the order of `paths`, which are sorted.

    The class is the name of the folder that holds the image. Folders that contain all images are
    skipped; if `train`, `val` (or `valid`, `validation`) and `test` come next, in upper or lower
    case, they are splits.

    Raises:
        UserError: An image is in no folder, or not in a split's folder as the others are.
    """
    folders = Counter(path.rpartition("/")[0] for path in paths)
    if "" in folders:
        loose = next(path for path in paths if "/" not in path)
        raise UserError(f"{loose} lies in no folder: put each image in the folder of its class.")
    places = _read_folders(sorted(folders), paths)
    return [LabelledImage(path, *places[path.rpartition("/")[0]]) for path in paths]


def _read_folders(folders: Sequence[str], paths: Sequence[str]) -> dict[str, Place]:
    """Return what each folder says; a million images lie in far fewer folders."""
    split_parts = [folder.split("/") for folder in folders]
    depth = 0
    while split_parts and all(
        len(parts) > depth + 1 and parts[depth] == split_parts[0][depth] for parts in split_parts
    ):
        depth += 1
    places = {
        folder: Place(parts[-1], _split_of(parts[depth:]))
        for folder, parts in zip(folders, split_parts, strict=True)
    }
    if any(place.split for place in places.values()):
        _check_splits(places, paths)
    return places


def _split_of(parts: Sequence[str]) -> SplitName:
    """Return the split that these folders begin with; the last of them is the class."""
    return _SPLIT_FOLDERS.get(parts[0].lower(), "") if len(parts) > 1 else ""


def _check_splits(places: dict[str, Place], paths: Sequence[str]) -> None:
    def first(has_split: bool) -> str | None:
        return next(
            (path for path in paths if bool(places[path.rpartition("/")[0]].split) == has_split),
            None,
        )

    if (outside := first(False)) is not None:
        raise UserError(
            f"{outside} is in no folder of a split and a class, as {first(True)} is: put all "
            "images below train/, val/ or test/, each in the folder of its class, or none of them."
        )
    if all(place.split != "train" for place in places.values()):
        raise UserError(
            "there are folders val/ or test/, but no folder train/: put the training images there."
        )
