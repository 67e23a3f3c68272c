"""Groups of images that belong into one split: of one patient, of one camera, duplicates."""

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from classifier.core.errors import UserError
from classifier.splitting.duplicates.pairs import number_groups
from classifier.splitting.raw_images import RawImage


def check_columns(group_by: Sequence[str], columns: Sequence[str]) -> None:
    """Raise UserError if `group_by` names a column that labels.csv does not have."""
    if unknown := [name for name in group_by if name not in columns]:
        found = "data/raw/labels.csv has no further columns. Set split.group_by to []"
        if columns:
            named = ", ".join(columns)
            found = f"the further columns of data/raw/labels.csv are: {named}. Name one of these"
        raise UserError(
            f"split.group_by names {', '.join(unknown)}, but {found}, or bring the column with "
            "download.labels or download.pattern; one in which rows of an image differ is left out."
        )


def column_groups(images: Sequence[RawImage], place: int) -> np.ndarray:
    """Return a number for each image, int64 `(n,)`, equal where the value of a column is.

    place: of the column in `RawImage.columns`. An empty value is no group: 0.
    """
    numbers: dict[str, int] = {"": 0}
    values = (image.columns[place] for image in images)
    return np.fromiter((numbers.setdefault(value, len(numbers)) for value in values), np.int64)


def join_groups(parts: Sequence[np.ndarray], size: int) -> np.ndarray:
    """Return the connected components of several groupings, numbered as by `number_groups`.

    Images are together if they have the same number other than 0 in any of them, or if others
    join them: a duplicate of a patient's image belongs to that patient.

    Args:
        parts: int64 `(size,)` each.
        size: Number of images.
    """
    first, second = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for numbers in parts:
        order = np.argsort(numbers, kind="stable")
        ordered = numbers[order]
        linked = (ordered[1:] == ordered[:-1]) & (ordered[1:] > 0)
        first.append(order[:-1][linked])
        second.append(order[1:][linked])
    rows, columns = np.concatenate(first), np.concatenate(second)
    links = coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(size, size))
    _, components = connected_components(links, directed=False)
    return number_groups(components + 1)
