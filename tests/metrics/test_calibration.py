import numpy as np
import pytest
from builders.answers import random_probabilities
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier.metrics.calibration import reliability, risk_coverage_curve


def calibration_error(given: np.ndarray, labels: np.ndarray, bins: int) -> float:
    return reliability(given, labels, bins).ece


def test_calibration_error_by_hand():
    confidence = np.array([0.9, 0.8, 0.6, 0.55])
    given = np.stack([confidence, 1 - confidence], axis=1)
    labels = np.array([0, 1, 0, 0])
    # Of five bins, (0.8, 1] holds 0.9, (0.6, 0.8] holds 0.8, (0.4, 0.6] the other two.
    expected = (abs(1 - 0.9) + abs(0 - 0.8) + abs(2 - 1.15)) / 4
    assert calibration_error(given, labels, 5) == pytest.approx(expected)
    # In one bin, the differences balance.
    assert calibration_error(given, labels, 1) == pytest.approx(abs(3 - 2.85) / 4)


def test_calibration_error_of_certain_answers_is_their_error_rate():
    given = np.eye(2)[[0, 0, 1, 1]]
    assert calibration_error(given, np.array([0, 0, 1, 1]), 15) == 0
    assert calibration_error(given, np.array([0, 0, 1, 0]), 15) == pytest.approx(0.25)


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
    assert calibration_error(given, labels, bins) == pytest.approx(expected)


def test_reliability_by_hand():
    confidence = np.array([0.9, 0.8, 0.6, 0.55])
    given = np.stack([confidence, 1 - confidence], axis=1)
    found = reliability(given, np.array([0, 1, 0, 0]), 5)
    assert found.counts.tolist() == [0, 0, 2, 1, 1]
    assert found.confidence[2:] == pytest.approx([0.575, 0.8, 0.9])
    assert found.accuracy[2:].tolist() == [1, 0, 1]
    assert np.isnan(found.accuracy[:2]).all()


def test_coverage_by_hand():
    curve = risk_coverage_curve(np.array([0.6, 0.9, 0.7, 0.8]), np.array([True, True, False, True]))
    assert curve.coverage.tolist() == [0.25, 0.5, 0.75, 1]
    assert curve.accuracy == pytest.approx([1, 1, 2 / 3, 3 / 4])
    assert curve.threshold.tolist() == [0.9, 0.8, 0.7, 0.6]
    assert curve.aurc == pytest.approx(1 - (1 + 1 + 2 / 3 + 3 / 4) / 4)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), levels=st.integers(1, 30))
def test_coverage_does_not_depend_on_the_order_of_images(seed: int, levels: int):
    generator = np.random.default_rng(seed)
    confidence = generator.integers(0, levels, 30) / levels
    right, order = generator.random(30) < 0.7, generator.permutation(30)
    curve, other = (
        risk_coverage_curve(confidence, right),
        risk_coverage_curve(confidence[order], right[order]),
    )
    np.testing.assert_allclose(curve.accuracy, other.accuracy)
    assert curve.accuracy[-1] == pytest.approx(right.mean())
    if levels == 1:
        np.testing.assert_allclose(curve.accuracy, right.mean())


def test_the_area_is_best_where_mistakes_are_the_least_confident():
    right = np.array([True] * 8 + [False] * 2)
    confidence = np.linspace(0.9, 0.5, 10)
    best, worst = (risk_coverage_curve(of, right).aurc for of in (confidence, confidence[::-1]))
    assert best < 0.05 < worst
