"""Accuracy, precision, recall and related measures of predictions."""

from typing import NamedTuple

import numpy as np
from sklearn.metrics import (
    log_loss,
    precision_recall_fscore_support,
    recall_score,
)


class ClassScores(NamedTuple):
    """Precision, recall and F1 of every class: float64 `(classes,)` each, 0 where undefined."""

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray


def top_accuracy(probabilities: np.ndarray, labels: np.ndarray, best: int) -> float:
    """Return the top-k accuracy.

    Of equally probable classes the first ones count, so that k = 1 agrees with `argmax`.

    Args:
        probabilities: `(n, classes)`.
        labels: int `(n,)`.
        best: k.
    """
    ranked = np.argsort(-probabilities, axis=1, kind="stable")[:, :best]
    return float((ranked == labels[:, None]).any(axis=1).mean())


def balanced_accuracy(predicted: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean recall of the classes in `labels`. predicted, labels: int `(n,)`."""
    present = np.unique(labels)
    return float(recall_score(labels, predicted, labels=present, average="macro"))


def cross_entropy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean negative log-likelihood of the true classes (natural logarithm)."""
    return float(log_loss(labels, probabilities, labels=np.arange(probabilities.shape[1])))


def class_scores(predicted: np.ndarray, labels: np.ndarray, classes: int) -> ClassScores:
    """Return precision, recall and F1 of each class. predicted, labels: int `(n,)`."""
    precision, recall, f1, _ = precision_recall_fscore_support(
        labels,
        predicted,
        labels=np.arange(classes),
        zero_division=0,  # pyright: ignore[reportArgumentType] (its type is taken from a default)
    )
    return ClassScores(np.asarray(precision), np.asarray(recall), np.asarray(f1))
