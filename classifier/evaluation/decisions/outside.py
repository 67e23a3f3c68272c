"""Images that show none of the classes: fit the outside score, and measure what it recognises.

Each class in turn is left out: score and head are fitted without its images, which then are images
of none of the classes. The head is refitted as a logistic regression on the same features, so that
this takes seconds. With a frozen pretrained backbone the network has learnt nothing of the class.
A backbone that was trained has seen the class under its name, so that its figures are too good: a
hint how close a class is to the others, no promise (column `backbone`).
"""

import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from classifier.core.text import counted
from classifier.evaluation.answers import Answers
from classifier.metrics.kl_matching import fit_matching
from classifier.metrics.outside import OutsideScore, fit_outside
from classifier.models.network_outputs import NetworkOutputs
from classifier.models.weights.stored_backbone import PretrainedHead
from classifier.processing.decision import Decision
from classifier.processing.row_names import FOREIGN_IMAGES, MEAN_OF_CLASSES
from classifier.processing.rules import is_outside
from classifier.processing.softmax import probabilities

COLUMNS = ["left_out", "images", "auroc", "refused", "good_refused", "max_softmax_auroc"]
COLUMNS += ["max_softmax_refused", "backbone"]
# With more classes, this many of them are left out in turn, spread over all.
_MOST_CLASSES = 10
# Classes that are left out at a time: each takes copies of all features.
_AT_ONCE = 2
# Training images of the refitted head: more take longer and change little.
_MOST_IMAGES = 2000
# Inverse strength of its L2 regularisation, on standardised features.
_C = 0.08
# More change the AUROC in its third decimal.
_ITERATIONS = 30
# The threshold is this much, in standard deviations of validation images, above the score of the
# image that sets it: exported files round this score otherwise, and would refuse the image.
_ROUNDING = 0.001


class LabelledOutputs(NamedTuple):
    """What the network gives for images, and their classes: int64 `(n,)`."""

    outputs: NetworkOutputs
    labels: np.ndarray

    def where(self, chosen: np.ndarray) -> "LabelledOutputs":
        """Return those of some images; chosen: bool `(n,)`."""
        outputs = NetworkOutputs(*(part[chosen] for part in self.outputs))
        return LabelledOutputs(outputs, self.labels[chosen])


class Splits(NamedTuple):
    """The outputs of training images (or some of them), validation images and test images."""

    train: LabelledOutputs
    val: LabelledOutputs
    test: LabelledOutputs

    def where_label(self, label: int, *, is_it: bool) -> "Splits":
        """Return the images of a class, or all others."""
        return Splits(*(split.where((split.labels == label) == is_it) for split in self))


class Scores(NamedTuple):
    """Scores of images that should be high where they show none of the classes: `(n,)` each."""

    outside: np.ndarray
    max_softmax: np.ndarray


def fit_score(
    train: LabelledOutputs, val: NetworkOutputs, head: PretrainedHead | None
) -> OutsideScore:
    """Return the outside score of these images.

    Args:
        train: outputs of training images.
        val: outputs of validation images.
        head: the last layer that the backbone's pretrained weights came with; None where there is
            none, or where training has changed the features.
    """
    features = train.outputs.features
    matching = None if head is None else fit_matching(*head, features, train.labels)
    return fit_outside(features, *val, matching)


def outside_threshold(scores: np.ndarray, share: float) -> float:
    """Return the threshold above which at most a share of these images lies, also when exported.

    Args:
        scores: of validation images, float `(n,)`.
        share: `evaluate.outside_share`.
    """
    return _upper_quantile(scores, share) + _ROUNDING


def _upper_quantile(scores: np.ndarray, share: float) -> float:
    """Return the lowest of the scores that at most a share of them is above."""
    return float(np.quantile(scores, 1 - share, method="higher"))


def outside_table(
    splits: Splits,
    classes: list[str],
    *,
    share: float,
    frozen: bool,
    head: PretrainedHead | None = None,
) -> pd.DataFrame:
    """Return a row for each class that is left out, and one for their mean.

    A class is not left out where the others then lack validation or test images, or are one class.

    Args:
        splits: outputs of the data set.
        classes: names of the classes.
        share: of good images that may be refused, `evaluate.outside_share`.
        frozen: whether the backbone learnt nothing from these images. All images of the class are
            then measured, otherwise those of the test split.
        head: see `fit_score`.

    Returns:
        COLUMNS: `auroc` of the images against test images of the other classes; `refused`, the
        share of them above the threshold, and `good_refused`, that of these test images; the same
        for maximum softmax, at its own threshold for the same share.
    """

    def measured(label: int) -> tuple[str | float, ...] | None:
        kept, gone = (splits.where_label(label, is_it=is_it) for is_it in (False, True))
        shown = _joined(gone) if frozen else gone.test.outputs
        needed = (kept.val.labels, kept.test.labels, shown.features)
        if len(np.unique(kept.train.labels)) < 2 or not all(map(len, needed)):
            return None
        return classes[label], *_measure_left_out(kept, shown, share, head)

    with warnings.catch_warnings(), ThreadPoolExecutor(_AT_ONCE) as threads:
        warnings.simplefilter("ignore", ConvergenceWarning)
        # With less than two images a class, scikit-learn suspects that labels are measurements.
        warnings.filterwarnings("ignore", "The number of unique classes is greater than 50%")
        rows = [row for row in threads.map(measured, _left_out(len(classes))) if row is not None]
    table = pd.DataFrame(rows, columns=COLUMNS[:-1])
    if rows:
        means = table.drop(columns=["left_out", "images"]).mean().to_dict()
        mean = {"left_out": MEAN_OF_CLASSES, "images": int(table["images"].sum()), **means}
        table = pd.concat([table, pd.DataFrame([mean])], ignore_index=True)
    return table.assign(backbone="frozen" if frozen else "has seen the class")[COLUMNS]


def foreign_table(
    splits: Splits, foreign: NetworkOutputs, score: OutsideScore, share: float
) -> pd.DataFrame:
    """Return the row of images that show none of the classes, by the score and threshold in use.

    Args:
        splits: outputs of the data set.
        foreign: outputs of these images.
        score: of the trained model.
        share: of good images that may be refused, `evaluate.outside_share`.

    Returns:
        COLUMNS, as `outside_table`.
    """
    measured = _measure(score, splits.val.outputs, splits.test.outputs, foreign, share)
    table = pd.DataFrame([(FOREIGN_IMAGES, *measured)], columns=COLUMNS[:-1])
    return table.assign(backbone="has not seen them")[COLUMNS]


def outside_lines(table: pd.DataFrame, refused: float | None) -> list[str]:
    """Describe the table in lines for the console.

    Args:
        table: see `outside_table`.
        refused: share of the test images; None where nothing is refused as none of the classes.
    """
    if refused is None:
        return []
    rows = table.set_index("left_out").to_dict("index")
    lines = [f"none of the classes: {refused:.1%} of the test images are refused"]
    if MEAN_OF_CLASSES in rows:
        mean = rows[MEAN_OF_CLASSES]
        seen = "" if mean["backbone"] == "frozen" else " (by a backbone that has seen them)"
        lines[0] += (
            f"; of images of a class that is left out {mean['refused']:.1%}{seen}, AUROC "
            f"{mean['auroc']:.3f}, maximum softmax {mean['max_softmax_auroc']:.3f}"
        )
    if FOREIGN_IMAGES in rows:
        row = rows[FOREIGN_IMAGES]
        lines.append(
            f"  refused of {counted(row['images'], 'foreign image')}: {row['refused']:.1%}"
        )
    return lines


def outside_measures(answers: Answers, decision: Decision, table: pd.DataFrame) -> dict[str, float]:
    """Return the share of test images that are refused, and mean AUROCs of the classes left out.

    Args:
        answers: of the test split.
        decision: the rules.
        table: see `outside_table`.
    """
    if answers.outside is None:
        return {}
    refused = float(is_outside(answers.outside, decision).mean())
    rows = table.set_index("left_out").to_dict("index")
    if MEAN_OF_CLASSES not in rows:
        return {"refused_share": refused}
    mean = rows[MEAN_OF_CLASSES]
    return {
        "refused_share": refused,
        "outside_auroc": float(mean["auroc"]),
        "max_softmax_auroc": float(mean["max_softmax_auroc"]),
    }


def _left_out(classes: int) -> Iterator[int]:
    """Yield the classes to leave out: all, or some that are spread over all."""
    count = min(classes, _MOST_CLASSES) if classes > 2 else 0
    yield from (int(label) for label in np.linspace(0, classes - 1, count).astype(int))


def _joined(splits: Splits) -> NetworkOutputs:
    outputs = (split.outputs for split in splits)
    return NetworkOutputs(*(np.concatenate(of) for of in zip(*outputs, strict=True)))


def _measure_left_out(
    kept: Splits, shown: NetworkOutputs, share: float, pretrained: PretrainedHead | None
) -> tuple[float, ...]:
    """Measure a score and a head that are fitted without the class; see `_measure`."""
    head = _Head(kept.train)
    val, test, others = (
        NetworkOutputs(of.features, head.logits(of.features))
        for of in (kept.val.outputs, kept.test.outputs, shown)
    )
    return _measure(fit_score(kept.train, val, pretrained), val, test, others, share)


def _measure(
    score: OutsideScore,
    val: NetworkOutputs,
    test: NetworkOutputs,
    others: NetworkOutputs,
    share: float,
) -> tuple[float, ...]:
    """Return images, AUROC, share refused, share of good images refused; two of softmax."""
    limits, good, bad = (
        Scores(score(*of), 1 - probabilities(of.logits, 1.0).max(axis=1))
        for of in (val, test, others)
    )
    thresholds = (
        outside_threshold(limits.outside, share),
        _upper_quantile(limits.max_softmax, share),
    )
    found = []
    for threshold, of_good, of_bad in zip(thresholds, good, bad, strict=True):
        is_bad = np.repeat([0, 1], [len(of_good), len(of_bad)])
        auroc = float(roc_auc_score(is_bad, np.concatenate([of_good, of_bad])))
        found.append((auroc, (of_bad > threshold).mean(), (of_good > threshold).mean()))
    (auroc, refused, good_refused), (other_auroc, other_refused, _) = found
    return len(others.features), auroc, refused, good_refused, other_auroc, other_refused


class _Head:
    """A logistic regression on standardised features in place of the head of the network."""

    def __init__(self, train: LabelledOutputs) -> None:
        chosen = np.linspace(0, len(train.labels) - 1, min(len(train.labels), _MOST_IMAGES))
        some = train.where(np.isin(np.arange(len(train.labels)), chosen.astype(int)))
        features = some.outputs.features
        self._mean, self._scale = features.mean(axis=0), features.std(axis=0)
        self._scale[self._scale == 0] = 1.0
        self._regression = LogisticRegression(C=_C, max_iter=_ITERATIONS, tol=1e-3)
        self._regression.fit((features - self._mean) / self._scale, some.labels)

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Return logits: float64 `(n, classes)`."""
        shown = (features - self._mean) / self._scale
        if len(self._regression.classes_) > 2:
            return self._regression.decision_function(shown)
        # Of two classes scikit-learn gives the log odds of the second.
        odds = self._regression.decision_function(shown)
        return np.stack([-odds / 2, odds / 2], axis=1)
