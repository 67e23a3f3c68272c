"""The labels of the images of a source, and what is said about them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from classifier.core.errors import UserError
from classifier.sources.tables import LabelledImage, SplitName

_SPLITS: tuple[SplitName, ...] = ("train", "val", "test")


class Labels(NamedTuple):
    """Labels by folders, a table or a pattern.

    Attributes:
        images: The images that take part, sorted by path.
        columns: Names of their further columns.
        kept_out: Path of each image that takes no part, and the reason.
        lines: What to say on the console.
    """

    images: list[LabelledImage]
    columns: list[str]
    kept_out: dict[str, str]
    lines: list[str]


def describe_splits(images: Sequence[LabelledImage], names: Mapping[str, SplitName]) -> list[str]:
    """Return lines that say which splits the data gives and which are drawn.

    Args:
        images: With the split that the data gives.
        names: The split of each folder or value that gives one.

    Raises:
        UserError: The data gives val or test, but no training images.
    """
    counts = Counter(image.split for image in images)
    given = [split for split in _SPLITS if counts[split]]
    missing = [split for split in _SPLITS if not counts[split]]
    if not given:
        return ["the data gives no splits: train, val and test are drawn"]
    if "train" in missing:
        raise UserError(
            f"the data gives {' and '.join(given)}, but no training images: add a folder train/, "
            "or name it in download.splits."
        )
    told = ", ".join(
        f"{split} {counts[split]:,} ({', '.join(n for n in sorted(names) if names[n] == split)})"
        for split in given
    )
    lines = [f"splits: {told}"]
    if missing:
        lines.append(f"the data gives no {' or '.join(missing)}: drawn from train")
    return lines
