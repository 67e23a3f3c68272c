"""Reliability diagram and risk-coverage curve."""

import numpy as np
import pandas as pd

from classifier.metrics.calibration import Reliability, RiskCoverage
from classifier.plotting.agg import Axes, Figure, MaxNLocator, PercentFormatter
from classifier.plotting.figures import BLUE, GREY, ORANGE, new_figure

# Maximum number of rows of the curve, for any number of images.
_STEPS = 100


def reliability_figure(parts: dict[str, Reliability]) -> Figure:
    """Draw reliability diagrams side by side, each above the number of images per bin.

    Args:
        parts: by name, such as before and after temperature scaling.
    """
    figure = new_figure(4.6 * len(parts), 5)
    grid = figure.subplots(
        2, len(parts), sharex=True, sharey="row", squeeze=False, height_ratios=[3, 1]
    )
    for (name, part), above, below in zip(parts.items(), grid[0], grid[1], strict=True):
        _draw_accuracy(above, part)
        above.set_title(f"{name}: ECE {part.ece:.4f}")
        _draw_counts(below, part.counts)
    grid[0, 0].set_ylabel("accuracy")
    grid[1, 0].set_ylabel("images")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=3)
    # The numbers above the bars need room.
    highest = max(int(part.counts.max()) for part in parts.values())
    grid[1, 0].set_ylim(0.7, max(highest, 10) * 5)
    return figure


def _draw_accuracy(axes: Axes, part: Reliability) -> None:
    width, taken = 1 / len(part.counts), part.counts > 0
    left = np.arange(len(part.counts))[taken] * width
    low = np.minimum(part.accuracy, part.confidence)[taken]
    gap = np.abs(part.accuracy - part.confidence)[taken]
    axes.bar(left, part.accuracy[taken], width, align="edge", color=BLUE, label="accuracy")
    style = {"facecolor": "none", "edgecolor": ORANGE, "hatch": "////", "linewidth": 1}
    axes.bar(left, gap, width, low, align="edge", label="gap to the confidence", **style)
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", label="perfect calibration")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)


def _draw_counts(axes: Axes, counts: np.ndarray) -> None:
    places = (np.arange(len(counts)) + 0.5) / len(counts)
    bars = axes.bar(places, counts, 0.9 / len(counts), color=GREY)
    if len(counts) <= 20:
        axes.bar_label(bars, [str(count) if count else "" for count in counts], fontsize=6)
    axes.set_yscale("log")
    axes.set_xlabel("confidence")


def coverage_table(curve: RiskCoverage) -> pd.DataFrame:
    """Return `coverage, accuracy, threshold` at each percent of the images, or at each image."""
    size = len(curve.coverage)
    steps = min(size, _STEPS)
    places = -(-np.arange(1, steps + 1) * size // steps) - 1
    return pd.DataFrame({name: values[places] for name, values in curve._asdict().items()})


def coverage_figure(curve: RiskCoverage, reject_below: float | None) -> Figure:
    """Draw the risk-coverage curve, as accuracy by coverage, and a line at the threshold."""
    figure = new_figure(6, 3.8)
    axes = figure.subplots()
    axes.plot(curve.coverage, curve.accuracy, color=BLUE, drawstyle="steps-post")
    axes.set_title(f"area under the risk-coverage curve: {curve.aurc:.4f}", fontsize=10)
    axes.set_xlabel("share of the images, the most confident first")
    axes.set_ylabel("accuracy of these")
    axes.set_xlim(0, 1.01)
    axes.set_ylim(top=1 + 0.05 * max(0.01, 1 - curve.accuracy.min()))
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.grid(alpha=0.3)
    if reject_below is not None:
        coverage = float((curve.threshold >= reject_below).mean())
        label = f"confidence at least {reject_below:g}: {coverage:.1%} of the images"
        axes.axvline(coverage, color=ORANGE, linestyle="--", label=label)
        axes.legend(loc="lower left")
    return figure
