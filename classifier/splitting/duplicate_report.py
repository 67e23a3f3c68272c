"""What the split stage shows of duplicates: each pair in a table, and some of them to look at."""

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from classifier.core.files import write_csv
from classifier.data.dataset import Dataset
from classifier.plotting.figures import image_sheet, new_figure, shorten, write_png
from classifier.splitting.duplicates import Duplicates, telling_pairs

# Stands in place of a split.
DROPPED = "dropped"
_COLUMNS = 8


def write_duplicates(folder: Path, dataset: Dataset, found: Duplicates) -> None:
    """Write duplicates.csv and duplicates.png to `folder`."""
    splits = splits_of(dataset, found)
    write_csv(folder / "duplicates.csv", duplicates_table(found, splits))
    write_png(draw_pairs(found, splits), folder / "duplicates.png")


def splits_of(dataset: Dataset, found: Duplicates) -> list[str]:
    """The split of each of the images that were compared; `dropped` where it has none."""
    splits = dict(zip(dataset.manifest["path"], dataset.manifest["split"], strict=True))
    return [splits.get(image.path, DROPPED) for image in found.images]


def duplicates_table(found: Duplicates, splits: list[str]) -> pd.DataFrame:
    """A row a pair: path, class and split of both, how alike they are, and what follows from it.

    kind: equal files (`file`), equal stored `pixels`, or `near`. group: the same number for all
    that hang together. contradiction: the classes differ. leak: the splits differ.
    """
    rows = []
    for first, second, kind, similarity in found.pairs:
        one, other = found.images[first], found.images[second]
        used = {splits[first], splits[second]} - {DROPPED}
        rows.append(
            {
                "group": int(found.groups[first]),
                "path": one.path,
                "class": one.class_name,
                "split": splits[first],
                "other_path": other.path,
                "other_class": other.class_name,
                "other_split": splits[second],
                "kind": kind,
                "similarity": f"{similarity:.4f}",
                "contradiction": one.class_name != other.class_name,
                "leak": len(used) == 2,
            }
        )
    columns = (
        "group path class split other_path other_class other_split kind similarity contradiction "
        "leak"
    )
    return pd.DataFrame(rows, columns=columns.split())


def draw_pairs(found: Duplicates, splits: list[str]) -> Figure:
    """The most telling pairs, side by side, each image under its class and split."""
    pairs = telling_pairs(found.images, found.pairs)
    if not pairs:
        figure = new_figure(4, 1)
        figure.text(0.5, 0.5, "no duplicates", ha="center", va="center")
        return figure
    captions = []
    for pair in pairs:
        for row, left in ((pair.first, True), (pair.second, False)):
            name = shorten(found.images[row].class_name, 10)
            captions.append(f"{name} {splits[row]}" + (f" {pair.similarity:.2f}" if left else ""))
    rows = [row for pair in pairs for row in (pair.first, pair.second)]
    return image_sheet([found.thumbnails[row] for row in rows], captions, _COLUMNS)


def describe_duplicates(dataset: Dataset, found: Duplicates) -> list[str]:
    """What is worth a line on the screen; nothing where there are no duplicates."""
    if not found.pairs:
        return []
    equal = sum(pair.kind != "near" for pair in found.pairs)
    table = duplicates_table(found, splits_of(dataset, found))
    lines = [
        f"duplicates: {equal} equal and {len(found.pairs) - equal} similar pairs in "
        f"{found.groups.max()} groups"
    ]
    if contradictions := int(table["contradiction"].sum()):
        lines.append(f"duplicates: {contradictions} pairs have two classes; which is right?")
    for split in ("val", "test"):
        leaked = dataset.leaked(split)
        if leaked.any():
            lines.append(
                f"duplicates: {leaked.sum()} of {len(leaked)} {split} images "
                f"({leaked.mean():.1%}) are alike one of train"
            )
    return lines
