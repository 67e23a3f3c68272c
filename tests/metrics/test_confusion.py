import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix

from classifier.metrics.confusion import confusion_counts


def test_true_class_is_in_the_row() -> None:
    predicted, labels = np.array([1, 1, 0]), np.array([0, 0, 2])
    assert confusion_counts(predicted, labels, 3).tolist() == [[0, 2, 0], [0, 0, 0], [1, 0, 0]]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=60))
def test_counts_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    predicted, labels = np.array(pairs, np.int64).reshape(-1, 2).T
    counts = confusion_counts(predicted, labels, 5)
    expected = np.zeros((5, 5), np.int64)
    if pairs:
        expected = confusion_matrix(labels, predicted, labels=np.arange(5))
    assert counts.tolist() == expected.tolist()
    assert counts.dtype == np.int64
