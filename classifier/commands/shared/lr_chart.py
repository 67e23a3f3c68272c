"""Draw the chart of a learning rate range test."""

import pandas as pd

from classifier.plotting.agg import Figure
from classifier.plotting.figures import BLUE, GREEN, GREY, ORANGE, new_figure
from classifier.training.lr_finder import Suggestion


def draw(table: pd.DataFrame, found: Suggestion, current: float) -> Figure:
    """Return the loss by learning rate, with the suggestion and the current rate marked.

    table: as `find_learning_rate` returns it. current: the rate of params.yaml.
    """
    figure = new_figure(7, 4)
    axes = figure.subplots()
    axes.plot(table["lr"], table["loss"], ".", color=GREY, alpha=0.5, label="loss of a batch")
    axes.plot(table["lr"], table["smoothed_loss"], color=BLUE, label="smoothed")
    for label, rate, colour, style in (
        ("suggestion: falls fastest", found.steepest, ORANGE, "-"),
        ("lowest", found.lowest, GREEN, "--"),
        ("params.yaml", current, GREY, ":"),
    ):
        axes.axvline(rate, color=colour, linestyle=style, label=f"{label} ({rate:g})")
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("training loss")
    # The loss may explode after its lowest value, and would flatten the part before.
    until_lowest = table["smoothed_loss"][: int(table["smoothed_loss"].argmin()) + 1]
    axes.set_ylim(0, 1.25 * float(until_lowest.max()))
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
