"""Draw the data: class counts, sample images, image measures, duplicates."""

import numpy as np
import pandas as pd

from classifier.data.dataset import SPLITS, Dataset
from classifier.plotting.agg import Axes, Figure, MaxNLocator
from classifier.plotting.figures import BLUE, GREEN, ORANGE, image_sheet, new_figure
from classifier.plotting.fonts import drawable_names
from classifier.plotting.short_names import short_names
from classifier.report.result_files import Row

_COLORS = {"train": BLUE, "val": ORANGE, "test": GREEN}
_MOST_NAMES = 120  # more make a chart too large for a screen
_SHEET = 24  # images; with more classes, one image of each class, ...
LARGEST_SHEET = 48  # ... up to this number, so that the sheet in Git stays small
_MODES = 8  # colour modes that get a bar of their own
_PAIR_COLUMNS = 8


def draw_class_counts(counts: pd.DataFrame) -> Figure:
    """Draw a stacked bar for each class, one part per split; up to 120 classes are named.

    counts: columns `class, train, val, test, total`.
    """
    named = len(counts) <= _MOST_NAMES
    figure = new_figure(8, 1.2 + 0.22 * min(len(counts), _MOST_NAMES))
    axes = figure.subplots()
    places, left = np.arange(len(counts)), np.zeros(len(counts))
    for split in SPLITS:
        bars = axes.barh(places, counts[split], left=left, label=split, color=_COLORS[split])
        left += counts[split].to_numpy()
        if named and split == SPLITS[-1]:
            axes.bar_label(bars, [f"{total:,}" for total in counts["total"]], padding=3, fontsize=8)
    if named:
        names = short_names(drawable_names(counts["class"].tolist()), 30)
        axes.set_yticks(places, [_without_formulas(name) for name in names], fontsize=8)
    else:
        axes.set_yticks([])
        axes.set_ylabel(f"{len(counts):,} classes")
    axes.set_ylim(len(counts) - 0.4, -0.6)  # the first class on top
    axes.set_xlim(0, 1.08 * counts["total"].max())
    axes.set_xlabel("images")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=len(SPLITS), frameon=False)
    return figure


def draw_samples(dataset: Dataset) -> Figure:
    """Draw training images under the names of their classes, up to 8 of each class.

    If there are more classes than fit, some are left out, evenly over the alphabet.
    """
    classes = len(dataset.classes)
    each = min(8, max(1, _SHEET // classes))
    train, rows = dataset.rows("train"), []
    for label in _spread(np.arange(classes), LARGEST_SHEET):
        rows += _spread(train[dataset.labels[train] == label], each)
    images = [dataset.images[row] for row in rows]
    names = short_names(drawable_names(dataset.classes), 22)
    captions = [names[dataset.labels[row]] for row in rows]
    return image_sheet(images, captions, columns=each * (8 // each))


def draw_image_measures(
    histograms: pd.DataFrame, modes: pd.DataFrame, counts: pd.DataFrame
) -> Figure:
    """Draw histograms of every measure, a bar for each colour mode, and the classes by size.

    Args:
        histograms: Columns `measure, low, high, images`, a row per bin.
        modes: Columns `mode, images`.
        counts: As in `draw_class_counts`.
    """
    figure = new_figure(11, 6)
    grid = figure.subplots(2, 3).ravel()
    _draw_histogram(grid[0], histograms, "width", BLUE, outline="-")
    # Dashed, so that the width is seen where all images are square.
    _draw_histogram(grid[0], histograms, "height", ORANGE, outline="--")
    grid[0].legend()
    _set_labels(grid[0], "side of the file, pixels")
    for axes, name, label in (
        (grid[1], "aspect_ratio", "width over height"),
        (grid[2], "brightness", "mean grey, 0 to 255"),
        (grid[3], "contrast", "standard deviation of the grey values"),
    ):
        _draw_histogram(axes, histograms, name, BLUE)
        _set_labels(axes, label)
    bars = grid[4].bar(modes["mode"][:_MODES], modes["images"][:_MODES], color=GREEN)
    grid[4].bar_label(bars, fontsize=8)
    grid[4].margins(y=0.1)
    _set_labels(grid[4], "colour mode of the file")
    sizes = np.sort(counts["total"].to_numpy())[::-1]
    grid[5].stairs(sizes, np.arange(len(sizes) + 1) + 0.5, fill=True, color=GREEN)
    grid[5].xaxis.set_major_locator(MaxNLocator(integer=True))
    names = short_names(drawable_names(counts["class"].tolist()), 20)
    largest = _without_formulas(names[counts["total"].argmax()])
    _set_labels(grid[5], f"classes by size, the largest:\n{largest}")
    return figure


def draw_duplicates(images: np.ndarray, pairs: list[Row], classes: list[str]) -> Figure:
    """Draw pairs of duplicates side by side, each image under its class and split.

    Args:
        images: Of the first pairs, uint8 `(n, 2, S, S, 3)`.
        pairs: Rows of duplicates.csv.
        classes: Of the data set; a pair may also be of a class that was dropped.
    """
    if not len(images):
        figure = new_figure(4, 1)
        figure.text(0.5, 0.5, "no duplicates", ha="center", va="center")
        return figure
    sides = ("class", "other_class")
    dropped = {row[side] for row in pairs for side in sides} - set(classes)
    known = [*classes, *sorted(dropped)]
    names = dict(zip(known, short_names(drawable_names(known), 18), strict=True))
    captions = []
    for row in pairs[: len(images)]:
        first, second = (names[row[side]] for side in sides)
        similarity = f"{float(row['similarity']):.2f}"
        captions.append(f"{first} {row['split']} {similarity}")
        captions.append(f"{second} {row['other_split']}")
    return image_sheet([image for pair in images for image in pair], captions, _PAIR_COLUMNS)


def _draw_histogram(
    axes: Axes, histograms: pd.DataFrame, measure: str, color: str, outline: str | None = None
) -> None:
    """Draw the bins of `measure`; with a style of `outline`, as a line with a label."""
    bins = histograms[histograms["measure"] == measure]
    edges = [*bins["low"], bins["high"].to_numpy()[-1]]
    if outline is None:
        axes.stairs(bins["images"], edges, color=color, fill=True)
    else:
        axes.stairs(bins["images"], edges, color=color, linestyle=outline, label=measure)


def _set_labels(axes: Axes, label: str) -> None:
    axes.set_xlabel(label)
    axes.set_ylabel("images")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.spines[["top", "right"]].set_visible(False)


def _without_formulas(name: str) -> str:
    """Escape dollar signs, which start formulas."""
    return name.replace("$", r"\$")


def _spread(values: np.ndarray, number: int) -> list[int]:
    """Return at most `number` of the values, evenly spaced."""
    number = min(number, len(values))
    return values[np.linspace(0, len(values) - 1, number).astype(int)].tolist()
