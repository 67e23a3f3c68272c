"""Write duplicates as a table and as lines for the terminal."""

from collections.abc import Sequence

import pandas as pd

from classifier.core.text import counted
from classifier.data.dataset import Dataset
from classifier.splitting.duplicates.pairs import Duplicates

# Stands in place of a split.
DROPPED = "dropped"
_COLUMNS = (
    "group path class split other_path other_class other_split kind similarity contradiction leak"
)


def duplicates_table(dataset: Dataset, found: Duplicates) -> pd.DataFrame:
    """Return a row for each pair of duplicates.

    Columns: `group` (number of the connected component), `path, class, split` of the first image
    and `other_path, other_class, other_split` of the second (`dropped` as split: not in the data
    set), `kind` (equal files `file`, equal stored pixels `pixels`, or `near`), `similarity`,
    `contradiction` (the classes differ), `leak` (the splits differ).
    """
    splits = dict(zip(dataset.manifest["path"], dataset.manifest["split"], strict=True))
    rows = []
    for first, second, kind, similarity in found.pairs:
        one, other = found.images[first], found.images[second]
        places = [splits.get(image.path, DROPPED) for image in (one, other)]
        rows.append(
            {
                "group": int(found.groups[first]),
                "path": one.path,
                "class": one.class_name,
                "split": places[0],
                "other_path": other.path,
                "other_class": other.class_name,
                "other_split": places[1],
                "kind": kind,
                "similarity": f"{similarity:.4f}",
                "contradiction": one.class_name != other.class_name,
                "leak": len({*places} - {DROPPED}) == 2,
            }
        )
    return pd.DataFrame(rows, columns=_COLUMNS.split())


def describe_duplicates(dataset: Dataset, found: Duplicates) -> list[str]:
    """Return lines for the terminal; none if there are no duplicates."""
    if not found.pairs:
        return []
    equal = sum(pair.kind != "near" for pair in found.pairs)
    lines = [
        f"duplicates: {counted(equal, 'equal pair')} and "
        f"{counted(len(found.pairs) - equal, 'near-duplicate pair')} in "
        f"{counted(int(found.groups.max()), 'group')}"
    ]
    if contradictions := int(duplicates_table(dataset, found)["contradiction"].sum()):
        lines.append(
            f"duplicates: {counted(contradictions, 'pair')} with different labels; see "
            "results/split/duplicates.csv"
        )
    return lines


def describe_leaks(dataset: Dataset, group_by: Sequence[str]) -> list[str]:
    """Return a line for each split of which images have a duplicate or their group in train.

    group_by: the columns that make groups, see `split.group_by`.
    """
    relation = "a duplicate or an image of the same group" if group_by else "a duplicate"
    lines = []
    for split in ("val", "test"):
        leaked = dataset.leaked(split)
        if leaked.any():
            lines.append(
                f"duplicates: {leaked.sum()} of {len(leaked)} {split} images "
                f"({leaked.mean():.1%}) have {relation} in train"
            )
    return lines
