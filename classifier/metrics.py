"""How good predictions are: the numbers of one model, and of two on the same pictures."""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from sklearn.metrics import (
    balanced_accuracy_score,
    confusion_matrix,
    log_loss,
    precision_recall_fscore_support,
)


class ClassScores(NamedTuple):
    """Precision, recall and F1 of every class: float64 `(classes,)` each, 0 where undefined."""

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray


@dataclass(frozen=True)
class PairedGain:
    """What replacing one prediction by another did to the same pictures.

    gain: accuracy after minus accuracy before, with its 95% interval from `low` to `high`.
    corrected, spoiled: pictures that became right, and wrong.
    """

    gain: float
    low: float
    high: float
    corrected: int
    spoiled: int

    @property
    def is_certain(self) -> bool:
        """Whether the interval excludes a gain of zero."""
        return self.low > 0 or self.high < 0


def top_accuracy(probabilities: np.ndarray, labels: np.ndarray, best: int) -> float:
    """Share of pictures whose class is among the `best` most probable ones.

    probabilities: `(n, classes)`. labels: int `(n,)`. Of equally probable classes the first count,
    so that `best=1` agrees with `argmax`.
    """
    ranked = np.argsort(-probabilities, axis=1, kind="stable")[:, :best]
    return float((ranked == labels[:, None]).any(axis=1).mean())


def balanced_accuracy(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Mean over the classes of each one's recall. predicted, labels: int `(n,)`."""
    return float(balanced_accuracy_score(labels, predicted))


def cross_entropy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Mean of the negative natural logarithms of the true classes' probabilities."""
    return float(log_loss(labels, probabilities, labels=np.arange(probabilities.shape[1])))


def expected_calibration_error(probabilities: np.ndarray, labels: np.ndarray, bins: int) -> float:
    """Distance between confidence and accuracy, averaged over `bins` of equal width.

    Guo et al., "On calibration of modern neural networks", arXiv 1706.04599, equation 3: the
    confidence is that of the predicted class; bin m holds confidences in ((m - 1)/bins, m/bins].
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    edges = np.linspace(0, 1, bins + 1)
    places = np.digitize(confidence, edges[1:-1], right=True)
    # Within a bin, (pictures / n) * |accuracy - confidence| is |sum of the differences| / n.
    differences = np.bincount(places, weights=right - confidence, minlength=bins)
    return float(np.abs(differences).sum() / len(labels))


def class_scores(predicted: np.ndarray, labels: np.ndarray, classes: int) -> ClassScores:
    """Scores of each of `classes`. predicted, labels: int `(n,)`."""
    precision, recall, f1, _ = precision_recall_fscore_support(
        labels,
        predicted,
        labels=np.arange(classes),
        zero_division=0,  # pyright: ignore[reportArgumentType] (its type is taken from a default)
    )
    return ClassScores(np.asarray(precision), np.asarray(recall), np.asarray(f1))


def confusion_counts(predicted: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Pictures of each true class (row) by predicted class (column): int64 `(classes, classes)`."""
    return confusion_matrix(labels, predicted, labels=np.arange(classes))


def paired_gain(before: np.ndarray, after: np.ndarray) -> PairedGain:
    """Compare two predictions of the same pictures; before, after: bool `(n,)`, True where right.

    The interval is the adjusted Wald interval of Bonett and Price, "Adjusted Wald confidence
    interval for a difference of binomial proportions based on paired data", Journal of Educational
    and Behavioral Statistics 37 (2012) 479-488: it adds one picture to each of the two kinds of
    disagreement, and so keeps its coverage where there are few of them.
    """
    corrected, spoiled = int((~before & after).sum()), int((before & ~after).sum())
    more, fewer = (corrected + 1) / (len(before) + 2), (spoiled + 1) / (len(before) + 2)
    difference = more - fewer
    deviation = math.sqrt((more + fewer - difference**2) / (len(before) + 2))
    reach = NormalDist().inv_cdf(0.975) * deviation
    low, high = max(difference - reach, -1.0), min(difference + reach, 1.0)
    return PairedGain((corrected - spoiled) / len(before), low, high, corrected, spoiled)
