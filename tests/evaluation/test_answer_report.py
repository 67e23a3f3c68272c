import dataclasses
import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from classifier.data.dataset import Dataset
from classifier.evaluation.answer_report import (
    confused_pairs_table,
    confusion_figure,
    per_class_table,
    predictions_table,
    recall_figure,
    write_report,
    write_table,
)
from classifier.evaluation.answers import Answers
from classifier.metrics.classification import class_scores
from classifier.plotting.figures import write_png
from classifier.processing.decision import Decision
from classifier.processing.images import Preprocessing


def make_dataset(classes: list[str], labels: list[int], splits: list[str]) -> Dataset:
    paths = [f"images/{i}.png" for i in range(len(labels))]
    digests = [f"{i:064x}"[::-1] for i in range(len(labels))]
    manifest = pd.DataFrame({"path": paths, "label": labels, "split": splits, "sha256": digests})
    images = np.zeros((len(labels), 2, 2, 3), np.uint8)
    return Dataset(images, manifest, classes, Preprocessing(2, "crop"))


def make_answers(dataset: Dataset, predicted: list[int], confidence: float = 0.8) -> Answers:
    """Answers for the test split with the same confidence in each predicted class."""
    classes = len(dataset.classes)
    given = np.full((len(predicted), classes), (1 - confidence) / (classes - 1))
    given[np.arange(len(predicted)), predicted] = confidence
    return Answers(dataset, dataset.rows("test"), given)


@pytest.fixture
def answers() -> Answers:
    """Three classes; the test images are a a a b b c, taken for a b b b a c."""
    labels = [0, 0, 1, 2, 1, 0, 0, 0, 1, 1, 2]
    splits = ["train"] * 4 + ["val"] + ["test"] * 6
    return make_answers(make_dataset(["a", "b, or so", "ç"], labels, splits), [0, 1, 1, 1, 0, 2])


def test_predictions_name_the_image_and_both_classes(answers: Answers):
    table = predictions_table(answers)
    assert list(table.columns) == ["path", "actual", "predicted", "confidence", "content"]
    assert table["path"].tolist() == [f"images/{i}.png" for i in range(5, 11)]
    assert table["actual"].tolist() == ["a", "a", "a", "b, or so", "b, or so", "ç"]
    assert table["predicted"].tolist() == ["a", "b, or so", "b, or so", "b, or so", "a", "ç"]
    assert table["confidence"].tolist() == pytest.approx([0.8] * 6)
    assert table["content"].tolist() == [f"{i:016x}"[::-1] for i in range(5, 11)]


def test_answers_below_a_confidence_are_unknown(answers: Answers):
    sure = np.array([0.4, 0.6, 0.59, 0.7, 0.9, 0.6])
    given = np.repeat(((1 - sure) / 2)[:, None], 3, axis=1)
    given[np.arange(6), answers.predicted] = sure
    answers = dataclasses.replace(answers, probabilities=given)
    table = predictions_table(answers, Decision(reject_below=0.6))
    assert list(table.columns)[-1] == "answer"
    assert table["answer"].tolist() == ["unknown", "b, or so", "unknown", "b, or so", "a", "ç"]


def test_the_class_table_has_scores_and_the_support_in_every_split(answers: Answers):
    table = per_class_table(answers).set_index("class")
    assert table["precision"].tolist() == pytest.approx([1 / 2, 1 / 3, 1])
    assert table["recall"].tolist() == pytest.approx([1 / 3, 1 / 2, 1])
    for name in ("precision", "recall"):
        assert (table[f"{name}_low"] <= table[name]).all()
        assert (table[name] <= table[f"{name}_high"]).all()
    # One of three images: the textbook's interval.
    assert table.loc["a", "recall_low"] == pytest.approx(0.0615, abs=1e-4)
    assert table.loc["a", "recall_high"] == pytest.approx(0.7923, abs=1e-4)
    assert table[["train", "val", "test"]].to_numpy().tolist() == [[2, 0, 3], [1, 1, 2], [1, 0, 1]]


def test_confused_pairs_come_with_the_most_frequent_first(answers: Answers):
    table = confused_pairs_table(answers, 10)
    assert table.to_dict("records") == [
        {
            "actual": "a",
            "predicted": "b, or so",
            "count": 2,
            "share": pytest.approx(2 / 3),
            "pair": "a taken for b, or so",
        },
        {
            "actual": "b, or so",
            "predicted": "a",
            "count": 1,
            "share": pytest.approx(1 / 2),
            "pair": "b, or so taken for a",
        },
    ]
    assert len(confused_pairs_table(answers, 1)) == 1


def test_of_equally_frequent_pairs_the_larger_share_comes_first():
    dataset = make_dataset(["a", "b"], [0, 0, 0, 1, 1], ["test"] * 5)
    pairs = confused_pairs_table(make_answers(dataset, [0, 0, 1, 1, 0]), 2)
    assert pairs["actual"].tolist() == ["b", "a"]


def test_no_confusion_gives_a_table_of_headings(answers: Answers, tmp_path: Path):
    perfect = make_answers(answers.dataset, answers.labels.tolist())
    write_table(tmp_path / "pairs.csv", confused_pairs_table(perfect, 5))
    assert (tmp_path / "pairs.csv").read_bytes() == b"actual,predicted,count,share,pair\n"


def test_floats_are_written_with_the_same_number_of_decimals(tmp_path: Path):
    table = pd.DataFrame({"name": ["x, y", "é"], "count": [3, 4], "share": [0.5, math.nan]})
    write_table(tmp_path / "table.csv", table)
    expected = 'name,count,share\n"x, y",3,0.500000\né,4,\n'
    assert (tmp_path / "table.csv").read_text("utf-8") == expected


def test_small_p_values_are_written_as_no_zero(tmp_path: Path):
    table = pd.DataFrame({"p_value": [1.25e-9, np.nan], "adjusted_p_value": [2.5e-9, 1.0]})
    write_table(tmp_path / "table.csv", table)
    written = (tmp_path / "table.csv").read_text("utf-8")
    assert written == "p_value,adjusted_p_value\n1.25e-09,2.5e-09\n,1\n"


def test_a_report_is_five_files_and_the_same_bytes_every_time(answers: Answers, tmp_path: Path):
    table = per_class_table(answers)
    for name in ("first", "second"):
        recalls = {"recall": table["recall"].to_numpy()}
        write_report(tmp_path / name, answers, {"accuracy": 2 / 3, "spoiled": 3}, table, recalls)
    files = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert files == [
        "confusion_matrix.png",
        "metrics.json",
        "per_class.csv",
        "per_class.png",
        "predictions.csv",
    ]
    for name in files:
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    metrics = json.loads((tmp_path / "first/metrics.json").read_text())
    assert metrics == {"accuracy": 0.666667, "spoiled": 3}


def many_answers(classes: int, name: str) -> Answers:
    generator = np.random.default_rng(classes)
    labels = [*range(classes)] * 2 + generator.integers(0, classes, 8 * classes).tolist()
    splits = ["train"] * classes + ["test"] * classes
    splits += generator.choice(["train", "test"], 8 * classes).tolist()
    dataset = make_dataset([name.format(i) for i in range(classes)], labels, splits)
    truth = dataset.labels[dataset.rows("test")]
    mistaken = generator.random(len(truth)) < 0.3
    guesses = generator.integers(0, classes, len(truth))
    return make_answers(dataset, np.where(mistaken, guesses, truth).tolist())


def assert_labels_are_readable(figure: Figure, axis: Axis, expected: int) -> None:
    """Every tick label is inside the figure and beside its neighbours, not on top of them."""
    labels = [label for label in axis.get_ticklabels() if label.get_text()]
    assert len(labels) == expected
    boxes = [label.get_window_extent() for label in labels]
    assert min(min(box.x0, box.y0) for box in boxes) >= 0
    assert max(box.x1 for box in boxes) <= figure.bbox.x1
    assert max(box.y1 for box in boxes) <= figure.bbox.y1
    for box, other in pairwise(boxes):
        gaps = (other.x0 - box.x1, box.x0 - other.x1, other.y0 - box.y1, box.y0 - other.y1)
        assert max(gaps) >= 0


@pytest.mark.parametrize(
    ("classes", "name", "labels"),
    [
        (2, "{}", 2),
        (2, "a long name of class number {} with $dollars$ and more", 2),
        (10, "class {}", 10),
        (40, "a rather long name {}", 40),
        (100, "a rather long name {}", 100),
        (130, "{}", 65),
    ],
)
def test_charts_are_readable(classes: int, name: str, labels: int, tmp_path: Path):
    answers = many_answers(classes, name)
    recall = class_scores(answers.predicted, answers.labels, classes).recall
    matrix = confusion_figure(answers)
    bars = recall_figure(answers.dataset, {"before": recall, "after": recall[::-1]})
    for figure in (matrix, bars):
        write_png(figure, tmp_path / "chart.png")
        with Image.open(tmp_path / "chart.png") as image:
            assert max(image.size) < 3200
    assert_labels_are_readable(matrix, matrix.axes[0].xaxis, labels)
    assert_labels_are_readable(matrix, matrix.axes[0].yaxis, labels)
    assert_labels_are_readable(bars, bars.axes[0].yaxis, labels)


def test_the_matrix_shows_shares_as_colours_and_images_as_numbers(answers: Answers):
    axes = confusion_figure(answers).axes[0]
    shares = axes.images[0].get_array()
    assert shares is not None
    assert shares.tolist() == pytest.approx(
        np.array([[1, 2, 0], [1, 1, 0], [0, 0, 1]]) / [[3], [2], [1]]
    )
    numbers = {text.get_position(): text.get_text() for text in axes.texts}
    assert numbers == {(0, 0): "1", (1, 0): "2", (0, 1): "1", (1, 1): "1", (2, 2): "1"}


def test_the_matrix_of_many_classes_has_no_numbers():
    assert len(confusion_figure(many_answers(40, "{}")).axes[0].texts) > 40
    assert not confusion_figure(many_answers(41, "{}")).axes[0].texts


def test_of_many_classes_those_that_are_confused_stand_together():
    names = [f"{i:02d}" for i in range(24)]
    labels = np.repeat(np.arange(24), 4)
    predicted = labels.copy()
    # Each class of the first half is taken for its partner in the second half.
    predicted[::4] = (labels[::4] + 12) % 24
    dataset = make_dataset(names, labels.tolist(), ["test"] * 96)
    axes = confusion_figure(make_answers(dataset, predicted.tolist())).axes[0]
    order = [int(label.get_text()) for label in axes.get_yticklabels()]
    assert sorted(order) == list(range(24))
    assert order == [int(label.get_text()) for label in axes.get_xticklabels()]
    assert all(abs(first - second) == 12 for first, second in zip(*[iter(order)] * 2, strict=True))
    few = make_answers(make_dataset(names[:20], [0], ["test"]), [0])
    kept = [label.get_text() for label in confusion_figure(few).axes[0].get_yticklabels()]
    assert kept == names[:20]


def bar_lengths(axes: Axes) -> list[float]:
    return [bar.get_width() for bar in axes.patches if isinstance(bar, Rectangle)]


def test_recall_bars_stand_beside_training_images_the_largest_class_first():
    labels = [0, 1, 1, 1, 2, 2]
    dataset = make_dataset(["few", "most", "some"], labels, ["train"] * 6)
    figure = recall_figure(dataset, {"recall": np.array([0.1, 0.2, 0.3])})
    left, right = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == ["most", "some", "few"]
    assert bar_lengths(left) == pytest.approx([0.2, 0.3, 0.1])
    assert bar_lengths(right) == [3, 2, 1]
    # The first class stands at the top.
    bottom, top = left.get_ylim()
    assert bottom > top
