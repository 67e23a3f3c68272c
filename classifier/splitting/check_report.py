"""What the split stage says of the images' state: checks, numbers and histograms."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from classifier.core.errors import UserError
from classifier.core.files import write_csv
from classifier.data.dataset import Dataset
from classifier.data.image_statistics import channel_statistics
from classifier.plotting.figures import BLUE, GREEN, ORANGE, new_figure, shorten, write_png
from classifier.splitting.data_checks import Check, check_images, measure_contents
from classifier.splitting.split import CheckParams, Outcome

_BINS = 40
# Colour modes that get a bar of their own.
_MODES = 8


def write_integrity(
    folder: Path, dataset: Dataset, outcome: Outcome, params: CheckParams
) -> list[Check]:
    """Write checks.csv, images.csv and images.png to `folder`; returns what is wrong."""
    checks = check_images(dataset, outcome, params)
    rows = [(*check, "warning" if check.cases else "good") for check in checks]
    columns = ["check", "limit", "cases", "worst", "verdict"]
    write_csv(folder / "checks.csv", pd.DataFrame(rows, columns=columns))
    write_csv(folder / "images.csv", image_facts(dataset, outcome))
    write_png(draw_images(dataset, outcome), folder / "images.png")
    return [check for check in checks if check.cases]


def describe_warnings(warnings: list[Check], params: CheckParams) -> list[str]:
    """A line for each warning; raises UserError with all of them where `on_warning` is `fail`."""
    lines = [
        f"{check.name}: {check.cases} ({f'{check.limit}, ' if check.limit else ''}{check.worst})"
        for check in warnings
    ]
    if lines and params.on_warning == "fail":
        raise UserError(
            f"the images are not as split.checks wants them: {'; '.join(lines)}. See "
            "results/split/checks.csv; mend the data, change split.checks, or set "
            "split.checks.on_warning: warn."
        )
    return lines


def image_facts(dataset: Dataset, outcome: Outcome) -> pd.DataFrame:
    """Columns `measure, value`: lowest, middle and highest of each measure, channels, colour modes.

    Widths and heights are those of the files; brightness and contrast, in 0..255, are the mean and
    the deviation of an image's grey values; the channels' are of the training split, in 0..255.
    """
    facts: dict[str, float] = {}
    for name, values in _measures(dataset, outcome).items():
        three = np.quantile(values, [0, 0.5, 1], method="closest_observation")
        for place, value in zip(("lowest", "median", "highest"), three, strict=True):
            facts[f"{name}, {place}"] = round(float(value), 3)
    mean, std = channel_statistics(dataset.images, dataset.rows("train"))
    for name, part in (("mean", mean), ("deviation", std)):
        for channel, value in zip(("red", "green", "blue"), part, strict=True):
            facts[f"{channel}, {name}"] = round(value, 3)
    for mode, count in zip(*_count_modes(outcome.modes), strict=True):
        facts[f"images of mode {mode}"] = count
    rows = [(name, f"{value:.10g}") for name, value in facts.items()]
    return pd.DataFrame(rows, columns=["measure", "value"])


def draw_images(dataset: Dataset, outcome: Outcome) -> Figure:
    """Histograms of every measure, a bar for each mode, and the classes by size."""
    figure = new_figure(11, 6)
    grid = figure.subplots(2, 3).ravel()
    measures = _measures(dataset, outcome)
    both = np.concatenate([measures["width"], measures["height"]])
    edges = _edges(both)
    for name, colour in (("width", BLUE), ("height", ORANGE)):
        grid[0].hist(measures[name], edges, histtype="step", color=colour, label=name)
    grid[0].legend()
    _label(grid[0], "side of the file, pixels")
    shown = (("aspect_ratio", "width over height"), ("brightness", "mean grey, 0 to 255"))
    for axes, (name, label) in zip(grid[1:3], shown, strict=True):
        axes.hist(measures[name], _edges(measures[name]), color=BLUE)
        _label(axes, label)
    grid[3].hist(measures["contrast"], _edges(measures["contrast"]), color=BLUE)
    _label(grid[3], "deviation of the grey values")
    names, counts = _count_modes(outcome.modes)
    bars = grid[4].bar(names[:_MODES], counts[:_MODES], color=GREEN)
    grid[4].bar_label(bars, fontsize=8)
    grid[4].margins(y=0.1)
    _label(grid[4], "colour mode of the file")
    sizes = np.sort(np.bincount(dataset.labels, minlength=len(dataset.classes)))[::-1]
    grid[5].stairs(sizes, np.arange(len(sizes) + 1) + 0.5, fill=True, color=GREEN)
    grid[5].xaxis.set_major_locator(MaxNLocator(integer=True))
    largest = dataset.classes[int(np.bincount(dataset.labels).argmax())]
    name = shorten(largest, 24).replace("$", r"\$")
    _label(grid[5], f"classes by size, the largest: {name}")
    return figure


def _measures(dataset: Dataset, outcome: Outcome) -> dict[str, np.ndarray]:
    width, height = (dataset.manifest[side].to_numpy(np.float64) for side in ("width", "height"))
    brightness, contrast = measure_contents(outcome.prints)
    return {
        "width": width,
        "height": height,
        "aspect_ratio": width / height,
        "brightness": brightness,
        "contrast": contrast,
    }


def _count_modes(modes: np.ndarray) -> tuple[list[str], list[int]]:
    """The colour modes, the most frequent first, and the images of each."""
    names, counts = np.unique(modes, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    return names[order].tolist(), counts[order].tolist()


def _edges(values: np.ndarray) -> np.ndarray:
    low, high = float(values.min()), float(values.max())
    return np.linspace(low, high, _BINS + 1) if high > low else np.array([low - 0.5, low + 0.5])


def _label(axes: Axes, label: str) -> None:
    axes.set_xlabel(label)
    axes.set_ylabel("images")
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    axes.spines[["top", "right"]].set_visible(False)
