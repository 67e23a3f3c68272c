from typing import Any

import numpy as np
import pytest
from scipy.stats import binomtest, false_discovery_control, fisher_exact, ks_2samp

from classifier.monitoring.two_samples import (
    counts_test,
    distribution_test,
    holm,
    label_shares,
    noticeable_distance,
)


def test_same_sample_has_no_distance() -> None:
    values = np.arange(50.0)
    assert distribution_test(values, values) == (0.0, 1.0)


def test_samples_that_do_not_overlap_are_apart() -> None:
    result = distribution_test(np.arange(50.0), np.arange(50.0) + 100)
    assert result.distance == 1
    assert result.p_value < 1e-20


def test_counts_of_rare_classes_are_compared_as_the_exact_test_does() -> None:
    before, now = np.array([2, 18]), np.array([8, 9])
    given = counts_test(before, now)
    assert given.distance == pytest.approx(8 / 17 - 2 / 20)
    expected: Any = fisher_exact([before.tolist(), now.tolist()])
    assert given.p_value == pytest.approx(expected.pvalue, abs=0.01)


def test_classes_that_nobody_predicts_do_not_count() -> None:
    assert counts_test(np.array([5, 0]), np.array([7, 0])) == (0.0, 1.0)
    some, more = np.array([50, 60]), np.array([70, 30])
    none = np.zeros(1, int)
    assert counts_test(np.append(some, none), np.append(more, none)) == counts_test(some, more)


def test_class_that_only_one_sample_has_is_a_difference() -> None:
    without, with_it = np.array([500, 500, 0]), np.array([300, 300, 400])
    for before, now in ((without, with_it), (with_it, without)):
        result = counts_test(before, now)
        assert result.distance == pytest.approx(0.4)
        assert result.p_value < 1e-20


def test_correction_is_that_of_the_textbook() -> None:
    # Holm's example: the smallest times 4, the next times 3, and none below the one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_correction_is_never_below_that_of_the_false_discovery_rate() -> None:
    p_values = np.random.default_rng(0).uniform(0, 0.2, 20)
    assert (np.array(holm(p_values.tolist())) >= false_discovery_control(p_values) - 1e-12).all()


def test_distance_that_is_said_to_be_noticed_is_noticed_nine_times_of_ten() -> None:
    draws, size = np.random.default_rng(0), 200
    distance = noticeable_distance(size, size, 0.01)
    noticed = [
        # Of uniform distributions, a shift by the distance moves the function by as much.
        distribution_test(draws.uniform(0, 1, size), draws.uniform(0, 1, size) + distance).p_value
        < 0.01
        for _ in range(300)
    ]
    assert np.mean(noticed) >= 0.87


def test_shares_are_those_of_the_labels_and_not_of_the_predictions() -> None:
    draws = np.random.default_rng(0)
    mistakes = np.array([[0.9, 0.1, 0.0], [0.2, 0.7, 0.1], [0.0, 0.1, 0.9]])

    def confusion(labels: np.ndarray) -> np.ndarray:
        predicted = [draws.choice(3, p=mistakes[label]) for label in labels]
        counts = np.zeros((3, 3), int)
        np.add.at(counts, (labels, np.array(predicted)), 1)
        return counts

    before = confusion(np.repeat([0, 1, 2], 700))
    now = confusion(np.repeat([0, 1, 2], [200, 1500, 300]))
    shares = label_shares(before, now.sum(axis=0))
    truth = np.array([0.1, 0.75, 0.15])
    np.testing.assert_allclose(shares.estimate, truth, atol=0.03)
    assert ((shares.low <= truth) & (truth <= shares.high)).all()
    assert np.abs(now.sum(axis=0) / 2000 - truth).max() > 0.1


def test_shares_are_estimated_without_images_of_a_class() -> None:
    shares = label_shares(np.array([[10, 0, 0], [0, 10, 0], [0, 0, 0]]), np.array([5, 5, 0]))
    np.testing.assert_allclose(shares.estimate, [0.5, 0.5, 0.0])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [5, 30, 65, 113])
def test_samples_that_hardly_differ_give_no_warning(size: int) -> None:
    values = np.arange(float(size))
    assert distribution_test(values, values + 1).p_value > 0.9


@pytest.mark.parametrize("size", [12, 40])
def test_p_value_of_samples_that_differ_is_exact(size: int) -> None:
    values = np.arange(float(size))
    shifted = values + size / 2
    exact: Any = ks_2samp(values, shifted, method="exact")
    assert distribution_test(values, shifted).p_value == exact.pvalue


def test_shares_are_corrected_where_the_classes_of_the_test_split_are_unequal() -> None:
    # Of 30% and 70%, a tenth and a fifth are taken for the other class.
    confusion = np.array([[180, 20], [10, 40]])
    shares = label_shares(confusion, np.array([410, 590]))
    assert shares.estimate == pytest.approx([0.3, 0.7])


@pytest.mark.parametrize(
    ("confusion", "predicted", "deviation"),
    [
        # Only the new images are few, then only those of the test split: a deviation of 0.04 each
        # of two rates, of which the mean counts over their difference of 0.6.
        ([[10**6, 0], [0, 10**6]], [300, 700], (0.3 * 0.7 / 1000) ** 0.5),
        ([[80, 20], [20, 80]], [500_000, 500_000], 0.04 / 2**0.5 / 0.6),
    ],
)
def test_shares_have_the_interval_of_both_samples(
    confusion: list[list[int]], predicted: list[int], deviation: float
) -> None:
    shares = label_shares(np.array(confusion), np.array(predicted))
    assert shares.high - shares.low == pytest.approx(2 * 1.96 * deviation, rel=0.06)


def test_share_of_a_class_that_no_answer_names_may_be_above_zero() -> None:
    shares = label_shares(np.diag([100, 100, 100]), np.array([30, 10, 0]))
    expected = binomtest(0, 40).proportion_ci(method="wilson").high
    assert shares.high[2] == pytest.approx(expected)
    assert (shares.estimate[2], shares.low[2]) == (0, 0)


def test_shares_that_no_correction_explains_are_those_of_the_predictions() -> None:
    shares = label_shares(np.diag([10, 10, 0, 0]), np.array([0, 0, 4, 1]))
    assert shares.estimate == pytest.approx([0, 0, 0.8, 0.2])


def test_few_answers_of_frequent_classes_are_compared_exactly() -> None:
    before, now = np.array([500, 500]), np.array([4, 0])
    exact: Any = fisher_exact(np.stack([before, now]))
    assert counts_test(before, now).p_value == pytest.approx(exact.pvalue, abs=0.02)


@pytest.mark.parametrize("sizes", [(400, 25), (25, 400)])
def test_noticeable_distance_counts_both_samples(sizes: tuple[int, int]) -> None:
    # 1.6276 is the critical value at 0.01, and 0.6408 that of nine times out of ten.
    assert noticeable_distance(*sizes, 0.01) == pytest.approx(2.2684 * 0.2062, abs=1e-3)
