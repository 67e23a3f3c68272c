"""What the split stage shows of a data set: how many images of what, and some of them."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from classifier.core.files import write_csv, write_json
from classifier.data.dataset import SPLITS, Dataset
from classifier.plotting.figures import (
    BLUE,
    GREEN,
    ORANGE,
    image_sheet,
    new_figure,
    shorten,
    write_png,
)
from classifier.splitting.duplicate_report import write_duplicates
from classifier.splitting.split import Outcome

_COLORS = {"train": BLUE, "val": ORANGE, "test": GREEN}
_MOST_NAMES = 120  # more make a chart too large for a screen
_SHEET = 24  # images, or one of each class where there are more classes, ...
_LARGEST_SHEET = 48  # ... up to this many: Git keeps the sheet, which must stay small


def write_split_report(folder: Path, dataset: Dataset, outcome: Outcome) -> None:
    """Write metrics.json, tables and charts to `folder`.

    `leaked` counts the images of val and test that have a duplicate in train.
    """
    counts = class_counts(dataset)
    metrics = {
        "classes": len(dataset.classes),
        **{split: int(counts[split].sum()) for split in SPLITS},
        "smallest_class": int(counts["total"].min()),
        "largest_class": int(counts["total"].max()),
        "skipped": len(outcome.problems),
        "leaked": int(sum(dataset.leaked(split).sum() for split in ("val", "test"))),
    }
    write_json(folder / "metrics.json", metrics)
    write_csv(folder / "class_counts.csv", counts)
    write_csv(folder / "problems.csv", pd.DataFrame(outcome.problems, columns=["path", "reason"]))
    write_png(draw_class_counts(counts), folder / "class_counts.png")
    write_png(draw_samples(dataset), folder / "samples.png")
    write_duplicates(folder, dataset, outcome.duplicates)


def class_counts(dataset: Dataset) -> pd.DataFrame:
    """Images by class and split: columns `class, train, val, test, total`."""
    counts = pd.DataFrame({split: dataset.class_counts(split) for split in SPLITS})
    counts.insert(0, "class", dataset.classes)
    counts["total"] = counts[list(SPLITS)].sum(axis=1)
    return counts


def draw_class_counts(counts: pd.DataFrame) -> Figure:
    """A stacked bar for each class, the splits end to end; named up to 120 classes."""
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
        axes.set_yticks(places, [_label(name) for name in counts["class"]], fontsize=8)
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


def _label(name: str) -> str:
    """`name` short enough for an axis, without dollar signs that start a formula."""
    return shorten(name, 30).replace("$", r"\$")


def draw_samples(dataset: Dataset) -> Figure:
    """Training images under the names of their classes, from each class as many as fit.

    Of more classes than fit, some are left out, evenly over the alphabet.
    """
    classes = len(dataset.classes)
    each = min(8, max(1, _SHEET // classes))
    train, rows = dataset.rows("train"), []
    for label in _spread(np.arange(classes), _LARGEST_SHEET):
        rows += _spread(train[dataset.labels[train] == label], each)
    images = [dataset.images[row] for row in rows]
    captions = [dataset.classes[dataset.labels[row]] for row in rows]
    return image_sheet(images, captions, columns=each * (8 // each))


def _spread(values: np.ndarray, number: int) -> list[int]:
    """At most `number` of the values, evenly over their order."""
    number = min(number, len(values))
    return values[np.linspace(0, len(values) - 1, number).astype(int)].tolist()
