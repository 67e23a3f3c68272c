"""Accuracy, precision, recall and related measures of predictions.

They are those of scikit-learn (a test compares them), which takes longer to import than a stage
that only counts would run.
"""

from typing import NamedTuple

import numpy as np


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
    classes = 1 + max(int(predicted.max()), int(labels.max()))
    return float(class_scores(predicted, labels, classes).recall[present].mean())


def cross_entropy(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """Return the mean negative log-likelihood of the true classes (natural logarithm)."""
    given = probabilities[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(given, np.finfo(probabilities.dtype).eps)).mean())


def class_scores(predicted: np.ndarray, labels: np.ndarray, classes: int) -> ClassScores:
    """Return precision, recall and F1 of each class. predicted, labels: int `(n,)`."""
    counts = confusion_counts(predicted, labels, classes)
    right, predictions, images = np.diag(counts), counts.sum(axis=0), counts.sum(axis=1)
    return ClassScores(
        right / np.maximum(predictions, 1),
        right / np.maximum(images, 1),
        2 * right / np.maximum(predictions + images, 1),
    )


def confusion_counts(predicted: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Return the confusion matrix, true classes in rows: int64 `(classes, classes)`."""
    pairs = np.bincount(labels * classes + predicted, minlength=classes**2)
    return pairs.reshape(classes, classes)
