"""Draw the map of the features, and mistakes beside the most similar training images."""

import numpy as np

from classifier.data.dataset import Dataset
from classifier.plotting.agg import Figure
from classifier.plotting.figures import GREY, image_sheet, new_figure
from classifier.plotting.fonts import drawable_names
from classifier.plotting.short_names import short_names
from classifier.report.result_files import Row

# Of matplotlib's colour map tab10; more classes than these are grey.
_COLOURED = 10
# One for each of these: no ten colours are different for everybody.
_MARKERS = "os^DvP<>pX"
# The one of them that is grey itself, and what stands for it beside the grey of other classes.
_GREY_COLOUR, _IN_ITS_PLACE = "C7", "black"
_MISTAKES = 6
_NEAREST = ("nearest_1", "nearest_2", "nearest_3")


def draw_feature_map(rows: list[Row], classes: list[str]) -> Figure:
    """Draw each test image as a point in colour and shape of its class; rings mark the mistakes.

    Args:
        rows: Of results/evaluate/feature_map.csv.
        classes: Of the data set. The ten most frequent ones have colours and shapes.
    """
    counts = {name: sum(row["class"] == name for row in rows) for name in classes}
    frequent = sorted(classes, key=lambda name: -counts[name])[:_COLOURED]
    coloured = [name for name in classes if name in frequent]
    figure = new_figure(8, 5.2)
    axes = figure.subplots()
    shown = dict(zip(classes, short_names(drawable_names(classes), 24), strict=True))
    groups = {name: [row for row in rows if row["class"] == name] for name in coloured}
    others = [row for row in rows if row["class"] not in coloured]
    colours = [f"C{number}" for number in range(_COLOURED)]
    if others:
        colours[colours.index(_GREY_COLOUR)] = _IN_ITS_PLACE
    for colour, marker, (name, group) in zip(colours, _MARKERS, groups.items(), strict=False):
        axes.scatter(
            *_points(group).T,
            s=18,
            color=colour,
            marker=marker,
            label=shown[name],
            linewidths=0,
        )
    if others:
        axes.scatter(*_points(others).T, s=14, color=GREY, label="other classes", linewidths=0)
    wrong = _points([row for row in rows if row["right"] == "False"])
    if wrong.size:
        axes.scatter(
            *wrong.T, s=60, facecolors="none", edgecolors="black", linewidths=0.8, label="mistakes"
        )
    axes.set_xlabel("first principal component")
    axes.set_ylabel("second principal component")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    return figure


def draw_similar(rows: list[Row], dataset: Dataset) -> Figure:
    """Draw the first mistakes, each beside the training images with the most similar features.

    rows: Of results/evaluate/feature_map.csv.
    """
    mistakes = [row for row in rows if row["right"] == "False"][:_MISTAKES]
    if not mistakes:
        figure = new_figure(4, 1)
        figure.text(0.5, 0.5, "no mistakes on the test split", ha="center", va="center")
        return figure
    manifest = dataset.manifest
    row_of = dict(zip(manifest["path"], range(len(manifest)), strict=True))
    # Two of them and an arrow fit into a caption.
    short = short_names(drawable_names(dataset.classes), 13)
    names = dict(zip(dataset.classes, short, strict=True))
    images, captions, files = [], [], []
    for mistake in mistakes:
        shown = [mistake["path"], *(mistake[name] for name in _NEAREST if name in mistake)]
        for place, path in enumerate(shown):
            name = names[str(manifest["class"].iloc[row_of[path]])]
            said = names[mistake["predicted"]]
            images.append(dataset.images[row_of[path]])
            captions.append(name if place else f"{name} → {said}")
            files.append(path)
    return image_sheet(images, captions, columns=len(images) // len(mistakes), files=files)


def _points(rows: list[Row]) -> np.ndarray:
    """Return the places of the rows on the map: float64 `(n, 2)`."""
    return np.array([(float(row["x"]), float(row["y"])) for row in rows]).reshape(-1, 2)
