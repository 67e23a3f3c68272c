"""Prediction sets on the test split: how often they hold the true class, and how large they are."""

import math

import numpy as np
import pandas as pd

from classifier.core.text import listed
from classifier.evaluation.answers import Answers
from classifier.metrics.conformal import SetThresholds, set_thresholds
from classifier.metrics.intervals import mean_interval, wilson
from classifier.processing.decision import PredictionSets
from classifier.processing.row_names import ALL_CLASSES, ALL_UNSEEN
from classifier.processing.rules import in_sets

COLUMNS = ["class", "images", "coverage", "coverage_low", "coverage_high", "size", "size_low"]
COLUMNS += ["size_high", "threshold", "quantile"]
_FOLDS = 10
# A threshold is this share below the probability that sets it: exported files round this
# probability otherwise, and would leave the class out.
_ROUNDING = 1e-4


def fit_sets(validation: Answers, coverage: float) -> SetThresholds:
    """Return the thresholds of the prediction sets, which also hold when exported.

    Args:
        validation: answers for the validation split.
        coverage: `evaluate.coverage`.
    """
    fitted = set_thresholds(validation.probabilities, validation.labels, coverage)
    return fitted._replace(values=fitted.values * (1 - _ROUNDING))


def sets_table(answers: Answers, fitted: SetThresholds, coverage: float) -> pd.DataFrame:
    """Return coverage and mean size of the sets, a row for each class and two for all of them.

    Args:
        answers: of the test split.
        fitted: thresholds, from the validation split.
        coverage: `evaluate.coverage`.

    Returns:
        COLUMNS. `quantile` is `own` where the class has validation images enough for one, so that
        the coverage holds in it; else `all classes`. The last row is of thresholds that come from
        nine tenths of the test images, for the other tenth: these were used for nothing before,
        while the validation split also chose the epoch and the temperature.
    """
    sets = PredictionSets(coverage=coverage, thresholds=fitted.values.tolist())
    inside = in_sets(answers.probabilities, sets)
    rows = []
    for label, name in enumerate(answers.dataset.classes):
        quantile = "own" if fitted.own[label] else ALL_CLASSES
        of_class = answers.labels == label
        measured = _measure(inside[of_class], answers.labels[of_class])
        rows.append((name, *measured, fitted.values[label], quantile))
    rows.append((ALL_CLASSES, *_measure(inside, answers.labels), math.nan, ""))
    unseen = _cross_calibrated(answers, coverage)
    rows.append((ALL_UNSEEN, *_measure(unseen, answers.labels), math.nan, ""))
    return pd.DataFrame(rows, columns=COLUMNS)


def set_measures(table: pd.DataFrame) -> dict[str, float]:
    """Return coverage and mean size over all test images; nothing without sets."""
    if table.empty:
        return {}
    overall = table.set_index("class").to_dict("index")[ALL_CLASSES]
    return {"set_coverage": float(overall["coverage"]), "set_size": float(overall["size"])}


def set_lines(table: pd.DataFrame) -> list[str]:
    """Describe the sets in lines for the console; nothing without sets."""
    if table.empty:
        return []
    overall = table.set_index("class").to_dict("index")[ALL_CLASSES]
    lines = [
        f"prediction sets hold the class of {overall['coverage']:.1%} of the test images (95% "
        f"{overall['coverage_low']:.1%} to {overall['coverage_high']:.1%}), with "
        f"{overall['size']:.2f} classes on average"
    ]
    shared = table.loc[table["quantile"] == ALL_CLASSES, "class"].tolist()
    if shared:
        lines.append(
            f"  too few validation images of {listed(shared)} for a threshold of their own: "
            "their coverage holds on average over all classes only"
        )
    return lines


def _cross_calibrated(answers: Answers, coverage: float) -> np.ndarray:
    """Return the sets, with thresholds from other test images: bool `(n, classes)`."""
    inside = np.zeros(answers.probabilities.shape, bool)
    order = np.argsort(answers.labels, kind="stable")
    folds = np.empty(len(order), np.int64)
    # Sorted by class, every fold gets its share of each.
    folds[order] = np.arange(len(order)) % _FOLDS
    for fold in np.unique(folds):
        held_out = folds == fold
        fitted = set_thresholds(
            answers.probabilities[~held_out], answers.labels[~held_out], coverage
        )
        sets = PredictionSets(coverage=coverage, thresholds=fitted.values.tolist())
        inside[held_out] = in_sets(answers.probabilities[held_out], sets)
    return inside


def _measure(inside: np.ndarray, labels: np.ndarray) -> tuple[float, ...]:
    """Return images, coverage, mean size, each of the last two with its interval."""
    count = len(labels)
    if not count:
        return 0, *[math.nan] * 6
    hits = int(inside[np.arange(count), labels].sum())
    low, high = wilson(np.array([hits]), np.array([count]))
    sizes = inside.sum(axis=1)
    coverage = (hits / count, float(low[0]), float(high[0]))
    # Other images may have sets that are a class smaller or larger than these.
    ends = max(int(sizes.min()) - 1, 1), min(int(sizes.max()) + 1, inside.shape[1])
    return count, *coverage, float(sizes.mean()), *mean_interval(sizes, *ends)
