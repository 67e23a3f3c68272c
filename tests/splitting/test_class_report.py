import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders.tiny import tiny_outcome
from matplotlib.figure import Figure
from PIL import Image

from classifier.data.dataset import Dataset
from classifier.plotting.figures import write_png
from classifier.processing.images import Preprocessing
from classifier.splitting.class_report import (
    class_counts,
    draw_class_counts,
    draw_samples,
    write_split_report,
)


def dataset_of(sizes: dict[str, tuple[int, int, int]], side: int = 8) -> Dataset:
    """A data set of these classes, with so many images in train, val and test.

    Every image of class i is of the colour (i, i, i).
    """
    rows = [
        (name, label, split)
        for label, (name, counts) in enumerate(sizes.items())
        for split, count in zip(("train", "val", "test"), counts, strict=True)
        for _ in range(count)
    ]
    manifest = pd.DataFrame(rows, columns=["class", "label", "split"])
    manifest["path"] = [f"{row}.png" for row in range(len(rows))]
    manifest["group"] = 0
    images = np.broadcast_to(
        manifest["label"].to_numpy(np.uint8)[:, None, None, None], (len(rows), side, side, 3)
    )
    return Dataset(images, manifest, list(sizes), Preprocessing(side, "crop"))


PETS = {"black cat": (5, 1, 2), "dog": (9, 2, 3), "Zürich $eel$": (3, 1, 1)}


def titles(figure: Figure) -> list[str]:
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of PETS with one problem."""
    folder = tmp_path_factory.mktemp("report")
    write_split_report(folder, dataset_of(PETS), tiny_outcome(0, [("a, b.png", "it is damaged.")]))
    return folder


def test_metrics_are_flat_and_at_most_eight(report: Path) -> None:
    assert json.loads((report / "metrics.json").read_bytes()) == {
        "classes": 3,
        "train": 17,
        "val": 4,
        "test": 6,
        "smallest_class": 5,
        "largest_class": 14,
        "skipped": 1,
        "leaked": 0,
    }


def test_classes_are_counted_by_split(report: Path) -> None:
    assert (report / "class_counts.csv").read_text("utf-8").splitlines() == [
        "class,train,val,test,total",
        "black cat,5,1,2,8",
        "dog,9,2,3,14",
        "Zürich $eel$,3,1,1,5",
    ]


def test_problems_are_listed_below_a_header(report: Path, tmp_path: Path) -> None:
    expected = 'path,reason\n"a, b.png",it is damaged.\n'
    assert (report / "problems.csv").read_text("utf-8") == expected
    write_split_report(tmp_path, dataset_of(PETS), tiny_outcome(0))
    assert (tmp_path / "problems.csv").read_text("utf-8") == "path,reason\n"


def test_report_is_the_same_every_time(report: Path, tmp_path: Path) -> None:
    write_split_report(
        tmp_path, dataset_of(PETS), tiny_outcome(0, [("a, b.png", "it is damaged.")])
    )
    files = sorted(path.name for path in report.iterdir())
    assert files == [
        "class_counts.csv", "class_counts.png", "duplicates.csv", "duplicates.png",
        "metrics.json", "problems.csv", "samples.png",
    ]  # fmt: skip
    for name in files:
        assert (report / name).read_bytes() == (tmp_path / name).read_bytes()


@pytest.mark.parametrize("classes", [2, 100])
def test_every_class_has_a_readable_name_on_the_chart(tmp_path: Path, classes: int) -> None:
    sizes = {f"class {i:03d} of a rather long name, $indeed$": (7, 1, 2) for i in range(classes)}
    figure = draw_class_counts(class_counts(dataset_of(sizes)))
    write_png(figure, tmp_path / "chart.png")
    (axes,) = figure.axes
    boxes = [label.get_window_extent() for label in axes.get_yticklabels()]
    assert len(boxes) == classes
    assert all(box.x0 >= 0 for box in boxes)  # nothing is cut off
    boxes.sort(key=lambda box: box.y0)
    assert all(low.y1 <= high.y0 for low, high in pairwise(boxes))
    width, height = Image.open(tmp_path / "chart.png").size
    assert max(boxes[-1].y1, axes.get_window_extent().y1) <= height
    assert axes.get_window_extent().x1 <= width


def test_bars_show_the_splits_end_to_end() -> None:
    (axes,) = draw_class_counts(class_counts(dataset_of(PETS))).axes
    bars = [[(bar.get_x(), bar.get_width()) for bar in group] for group in axes.containers]
    assert [group[1] for group in bars] == [(0, 9), (9, 2), (11, 3)]
    assert {text.get_text() for text in axes.texts} == {"8", "14", "5"}


def test_chart_of_very_many_classes_stays_on_the_screen() -> None:
    figure = draw_class_counts(class_counts(dataset_of({f"{i}": (1, 1, 1) for i in range(300)})))
    assert figure.get_size_inches()[1] < 30
    assert figure.axes[0].get_ylabel() == "300 classes"


@pytest.mark.parametrize(("classes", "images"), [(2, 16), (3, 24), (7, 21), (10, 20), (30, 30)])
def test_every_class_has_as_many_samples(classes: int, images: int) -> None:
    figure = draw_samples(dataset_of({f"class {i}": (9, 1, 1) for i in range(classes)}))
    names = titles(figure)
    assert len(names) == images
    assert {names.count(f"class {i}") for i in range(classes)} == {images // classes}


def test_samples_stand_under_the_names_of_their_classes() -> None:
    figure = draw_samples(dataset_of({"a": (2, 1, 1), "b": (9, 1, 1), "c": (1, 1, 1)}))
    shown = [axes for axes in figure.axes if axes.get_title()]
    for axes in shown:
        value = np.asarray(axes.images[0].get_array())[0, 0, 0]
        assert axes.get_title() == "abc"[value]
    assert [axes.get_title() for axes in shown] == ["a"] * 2 + ["b"] * 8 + ["c"]


def test_sheet_of_very_many_classes_stays_small() -> None:
    names = titles(draw_samples(dataset_of({f"class {i:03d}": (1, 1, 1) for i in range(100)})))
    assert len(names) == len(set(names)) == 48
    assert (names[0], names[-1]) == ("class 000", "class 099")
