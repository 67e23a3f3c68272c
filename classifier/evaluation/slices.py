"""Slices: the accuracy on parts of the test split, such as the images of one camera.

Differences from the other images are tested by Fisher's exact test, with the false discovery rate
controlled over all slices (Benjamini and Hochberg, Journal of the Royal Statistical Society B 57
(1995) 289-300): among many slices, some look bad by chance.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from scipy.stats import false_discovery_control, fisher_exact

from classifier.core.errors import UserError
from classifier.core.text import counted
from classifier.data.dataset import Dataset
from classifier.evaluation.answers import Answers
from classifier.metrics.intervals import wilson
from classifier.processing.pixel_modes import LUMINANCE

COLUMNS = ["slice", "images", "accuracy", "accuracy_low", "accuracy_high", "gap"]
COLUMNS += ["p_value", "adjusted_p_value"]
FEWEST = 10  # images of a slice that is listed
SIGNIFICANT = 0.05
_PARTS = 4  # slices of a measure, with equal numbers of images
# Columns of the manifest that say nothing about what kind of image it is.
_NO_SLICES = frozenset({"path", "class", "label", "split", "sha256", "group"})


def slices_table(answers: Answers, columns: Sequence[str]) -> pd.DataFrame:
    """Return a row for each slice of the test images, the lowest accuracy first.

    Args:
        answers: Of the model.
        columns: Columns of the manifest whose values make slices (`evaluate.slices`), or quarters
            where the values are numbers and each is rare; colour mode, file size, number of pixels,
            aspect ratio, brightness and contrast are always added.

    Returns:
        COLUMNS: `gap` is the accuracy of the slice minus that of all other images; the p-values
        are of that gap, before and after the correction for the number of slices.

    Raises:
        UserError: The manifest has no such column, or it makes no slices.
    """
    manifest = answers.dataset.manifest
    known = [name for name in manifest.columns if name not in _NO_SLICES]
    if unknown := [name for name in columns if name not in known]:
        raise UserError(
            f"evaluate.slices names {', '.join(unknown)}, which is no column of "
            f"data/split/manifest.csv that makes slices; those are {', '.join(known)}."
        )
    rows = []
    for name, inside in _slices(answers, columns):
        right, others = answers.right[inside], answers.right[~inside]
        if len(right) < FEWEST or len(others) < FEWEST:
            continue
        counts = [[of.sum(), (~of).sum()] for of in (right, others)]
        p_value = fisher_exact(counts).pvalue  # pyright: ignore[reportAttributeAccessIssue]
        gap = right.mean() - others.mean()
        low, high = wilson(right.sum()[None], np.array([len(right)]))
        rows.append((name, len(right), right.mean(), low[0], high[0], gap, p_value))
    table = pd.DataFrame(rows, columns=COLUMNS[:-1])
    adjusted = false_discovery_control(table["p_value"]) if rows else []
    table = table.assign(adjusted_p_value=adjusted)
    return table.sort_values(["accuracy", "slice"], kind="stable", ignore_index=True)


def columns_without_slice(answers: Answers, columns: Sequence[str]) -> dict[str, str]:
    """Return why each of these columns that gives `slices_table` no row gives none, by name.

    Args:
        answers: Of the model.
        columns: `evaluate.slices`.
    """
    count = len(answers.rows)
    reasons = {}
    for column in dict.fromkeys(columns):
        sizes = [int(inside.sum()) for _, inside in _slices_of(answers, column)]
        if any(size >= FEWEST and count - size >= FEWEST for size in sizes):
            continue
        if max(sizes, default=count) == count:
            reasons[column] = "all test images have the same value"
        elif max(sizes) < FEWEST:
            reasons[column] = f"no value has {FEWEST} test images"
        else:
            reasons[column] = f"fewer than {FEWEST} test images have another value"
    return reasons


def worst_slice(table: pd.DataFrame) -> pd.Series | None:
    """Return the row with the lowest accuracy, of those that differ for certain if there are any.

    None if no slice is below the other images.
    """
    below = table[table["gap"] < 0]
    if below.empty:
        return None
    certain = below[below["adjusted_p_value"] < SIGNIFICANT]
    return (below if certain.empty else certain).iloc[0]


def describe_worst(table: pd.DataFrame) -> str:
    """Return a line for the console; empty if no slice is below the other images."""
    worst = worst_slice(table)
    if worst is None:
        return ""
    which, certain = counted(len(table), "slice"), worst["adjusted_p_value"] < SIGNIFICANT
    if worst["accuracy"] > table["accuracy"].min():
        # Slices that differ by chance are lower.
        count = int(((table["gap"] < 0) & (table["adjusted_p_value"] < SIGNIFICANT)).sum())
        which = f"the slices that chance does not explain ({count} of {len(table)})"
    return (
        f"lowest accuracy of {which}: {worst['accuracy']:.4f} for {worst['slice']} "
        f"({worst['images']} images, {worst['gap']:+.4f} to the others, "
        + ("more than chance explains)" if certain else "which chance explains)")
    )


def _slices(answers: Answers, columns: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield name and images, bool `(n,)`, of each slice."""
    for column in dict.fromkeys([*columns, "mode"]):
        yield from _slices_of(answers, column)
    for name, values in _measures(answers.dataset, answers.rows).items():
        if name not in columns:
            yield from _quantiles(name, values)


def _slices_of(answers: Answers, column: str) -> Iterator[tuple[str, np.ndarray]]:
    """Yield a slice for each value of a column, or quarters of numbers of which each is rare."""
    manifest = answers.dataset.manifest.iloc[answers.rows]
    values = manifest[column].astype(str).to_numpy()
    counts = Counter(values.tolist())
    empty = counts.pop("", 0)
    numbers = pd.to_numeric(pd.Series(values).where(values != ""), errors="coerce").to_numpy()
    if counts and max(counts.values()) < FEWEST and np.isfinite(numbers).sum() == counts.total():
        yield from _quantiles(column, numbers, digits=12)
    else:
        for value in sorted(counts):
            yield f"{column} {value}", values == value
    if empty:
        yield f"{column} empty", values == ""


def _quantiles(name: str, values: np.ndarray, digits: int = 4) -> Iterator[tuple[str, np.ndarray]]:
    """Yield slices with about equal numbers of images, as far as equal values allow it.

    Args:
        name: Of the measure.
        values: Float64 `(n,)`; an image whose value is NaN is in no slice.
        digits: That the names of the slices show.
    """
    distinct, counts = np.unique(values[~np.isnan(values)], return_counts=True)
    below = np.cumsum(counts)[:-1]  # images below each distinct value but the lowest
    shares = np.arange(1, _PARTS) / _PARTS if len(below) else []
    starts = {int(np.abs(below - share * counts.sum()).argmin()) + 1 for share in shares}
    parts = np.searchsorted(distinct[sorted(starts)], values, side="right")
    for part in np.unique(parts):
        inside = (parts == part) & ~np.isnan(values)
        if not inside.all():
            ends = (_shown(end(values[inside]), digits) for end in (np.min, np.max))
            yield f"{name} {' to '.join(dict.fromkeys(ends))}", inside


def _shown(value: float, digits: int) -> str:
    """Return a number in so many digits; a whole one in all of its digits."""
    return f"{value:.0f}" if value.is_integer() and abs(value) < 1e15 else f"{value:.{digits}g}"


def _measures(dataset: Dataset, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return measures of images by name, float64 `(n,)` each."""
    manifest = dataset.manifest.iloc[rows]
    width, height = (manifest[side].to_numpy(np.float64) for side in ("width", "height"))
    grey = [dataset.read(rows[start : start + 64]) @ LUMINANCE for start in range(0, len(rows), 64)]
    return {
        "bytes": manifest["bytes"].to_numpy(np.float64),
        "brightness": np.concatenate([part.mean(axis=(1, 2)) for part in grey]),
        "contrast": np.concatenate([part.std(axis=(1, 2)) for part in grey]),
        "pixels": width * height,
        "aspect_ratio": width / height,
    }
