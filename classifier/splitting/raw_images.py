"""Read which images take part, with the class and the predefined split of each."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from classifier.core.errors import UserError
from classifier.core.text import listed
from classifier.data.dataset import Split
from classifier.sources import tables


class RawImage(NamedTuple):
    """A row of data/raw/labels.csv.

    Attributes:
        path: In the file that holds all images.
        class_name: Its class.
        predefined_split: The split that the data gives; None where it is to be drawn.
        columns: Values of the further columns of the table, such as a patient or a camera.
    """

    path: str
    class_name: str
    predefined_split: Split | None
    columns: tuple[str, ...] = ()


def read_labels(raw: Path) -> tuple[list[RawImage], list[str]]:
    """Return the images of data/raw/, sorted by path, and the names of their further columns.

    Raises:
        UserError: The download stage has not written labels.csv.
    """
    path = raw / tables.LABELS
    try:
        images = [
            RawImage(image.path, image.class_name, image.split or None, image.columns)
            for image in tables.read_labels(path)
        ]
        return images, tables.read_columns(path)
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run the download stage first.") from None


def without_excluded(
    images: list[RawImage], excluded: Iterable[str], before: Iterable[str] = ()
) -> list[RawImage]:
    """Return the images of all classes except these.

    Args:
        images: With their corrected classes.
        excluded: Names in composed form (NFC).
        before: Names of all classes that had images before some were left out.

    Raises:
        UserError: A class is unknown.
    """
    classes = {*before, *(image.class_name for image in images)}
    names = set(excluded)
    if unknown := sorted(names - classes):
        raise UserError(
            f"split.exclude_classes names {', '.join(unknown)}, but the classes are "
            f"{', '.join(sorted(classes))}."
        )
    return [image for image in images if image.class_name not in names]


def without_small(
    images: list[RawImage], minimum: int, before: Iterable[str] = ()
) -> tuple[list[RawImage], dict[str, int]]:
    """Return the images of classes with at least `minimum`, and the size of each smaller class.

    Args:
        images: That are left.
        minimum: `split.min_images_per_class`.
        before: Names of all classes that had images before some were left out.

    Raises:
        UserError: Fewer than two classes remain.
    """
    sizes = Counter(dict.fromkeys(before, 0))
    sizes.update(image.class_name for image in images)
    small = {name: size for name, size in sorted(sizes.items()) if size < minimum}
    if len(sizes) - len(small) < 2:
        largest = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
        found = listed([f"{name} {size}" for name, size in largest])
        raise UserError(
            f"at least two classes need {minimum} or more images each; found: {found or 'none'}. "
            "Add images or lower split.min_images_per_class."
        )
    return [image for image in images if image.class_name not in small], small
