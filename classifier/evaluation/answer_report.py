"""Metrics, tables and charts that every evaluation writes in the same way."""

import math
from pathlib import Path

import numpy as np
import pandas as pd

from classifier.core.files import write_csv, write_json
from classifier.data.dataset import SPLITS, Dataset
from classifier.evaluation.answers import Answers
from classifier.metrics.classification import class_scores
from classifier.metrics.confusion import confusion_counts
from classifier.metrics.intervals import Interval, wilson
from classifier.plotting.agg import Axis, Figure, MaxNLocator, PowerNorm
from classifier.plotting.figures import BLUE, GREEN, GREY, new_figure, write_png
from classifier.plotting.fonts import drawable_names
from classifier.plotting.short_names import short_names
from classifier.processing.decision import ALWAYS, Decision
from classifier.processing.rules import decide

DECIMALS = 6
# With more classes than this, the order of a confusion matrix shows nothing by itself.
_MOST_ALPHABETIC = 20
# With more classes than this, the cells of a matrix get too small for numbers, ...
_MOST_NUMBERS = 40
# ... and with more than this, charts with every class's name get too large for a screen.
_MOST_NAMES = 120


def write_report(
    folder: Path,
    answers: Answers,
    metrics: dict[str, float],
    per_class: pd.DataFrame,
    recalls: dict[str, np.ndarray],
    *,
    decision: Decision = ALWAYS,
) -> None:
    """Write `metrics.json`, `predictions.csv`, `per_class.csv` and two charts.

    Args:
        folder: where to write.
        answers: for the test split.
        metrics: numbers for `metrics.json`.
        per_class: `per_class_table`, possibly with more columns.
        recalls: see `recall_figure`.
        decision: see `predictions_table`.
    """
    write_json(
        folder / "metrics.json", {name: round(value, DECIMALS) for name, value in metrics.items()}
    )
    write_table(folder / "predictions.csv", predictions_table(answers, decision))
    write_table(folder / "per_class.csv", per_class)
    write_png(confusion_figure(answers), folder / "confusion_matrix.png")
    write_png(recall_figure(answers.dataset, recalls), folder / "per_class.png")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write `table` as CSV, every float with the same number of decimals; NaN is an empty cell.

    p-values have as many digits instead, since the smallest would become 0.
    """
    cells = table.map(_cell)
    for name in (name for name in table.columns if str(name).endswith("p_value")):
        cells[name] = table[name].map(f"{{:.{DECIMALS}g}}".format, na_action="ignore")
    write_csv(path, cells)


def _cell(value: object) -> object:
    if not isinstance(value, float):
        return value
    return "" if math.isnan(value) else f"{value:.{DECIMALS}f}"


def predictions_table(answers: Answers, decision: Decision = ALWAYS) -> pd.DataFrame:
    """Return a row for each image: `path, actual, predicted, confidence, content`.

    The content, the first 16 digits of the file's SHA-256, tells `classifier compare` which images
    two runs have in common. Where the decision may be other than the predicted class, also
    `answer`: a class, or `unknown`; and with outside scores, `outside`.
    """
    names = np.array(answers.dataset.classes, dtype=object)
    table = pd.DataFrame(
        {
            "path": answers.paths,
            "actual": names[answers.labels],
            "predicted": names[answers.predicted],
            "confidence": answers.confidence,
            "content": answers.dataset.manifest["sha256"].str[:16].to_numpy()[answers.rows],
        }
    )
    if answers.outside is not None:
        table = table.assign(outside=answers.outside)
    if not decision.may_refuse:
        return table
    decided = decide(answers.probabilities, answers.outside, decision)
    return table.assign(answer=decided.labels(answers.dataset.classes))


def measures_table(values: dict[str, float], intervals: dict[str, Interval]) -> pd.DataFrame:
    """Return a row for each measure: `measure, value`, and `low, high` where it has an interval."""
    nothing = Interval(math.nan, math.nan)
    rows = [(name, value, *intervals.get(name, nothing)) for name, value in values.items()]
    return pd.DataFrame(rows, columns=["measure", "value", "low", "high"])


def per_class_table(answers: Answers) -> pd.DataFrame:
    """Return a row for each class.

    Columns `class, precision, precision_low, precision_high, recall, recall_low, recall_high, f1`,
    where low and high are of a 95% confidence interval, and the numbers of images in `train, val,
    test`. The measures of a class without test images are NaN.
    """
    dataset, counts = answers.dataset, _counts(answers)
    scores = class_scores(answers.predicted, answers.labels, len(dataset.classes))
    precision, recall = (wilson(np.diag(counts), counts.sum(axis=axis)) for axis in (0, 1))
    table = pd.DataFrame(
        {
            "class": dataset.classes,
            "precision": scores.precision,
            "precision_low": precision[0],
            "precision_high": precision[1],
            "recall": scores.recall,
            "recall_low": recall[0],
            "recall_high": recall[1],
            "f1": scores.f1,
            **{split: dataset.class_counts(split) for split in SPLITS},
        }
    )
    measures = table.columns[1 : -len(SPLITS)]
    table.loc[counts.sum(axis=1) == 0, measures] = math.nan
    return table


def confused_pairs_table(answers: Answers, limit: int) -> pd.DataFrame:
    """Return the most confused pairs of classes, at most `limit`, the most frequent first.

    Columns `actual, predicted, count, share, pair`: share of the actual class's images; pair, both
    names in one, is the axis of DVC's chart.
    """
    counts = _counts(answers)
    shares = _row_shares(counts)
    np.fill_diagonal(counts, 0)
    actual, predicted = counts.nonzero()
    pairs = pd.DataFrame(
        {
            "actual": actual,
            "predicted": predicted,
            "count": counts[actual, predicted],
            "share": shares[actual, predicted],
        }
    )
    pairs = pairs.sort_values(["count", "share"], ascending=False, kind="stable").head(limit)
    names = dict(enumerate(answers.dataset.classes))
    named = pairs.assign(actual=pairs["actual"].map(names), predicted=pairs["predicted"].map(names))
    return named.assign(pair=named["actual"] + " taken for " + named["predicted"])


def confusion_figure(answers: Answers) -> Figure:
    """Draw the confusion matrix: colour is the share of the actual class, numbers are images.

    With more classes than _MOST_ALPHABETIC, classes that are confused are placed side by side.
    """
    counts = _counts(answers)
    order = _clustered(counts) if len(counts) > _MOST_ALPHABETIC else np.arange(len(counts))
    counts = counts[np.ix_(order, order)]
    numbered = len(counts) <= _MOST_NUMBERS
    cell = float(np.interp(len(counts), [2, 10, 40], [1.0, 0.55, 0.34])) if numbered else 0.15
    classes = short_names(drawable_names(answers.dataset.classes), 28)
    names = [classes[label] for label in order]
    side, margin = cell * min(len(counts), _MOST_NAMES), 0.08 * max(map(len, names))
    figure = new_figure(side + margin + 1.7, side + margin + 0.6)
    axes = figure.subplots()
    shares = _row_shares(counts)
    # The square root keeps rare confusions visible beside the diagonal.
    image = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 1))
    figure.colorbar(image, label="share of the actual class", shrink=0.8, aspect=30)
    axes.set_xlabel("predicted")
    axes.set_ylabel("actual")
    _name_ticks(axes.yaxis, names)
    _name_ticks(axes.xaxis, names)
    axes.tick_params(axis="x", rotation=0 if margin < cell else 90)
    for row, column in np.argwhere(counts) if numbered else ():
        colour = "white" if shares[row, column] > 0.4 else "black"
        text = str(counts[row, column])
        axes.text(column, row, text, color=colour, fontsize=8, ha="center", va="center")
    return figure


def recall_figure(dataset: Dataset, recalls: dict[str, np.ndarray]) -> Figure:
    """Draw each class's recall beside its number of training images, the largest class first.

    Args:
        dataset: the data set.
        recalls: one or two sets of bars by name, such as before and after, float `(classes,)` each.
    """
    counts = dataset.class_counts("train")
    order = np.argsort(-counts, kind="stable")
    places = np.arange(len(order))
    row = 0.07 + (0.14 if len(order) <= _MOST_NUMBERS else 0.08) * len(recalls)
    figure = new_figure(9, row * min(len(order), _MOST_NAMES) + 1)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[2, 1])
    thickness = 0.8 / len(recalls)
    colours = (GREY, BLUE)[-len(recalls) :]
    for number, (name, colour) in enumerate(zip(recalls, colours, strict=True)):
        at = places + thickness * (number - (len(recalls) - 1) / 2)
        bars = left.barh(at, recalls[name][order], thickness, color=colour, label=name)
        if len(order) <= _MOST_NAMES:
            left.bar_label(bars, fmt="%.2f", padding=2, fontsize=6)
    left.set_xlim(0, 1.1)
    left.set_ylim(len(order) - 0.5, -0.5)
    left.set_xlabel("recall on the test split")
    right.barh(places, counts[order], 0.8, color=GREEN)
    right.set_xlabel("training images")
    right.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True))
    classes = short_names(drawable_names(dataset.classes), 28)
    _name_ticks(left.yaxis, [classes[label] for label in order])
    if len(recalls) > 1:
        figure.legend(loc="outside upper center", ncols=len(recalls))
    return figure


def _name_ticks(axis: Axis, names: list[str]) -> None:
    """Name the classes along `axis`; of more than _MOST_NAMES, every second, third or further."""
    step = -(-len(names) // _MOST_NAMES)
    size = 9 if len(names) <= _MOST_NUMBERS else 7
    # Without parse_math a dollar sign would start a formula.
    axis.set_ticks(range(0, len(names), step), names[::step], fontsize=size, parse_math=False)


def _counts(answers: Answers) -> np.ndarray:
    return confusion_counts(answers.predicted, answers.labels, len(answers.dataset.classes))


def _clustered(counts: np.ndarray) -> np.ndarray:
    """Return the classes in the order of the leaves of a hierarchical clustering by confusion."""
    # Of use with many classes only, and slow to import.
    from scipy.cluster.hierarchy import leaves_list, linkage  # noqa: PLC0415

    shares = _row_shares(counts)
    alike = (shares + shares.T) / 2
    np.fill_diagonal(alike, 1)
    distances = alike.max() - alike[np.triu_indices(len(counts), k=1)]
    return leaves_list(linkage(distances, "average"))


def _row_shares(counts: np.ndarray) -> np.ndarray:
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
