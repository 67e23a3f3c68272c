import numpy as np
import pytest
from builders.answers import random_probabilities
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import top_k_accuracy_score

from classifier.metrics.classification import (
    balanced_accuracy,
    class_scores,
    cross_entropy,
    top_accuracy,
)

# Three classes: 4 images of the first, 2 of the second, 1 of the third.
LABELS = np.array([0, 0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 0, 0, 1, 1, 0, 1])


def test_class_scores_by_hand_are_zero_where_undefined():
    scores = class_scores(PREDICTED, LABELS, 3)
    assert scores.precision == pytest.approx([3 / 4, 1 / 3, 0])
    assert scores.recall == pytest.approx([3 / 4, 1 / 2, 0])
    assert scores.f1 == pytest.approx([3 / 4, 2 / 5, 0])


def test_balanced_accuracy_is_the_mean_recall():
    assert balanced_accuracy(PREDICTED, LABELS) == pytest.approx((3 / 4 + 1 / 2 + 0) / 3)


def test_class_that_is_only_predicted_does_not_lower_balanced_accuracy():
    predicted, labels = np.array([0, 2, 1]), np.array([0, 0, 1])
    assert balanced_accuracy(predicted, labels) == pytest.approx((1 / 2 + 1) / 2)


@pytest.mark.filterwarnings("error")
def test_class_without_images_has_a_row_of_zeros_and_no_warning():
    scores = class_scores(np.array([0, 2, 0]), np.array([0, 2, 2]), 4)
    assert scores.precision == pytest.approx([1 / 2, 0, 1, 0])
    assert scores.recall == pytest.approx([1, 0, 1 / 2, 0])
    assert scores.f1 == pytest.approx([2 / 3, 0, 2 / 3, 0])


def test_cross_entropy_by_hand():
    given = np.array([[0.5, 0.25, 0.25], [0.1, 0.8, 0.1]])
    expected = -(np.log(0.25) + np.log(0.8)) / 2
    assert cross_entropy(given, np.array([2, 1])) == pytest.approx(expected)


def test_cross_entropy_of_a_certain_mistake_is_finite():
    assert 20 < cross_entropy(np.array([[1.0, 0.0]]), np.array([1])) < 100


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), classes=st.integers(3, 12), best=st.integers(1, 12))
def test_top_accuracy_agrees_with_scikit_learn(seed: int, classes: int, best: int):
    best = min(best, classes - 1)
    given, labels = random_probabilities(seed, 30, classes)
    expected = top_k_accuracy_score(labels, given, k=best, labels=np.arange(classes))
    assert top_accuracy(given, labels, best) == pytest.approx(expected)


def test_of_equally_probable_classes_the_first_count():
    given = np.full((4, 4), 0.25)
    labels = np.arange(4)
    assert [top_accuracy(given, labels, best) for best in (1, 2, 3)] == [0.25, 0.5, 0.75]
