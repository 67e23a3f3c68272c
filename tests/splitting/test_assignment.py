from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier.core.errors import UserError
from classifier.data.dataset import SPLITS, Split
from classifier.splitting.assignment import assign, largest_remainder
from classifier.splitting.raw_images import (
    RawImage,
    without_excluded,
    without_small,
)

FRACTIONS: dict[Split, float] = {"train": 0.7, "val": 0.1, "test": 0.2}


def images_of(sizes: dict[str, int], given: Split | None = None) -> list[RawImage]:
    """The given number of images of each class, sorted by path."""
    folder = f"{given}/" if given else ""
    return sorted(
        RawImage(f"{folder}{name}/{i:04d}.png", name, given)
        for name, size in sizes.items()
        for i in range(size)
    )


def counts_of(images: list[RawImage], splits: list[Split]) -> Counter[tuple[str, Split]]:
    pairs = zip(images, splits, strict=True)
    return Counter((image.class_name, split) for image, split in pairs)


def test_excluded_classes_are_left_out() -> None:
    images = images_of({"cat": 2, "dog": 2, "eel": 2})
    left = without_excluded(images, ["dog"])
    assert left == [image for image in images if image.class_name != "dog"]


def test_excluding_an_unknown_class_lists_the_known() -> None:
    with pytest.raises(UserError, match=r"exclude_classes names cow, but the classes are cat, dog"):
        without_excluded(images_of({"cat": 2, "dog": 2}), ["dog", "cow"])


def test_small_classes_are_left_out_and_named() -> None:
    images = images_of({"cat": 40, "dog": 39, "eel": 41, "ant": 1})
    left, small = without_small(images, 40)
    assert small == {"ant": 1, "dog": 39}
    assert {image.class_name for image in left} == {"cat", "eel"}


def test_less_than_two_classes_are_refused() -> None:
    with pytest.raises(UserError, match=r"found: cat 9, dog 2\. .+ split\.min_images_per_class"):
        without_small(images_of({"cat": 9, "dog": 2}), 3)
    with pytest.raises(UserError, match="found: none"):
        without_small([], 3)


@settings(max_examples=200)
@given(
    st.integers(0, 100_000),
    st.lists(st.integers(1, 98), min_size=1, max_size=3).filter(lambda parts: sum(parts) <= 100),
)
def test_parts_differ_from_their_shares_by_less_than_one(total: int, parts: list[int]) -> None:
    sizes = largest_remainder(total, [part / 100 for part in parts])
    assert sum(sizes) == total
    for size, part in zip(sizes, parts, strict=True):
        assert abs(size * sum(parts) - total * part) < sum(parts)  # exactly, in whole numbers


def test_no_part_is_nothing_where_that_can_be() -> None:
    assert largest_remainder(10, [0.8, 0.1, 0.1]) == [8, 1, 1]
    assert largest_remainder(100, [0.57, 0.13, 0.3]) == [57, 13, 30]
    assert largest_remainder(6, [0.8, 0.1, 0.1]) == [4, 1, 1]
    assert largest_remainder(5, [0.8, 0.1, 0.1]) == [4, 1, 0]


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(st.text(min_size=1, max_size=5), st.integers(6, 60), min_size=1, max_size=4),
    st.integers(0, 2**63),
)
def test_every_class_is_divided_exactly(sizes: dict[str, int], seed: int) -> None:
    images = images_of(sizes)
    counts = counts_of(images, assign(images, FRACTIONS, seed))
    for name, size in sizes.items():
        for split in SPLITS:
            assert abs(counts[name, split] - FRACTIONS[split] * size) < 1
            assert counts[name, split] > 0


def test_seed_decides_who_is_drawn() -> None:
    images = images_of({"cat": 50, "dog": 50})
    first, again, other = (assign(images, FRACTIONS, seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert counts_of(images, first) == counts_of(images, other)
    assert first[:50] != first[50:]  # each class is drawn by itself


def test_draw_of_a_seed_is_known() -> None:
    """Another draw, after a change here or in numpy, would silently change everyone's splits."""
    images = images_of({"cat": 10, "dog": 10})
    letters = "".join(split[1] for split in assign(images, FRACTIONS, 0))  # of tRain, vAl, tEst
    assert letters == "rrerarrrer" + "errrrrerra"


def test_classes_that_come_and_go_leave_the_others_alone() -> None:
    few, more = images_of({"dog": 30, "eel": 9}), images_of({"ant": 20, "dog": 30})
    dogs = [dict(zip(images, assign(images, FRACTIONS, 5), strict=True)) for images in (few, more)]
    assert all(dogs[0][image] == dogs[1][image] for image in images_of({"dog": 30}))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"train": 80, "test": 7}, {"train": 70, "val": 10, "test": 7}),
        ({"train": 90, "val": 7}, {"train": 70, "val": 7, "test": 20}),
        ({"train": 5, "val": 6, "test": 7}, {"train": 5, "val": 6, "test": 7}),
    ],
)
def test_missing_split_is_drawn_from_the_training_images(
    given: dict[Split, int], expected: dict[Split, int]
) -> None:
    images = sorted(
        image
        for split, size in given.items()
        for image in images_of({"cat": size, "dog": size}, split)
    )
    splits = assign(images, FRACTIONS, 0)
    assert counts_of(images, splits) == {
        (name, split): size for name in ("cat", "dog") for split, size in expected.items()
    }
    for image, split in zip(images, splits, strict=True):
        assert image.predefined_split in (split, "train")


def test_class_that_is_not_in_every_split_is_refused() -> None:
    with pytest.raises(UserError) as caught:
        assign(images_of({"cat": 60, "eel": 3}), FRACTIONS, 0)
    assert "(eel: train 2, val 0, test 1)" in str(caught.value)
    for key in ("split.min_images_per_class", "split.exclude_classes", "split.fractions"):
        assert key in str(caught.value)
    given = images_of({"cat": 9, "dog": 9}, "train") + images_of({"cat": 9}, "test")
    with pytest.raises(UserError, match=r"\(dog: train 8, val 1, test 0\)"):
        assign(sorted(given), FRACTIONS, 0)


def test_of_many_classes_that_are_too_small_ten_are_named() -> None:
    images = images_of({f"class {i:02d}": 3 for i in range(15)})
    with pytest.raises(UserError, match=r"class 09: train .+; and 5 more\)"):
        assign(images, {"train": 0.9, "val": 0.05, "test": 0.05}, 0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=60, max_size=60), st.integers(0, 2**32))
def test_groups_are_drawn_together_and_the_fractions_stay(drawn: list[int], seed: int) -> None:
    images = images_of({"cat": 60, "dog": 60})
    groups = [number if number < 5 else 0 for number in drawn] + [0] * 60
    splits = assign(images, FRACTIONS, seed, groups)
    for number in set(groups) - {0}:
        assert len({splits[row] for row in range(120) if groups[row] == number}) == 1
    # Single images make up for groups that are not larger than a split.
    if max(groups.count(number) for number in range(1, 5)) <= 6:
        counts = counts_of(images, splits)
        assert [counts["cat", split] for split in SPLITS] == [42, 6, 12]
    assert splits[60:] == assign(images, FRACTIONS, seed)[60:]


def test_groups_of_two_classes_are_drawn_together() -> None:
    images = images_of({"cat": 20, "dog": 20})
    groups = [1, 1, *[0] * 18, 1, *[0] * 19]
    for seed in range(10):
        splits = assign(images, FRACTIONS, seed, groups)
        assert splits[0] == splits[1] == splits[20]
        counts = counts_of(images, splits)
        assert [counts["dog", split] for split in SPLITS] == [14, 2, 4]


def test_groups_are_spread_over_the_splits() -> None:
    images = images_of({"cat": 100})
    groups = [1 + row // 2 for row in range(40)] + [0] * 60
    splits = assign(images, FRACTIONS, 0, groups)
    assert Counter(splits[:40]) == {"train": 28, "val": 4, "test": 8}


def test_without_groups_the_draw_is_as_ever() -> None:
    images = images_of({"cat": 30, "dog": 20})
    ever = assign(images, FRACTIONS, 3)
    assert assign(images, FRACTIONS, 3, [0] * 50) == ever
    assert assign(images, FRACTIONS, 3, list(range(1, 51))) == ever


def test_given_splits_stay_whatever_the_groups() -> None:
    images = images_of({"cat": 20, "dog": 20}, "train")
    images = sorted(images + images_of({"cat": 3, "dog": 3}, "test"))
    with pytest.raises(UserError, match=r"not in every split .+ see split\.duplicates"):
        assign(images, FRACTIONS, 0, [1] * len(images))
    splits = assign(images, FRACTIONS, 0, [int(row in (0, 6, 7)) for row in range(len(images))])
    assert splits[0] == "test"
    assert splits[6] == splits[7] != "test"
