import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier.splitting.duplicates.pairs import (
    Pair,
    find_pairs,
    group_pairs,
    number_groups,
    redundant,
    sort_for_people,
)
from classifier.splitting.duplicates.thumbnails import SIDE
from classifier.splitting.raw_images import RawImage


def digests(*values: int) -> np.ndarray:
    return np.array(values, np.uint8)[:, None]


def test_equal_images_stand_beside_the_first_of_them() -> None:
    thumbnails = np.zeros((5, SIDE, SIDE), np.uint8)
    pairs = find_pairs(digests(7, 8, 7, 9, 6), digests(1, 2, 1, 1, 3), thumbnails, 0.75, "exact")
    assert pairs == [Pair(0, 2, "file", 1.0), Pair(0, 3, "pixels", 1.0)]


def test_near_duplicates_of_copies_are_found_once() -> None:
    noise = np.random.default_rng(0).integers(0, 200, (2, SIDE, SIDE), dtype=np.uint8)
    thumbnails = np.stack([noise[0], noise[1], noise[0], noise[0] + 3])
    files, pixels = digests(1, 2, 1, 4), digests(1, 2, 1, 4)
    pairs = find_pairs(files, pixels, thumbnails, 0.75, "exact")
    assert [pair[:3] for pair in pairs] == [(0, 2, "file"), (0, 3, "near")]
    assert find_pairs(files, pixels, thumbnails, None, "exact") == pairs[:1]


def test_groups_join_what_hangs_together() -> None:
    pairs = [Pair(1, 4, "near", 0.8), Pair(2, 3, "near", 0.9), Pair(4, 6, "file", 1.0)]
    assert group_pairs(pairs, 7).tolist() == [0, 1, 2, 2, 1, 0, 1]
    assert group_pairs([], 3).tolist() == [0, 0, 0]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=20))
def test_group_numbers_follow_the_first_members(parts: list[int]) -> None:
    numbers = number_groups(np.array(parts)).tolist()
    for i, one in enumerate(parts):
        assert (numbers[i] == 0) == (one == 0 or parts.count(one) == 1)
        assert all((numbers[i] == numbers[j]) == (one == parts[j]) for j in range(i) if numbers[j])
    firsts = list(dict.fromkeys(number for number in numbers if number))
    assert firsts == list(range(1, len(firsts) + 1))


def test_test_images_stay_before_others() -> None:
    given_splits = ("train", "val", "test", "train", "train", "train")
    images = [RawImage(f"{i}", "x", split) for i, split in enumerate(given_splits)]
    assert redundant(images, np.array([1, 1, 1, 2, 2, 0])).tolist() == [0, 1, 4]


def test_contradictions_come_first_and_then_the_least_similar() -> None:
    images = [RawImage(f"{i}", "cat", None) for i in range(9)]
    pairs = [Pair(i, i + 1, "near", 0.75 + i / 1000) for i in range(8)]
    assert sort_for_people(images, pairs[::-1]) == pairs
    images[-1] = RawImage("z", "dog", None)
    assert sort_for_people(images, pairs)[:2] == [pairs[-1], pairs[0]]
