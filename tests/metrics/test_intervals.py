from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from classifier.metrics.intervals import mcnemar, mean_interval, paired_gain, wilson


def outcomes(both: int, corrected: int, regressed: int, neither: int) -> tuple[np.ndarray, ...]:
    before = np.repeat([True, False, True, False], [both, corrected, regressed, neither])
    after = np.repeat([True, True, False, False], [both, corrected, regressed, neither])
    return before, after


def test_paired_gain_of_a_published_example():
    # The airway reactivity data of Fagerland, Lydersen and Laake, Statistics in Medicine 33
    # (2014) 2850-2875, who give -0.51 to -0.01 for this interval; the exact test keeps zero.
    gain = paired_gain(*outcomes(1, 1, 7, 12))
    assert (gain.corrected, gain.regressed) == (1, 7)
    assert gain.gain == pytest.approx(-6 / 21)
    assert (gain.low, gain.high) == (pytest.approx(-0.508, abs=5e-4), 0)
    assert gain.p_value == pytest.approx(0.0703, abs=5e-5)
    assert not gain.is_certain


@pytest.mark.parametrize("images", [20, 100, 2000])
def test_the_interval_excludes_zero_where_the_exact_test_does(images: int):
    for corrected, regressed in product(range(11), repeat=2):
        gain = paired_gain(*outcomes(images - corrected - regressed, corrected, regressed, 0))
        assert gain.is_certain == (gain.p_value < 0.05), gain


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


@settings(max_examples=50, deadline=None)
@given(corrected=st.integers(0, 3000), regressed=st.integers(0, 3000))
def test_mcnemar_is_the_exact_binomial_test(corrected: int, regressed: int):
    total = corrected + regressed
    expected = binomtest(corrected, total).pvalue if total else 1.0
    assert mcnemar(corrected, regressed) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_a_gain_says_its_interval_and_p_value():
    said = str(paired_gain(*outcomes(90, 2, 1, 7)))
    assert said == "+0.0100 (95% interval -0.0331 to +0.0527, McNemar p = 1)"


@given(st.integers(0, 60), st.integers(0, 60))
def test_wilson_is_scipys_interval_of_a_share(hits: int, misses: int):
    total = hits + misses
    low, high = wilson(np.array([hits]), np.array([total]))
    if total == 0:
        expected = (0.0, 1.0)
    else:
        found = binomtest(hits, total).proportion_ci(method="wilson")
        expected = (found.low, found.high)
    assert (low[0], high[0]) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    ("shares", "most"), [({0: 0.997, 1: 0.003}, 1), ({0: 0.98, 1: 0.018, 10: 0.002}, 10)]
)
def test_intervals_of_means_of_rare_values_cover_the_truth(shares: dict[int, float], most: int):
    generator = np.random.default_rng(0)
    values, weights = np.array([*shares]), np.array([*shares.values()])
    drawn = generator.choice(values, (1000, 360), p=weights)
    intervals = [mean_interval(sample, 0, most) for sample in drawn]
    assert np.mean([low <= values @ weights <= high for low, high in intervals]) > 0.94


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 5), min_size=2, max_size=50))
def test_interval_of_a_mean_holds_it_and_only_possible_values(values: list[float]):
    low, high = mean_interval(np.array(values), 0, 5)
    assert 0 <= low <= np.mean(values) + 1e-9
    assert np.mean(values) - 1e-9 <= high <= 5
