import math

from hypothesis import given, settings
from hypothesis import strategies as st

from classifier.splitting.apportionment import apportion

WEIGHTS = st.lists(st.integers(1, 98), min_size=1, max_size=3).map(
    lambda parts: [part / 100 for part in parts]
)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 100_000), WEIGHTS)
def test_parts_differ_from_their_shares_by_less_than_one(total: int, weights: list[float]) -> None:
    sizes = apportion(total, weights)
    assert sum(sizes) == total
    whole = [round(100 * weight) for weight in weights]
    for size, weight in zip(sizes, whole, strict=True):
        assert abs(size * sum(whole) - total * weight) < sum(whole)  # exactly, in whole numbers


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2_000), WEIGHTS)
def test_one_more_image_makes_one_part_larger(total: int, weights: list[float]) -> None:
    before, after = apportion(total, weights), apportion(total + 1, weights)
    grown = [new - old for old, new in zip(before, after, strict=True)]
    assert sorted(grown) == [0] * (len(weights) - 1) + [1]


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 300), WEIGHTS)
def test_no_part_is_nothing_where_the_others_allow_it(total: int, weights: list[float]) -> None:
    whole = [round(100 * weight) for weight in weights]
    floors = [total * weight // sum(whole) for weight in whole]
    left = total - sum(floors)
    assert apportion(total, weights).count(0) == max(0, floors.count(0) - left)


def test_parts_of_known_totals() -> None:
    assert apportion(10, [0.8, 0.1, 0.1]) == [8, 1, 1]
    assert apportion(100, [0.57, 0.13, 0.3]) == [57, 13, 30]
    assert apportion(6, [0.8, 0.1, 0.1]) == [4, 1, 1]
    assert apportion(5, [0.8, 0.1, 0.1]) == [4, 1, 0]


@given(st.integers(0, 500), st.integers(2, 20))
def test_equal_weights_give_parts_that_differ_by_one_at_most(total: int, parts: int) -> None:
    sizes = apportion(total, [1.0] * parts)
    assert set(sizes) <= {total // parts, math.ceil(total / parts)}
    assert sum(sizes) == total
