"""How good the predictions of one model are, in numbers."""

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


def top_accuracy(probabilities: np.ndarray, labels: np.ndarray, best: int) -> float:
    """Share of images whose class is among the `best` most probable ones.

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
    """Images of each true class (row) by predicted class (column): int64 `(classes, classes)`."""
    return confusion_matrix(labels, predicted, labels=np.arange(classes))
