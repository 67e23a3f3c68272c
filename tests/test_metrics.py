import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import top_k_accuracy_score

from classifier.metrics import (
    balanced_accuracy,
    class_scores,
    confusion_counts,
    cross_entropy,
    expected_calibration_error,
    paired_gain,
    top_accuracy,
)

# Three classes: 4 pictures of the first, 2 of the second, 1 of the third.
LABELS = np.array([0, 0, 0, 0, 1, 1, 2])
PREDICTED = np.array([0, 0, 0, 1, 1, 0, 1])


def random_probabilities(seed: int, pictures: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    given = generator.dirichlet(np.ones(classes), pictures)
    return given, generator.integers(0, classes, pictures)


def test_confusion_counts_have_the_true_class_in_the_row():
    assert confusion_counts(PREDICTED, LABELS, 3).tolist() == [[3, 1, 0], [1, 1, 0], [0, 1, 0]]


def test_class_scores_by_hand_are_zero_where_undefined():
    scores = class_scores(PREDICTED, LABELS, 3)
    assert scores.precision == pytest.approx([3 / 4, 1 / 3, 0])
    assert scores.recall == pytest.approx([3 / 4, 1 / 2, 0])
    assert scores.f1 == pytest.approx([3 / 4, 2 / 5, 0])


def test_balanced_accuracy_is_the_mean_recall():
    assert balanced_accuracy(PREDICTED, LABELS) == pytest.approx((3 / 4 + 1 / 2 + 0) / 3)


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


def test_calibration_error_by_hand():
    confidence = np.array([0.9, 0.8, 0.6, 0.55])
    given = np.stack([confidence, 1 - confidence], axis=1)
    labels = np.array([0, 1, 0, 0])
    # Of five bins, (0.8, 1] holds 0.9, (0.6, 0.8] holds 0.8, (0.4, 0.6] the other two.
    expected = (abs(1 - 0.9) + abs(0 - 0.8) + abs(2 - 1.15)) / 4
    assert expected_calibration_error(given, labels, 5) == pytest.approx(expected)
    # In one bin, the differences balance.
    assert expected_calibration_error(given, labels, 1) == pytest.approx(abs(3 - 2.85) / 4)


def test_calibration_error_of_certain_answers_is_their_error_rate():
    given = np.eye(2)[[0, 0, 1, 1]]
    assert expected_calibration_error(given, np.array([0, 0, 1, 1]), 15) == 0
    assert expected_calibration_error(given, np.array([0, 0, 1, 0]), 15) == pytest.approx(0.25)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), bins=st.integers(1, 20))
def test_calibration_error_agrees_with_its_definition(seed: int, bins: int):
    given, labels = random_probabilities(seed, 50, 4)
    confidence, right = given.max(axis=1), given.argmax(axis=1) == labels
    expected = 0.0
    for low in range(bins):
        inside = (confidence > low / bins) & (confidence <= (low + 1) / bins)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    assert expected_calibration_error(given, labels, bins) == pytest.approx(expected)


def outcomes(both: int, corrected: int, spoiled: int, neither: int) -> tuple[np.ndarray, ...]:
    before = np.repeat([True, False, True, False], [both, corrected, spoiled, neither])
    after = np.repeat([True, True, False, False], [both, corrected, spoiled, neither])
    return before, after


def test_paired_gain_of_a_published_example():
    # The airway reactivity data of Fagerland, Lydersen and Laake, Statistics in Medicine 33
    # (2014) 2850-2875, who give -0.51 to -0.01 for this interval.
    gain = paired_gain(*outcomes(1, 1, 7, 12))
    assert (gain.corrected, gain.spoiled) == (1, 7)
    assert gain.gain == pytest.approx(-6 / 21)
    assert (gain.low, gain.high) == pytest.approx((-0.508, -0.013), abs=5e-4)
    assert gain.is_certain


def test_a_gain_without_any_disagreement_is_uncertain_still():
    gain = paired_gain(*outcomes(95, 0, 0, 5))
    assert gain.gain == 0
    assert gain.high == -gain.low == pytest.approx(1.959964 * np.sqrt(2) / 102)
    assert not gain.is_certain


@settings(max_examples=30, deadline=None)
@given(st.tuples(*[st.integers(0, 40)] * 4).filter(lambda counts: sum(counts) > 0))
def test_swapping_before_and_after_turns_the_gain_round(counts: tuple[int, int, int, int]):
    before, after = outcomes(*counts)
    gain, loss = paired_gain(before, after), paired_gain(after, before)
    assert gain.gain == pytest.approx(after.mean() - before.mean())
    assert (gain.low, gain.high) == pytest.approx((-loss.high, -loss.low))
    assert -1 <= gain.low < gain.high <= 1


def test_the_interval_covers_the_true_gain_in_95_of_100_samples():
    generator = np.random.default_rng(0)
    samples = generator.multinomial(100, [0.8, 0.07, 0.03, 0.1], size=2000)
    intervals = [paired_gain(*outcomes(*sample)) for sample in samples]
    covered = np.mean([gain.low <= 0.04 <= gain.high for gain in intervals])
    assert 0.94 <= covered <= 0.97
