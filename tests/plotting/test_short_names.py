import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.plotting.short_names import short_names

# Few letters, so that names often share their beginning and their end.
NAMES = st.lists(st.text("ab…#1", max_size=40), max_size=30)
NUMBERED = [f"class number {number} with a long name here" for number in range(150)]


@given(names=NAMES, length=st.integers(7, 30))
def test_different_names_stay_different_within_the_length(names: list[str], length: int) -> None:
    short = short_names(names, length)
    assert len(set(short)) == len(set(names))
    assert all(len(text) <= length for text in short)


@given(names=st.lists(st.text("ab", max_size=7)))
def test_names_that_fit_stay_as_they_are(names: list[str]) -> None:
    assert short_names(names, 7) == names


@pytest.mark.parametrize(("length", "third"), [(28, "class number…3…ng name here"), (7, "c…3…e")])
def test_names_keep_the_part_in_which_they_differ(length: int, third: str) -> None:
    short = short_names(NUMBERED, length)
    assert len(set(short)) == len(short)
    assert short[3] == third


def test_names_that_no_short_part_tells_apart_are_numbered() -> None:
    names = [f"cat {kind} long name" for kind in ("1234567", "1234568", "2234567")]
    assert short_names(names, 7) == ["ca…me#0", "ca…me#1", "…22345…"]


def test_names_of_wide_letters_get_half_as_many_and_stay_different() -> None:
    names = [f"{'船' * 12}{number}{'帆' * 12}" for number in "一二三"]
    short = short_names(names, 16)
    assert len(set(short)) == 3
    assert all(len(text) <= 8 for text in short)
