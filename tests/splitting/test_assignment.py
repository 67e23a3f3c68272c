import hashlib
from collections import Counter

import pytest
from builders.draws import counts_of, draw, images_of, moved
from builders.splits import split_params
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier.core.errors import UserError
from classifier.data.dataset import SPLITS, Split
from classifier.splitting.assignment import (
    assign,
    check_class_sizes,
    without_untrained,
)
from classifier.splitting.raw_images import (
    without_excluded,
    without_small,
)

FRACTIONS: dict[Split, float] = {"train": 0.7, "val": 0.1, "test": 0.2}


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


def test_of_many_classes_that_are_all_too_small_the_largest_are_named() -> None:
    sizes = {f"class {i:02d}": 3 for i in range(30)} | {"large": 9}
    with pytest.raises(UserError, match=r"found: large 9, class 00 3, .*, class 18 3 and 11 more"):
        without_small(images_of(sizes), 5)


FRACTIONS_OF_ALL_KINDS = st.tuples(st.integers(1, 60), st.integers(1, 39)).map(
    lambda parts: {
        "val": parts[0] / 100,
        "test": parts[1] / 100,
        "train": (100 - sum(parts)) / 100,
    }
)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(1, 300), st.integers(0, 10**6), FRACTIONS_OF_ALL_KINDS, st.integers(0, 2**32 - 1)
)
def test_an_image_that_comes_or_goes_moves_at_most_two_others(
    size: int, place: int, fractions: dict[str, float], seed: int
) -> None:
    whole = images_of({"cat": size + 150, "dog": 150})
    without = [image for image in whole if image.path != f"cat/{place % (size + 150):04d}.png"]
    assert len(without) == len(whole) - 1
    assert moved(without, whole, fractions=fractions, seed=seed) <= 2


def test_an_added_image_moves_less_than_one_other_on_average() -> None:
    whole = images_of({"cat": 101, "dog": 40})
    moves = [moved([*whole[:row], *whole[row + 1 :]], whole) for row in range(101)]
    assert sum(moves) / len(moves) < 1


def test_names_and_order_of_files_do_not_matter() -> None:
    images = images_of({"cat": 30, "dog": 30})
    keys = [hashlib.sha256(image.path.encode()).digest() for image in images]
    renamed = [
        image._replace(path=f"photos/{60 - row:02d}.png") for row, image in enumerate(images)
    ]
    splits = assign(images, keys, split_params())
    assert assign(renamed, keys, split_params()) == splits
    assert assign(renamed[::-1], keys[::-1], split_params()) == splits[::-1]


def test_equal_files_differ_in_their_place_alone() -> None:
    images = images_of({"cat": 20, "dog": 20})
    keys = [b"same"] * 20 + [bytes([row]) for row in range(20)]
    splits = assign(images, keys, split_params())
    assert splits[:20] == ["test"] * 4 + ["val"] * 2 + ["train"] * 14
    assert splits == assign(images, keys, split_params())


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(st.text(min_size=1, max_size=5), st.integers(6, 60), min_size=1, max_size=4),
    st.integers(0, 2**32 - 1),
)
def test_every_class_is_divided_exactly(sizes: dict[str, int], seed: int) -> None:
    images = images_of(sizes)
    counts = counts_of(images, draw(images, seed=seed))
    for name, size in sizes.items():
        for split in SPLITS:
            assert abs(counts[name, split] - FRACTIONS[split] * size) < 1
            assert counts[name, split] > 0


def test_seed_decides_who_is_drawn() -> None:
    images = images_of({"cat": 50, "dog": 50})
    first, again, other = (draw(images, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other
    assert counts_of(images, first) == counts_of(images, other)


def test_draw_of_a_seed_is_known() -> None:
    """Another draw would silently change everyone's splits."""
    images = images_of({"cat": 10, "dog": 10})
    letters = "".join(split[1] for split in draw(images))  # of tRain, vAl, tEst
    assert letters == "arrrrrrere" + "rrerrerrra"


def test_classes_that_come_and_go_leave_the_others_alone() -> None:
    few, more = images_of({"dog": 30, "eel": 9}), images_of({"ant": 20, "dog": 30})
    dogs = [dict(zip(images, draw(images, seed=5), strict=True)) for images in (few, more)]
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
    splits = draw(images)
    assert counts_of(images, splits) == {
        (name, split): size for name in ("cat", "dog") for split, size in expected.items()
    }
    for image, split in zip(images, splits, strict=True):
        assert image.predefined_split in (split, "train")


def test_class_that_is_not_in_every_split_is_refused() -> None:
    with pytest.raises(UserError) as caught:
        draw(images_of({"cat": 60, "eel": 3}))
    assert "(eel: train 2, val 0, test 1)" in str(caught.value)
    for key in ("split.min_images_per_class", "split.exclude_classes", "split.fractions"):
        assert key in str(caught.value)
    assert "add images" not in str(caught.value)


GIVEN = sorted(images_of({"cat": 9, "dog": 9}, "train") + images_of({"cat": 9, "eel": 5}, "test"))


def test_class_that_a_given_split_lacks_is_refused_with_what_to_add_where() -> None:
    with pytest.raises(UserError) as caught:
        draw(GIVEN)
    assert "(dog: train 8, val 1, test 0; eel: train 0, val 0, test 5)" in str(caught.value)
    assert "add images of dog to test, images of eel to train; or name" in str(caught.value)
    assert "split.allow_missing_classes: true" in str(caught.value)


def test_missing_classes_are_allowed_where_asked() -> None:
    trained, untrained = without_untrained(GIVEN)
    assert untrained == {"eel": 5}
    splits = draw(trained, allow_missing_classes=True)
    assert counts_of(trained, splits) == {
        ("cat", "train"): 8, ("cat", "val"): 1, ("cat", "test"): 9,
        ("dog", "train"): 8, ("dog", "val"): 1,
    }  # fmt: skip
    check_class_sizes(GIVEN, split_params(allow_missing_classes=True))


def test_split_without_any_images_is_refused_even_so() -> None:
    images = images_of({"cat": 3, "dog": 3})
    params = split_params(allow_missing_classes=True)
    for refuse in (
        lambda: draw(images, allow_missing_classes=True),
        lambda: check_class_sizes(images, params),
    ):
        with pytest.raises(UserError, match=r"the val split has no images: .*fractions\.val"):
            refuse()


def test_class_with_fewer_images_than_folds_names_the_folds() -> None:
    images = images_of({"a": 4, "b": 4})
    with pytest.raises(UserError, match=r"a: train 3, val 1, test 0.*: take fewer than 5 folds, "):
        draw(images, folds=5, fold=4)


def test_split_that_a_fold_leaves_empty_names_the_folds() -> None:
    images = images_of({"cat": 3, "dog": 3})
    with pytest.raises(UserError, match=r"the test split has no images: .*lower split\.folds"):
        draw(images, allow_missing_classes=True, folds=5, fold=4)


def test_class_of_which_no_training_images_are_left_is_refused_even_so() -> None:
    images = sorted(images_of({"cat": 9, "dog": 9}, "train") + images_of({"eel": 3}, "test"))
    with pytest.raises(UserError, match=r"no training images are left of eel, .*exclude_cl"):
        draw(images, allow_missing_classes=True)


def test_of_many_classes_that_are_too_small_ten_are_named() -> None:
    images = images_of({f"class {i:02d}": 3 for i in range(15)})
    with pytest.raises(UserError, match=r"class 09: train .+; and 5 more\)"):
        draw(images, fractions={"train": 0.9, "val": 0.05, "test": 0.05})


@pytest.mark.parametrize("split", [None, "train", "test"])
@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.sampled_from(["cat", "dog", "eel"]), st.integers(1, 12), min_size=2))
def test_early_check_of_sizes_agrees_with_the_draw(
    split: Split | None, sizes: dict[str, int]
) -> None:
    images = images_of(sizes, split)
    if split == "test":
        images = sorted(images + images_of({"cat": 8, "dog": 8}, "train"))
    said = []
    for check in (lambda: draw(images), lambda: check_class_sizes(images, split_params())):
        try:
            check()
            said.append("")
        except UserError as error:
            said.append(str(error))
    assert said[0] == said[1]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=60, max_size=60), st.integers(0, 2**32 - 1))
def test_groups_are_drawn_together(drawn: list[int], seed: int) -> None:
    images = images_of({"cat": 60, "dog": 60})
    groups = [number if number < 5 else 0 for number in drawn] + [0] * 60
    splits = draw(images, groups, seed=seed)
    for number in set(groups) - {0}:
        assert len({splits[row] for row in range(120) if groups[row] == number}) == 1
    assert splits[60:] == draw(images, seed=seed)[60:]


def test_single_images_make_up_for_groups() -> None:
    images = images_of({"cat": 100})
    groups = [1 + row // 3 for row in range(30)] + [0] * 70
    splits = [draw(images, groups, seed=seed) for seed in range(50)]
    assert all(Counter(of) == {"train": 70, "val": 10, "test": 20} for of in splits)
    # No kind of unit prefers a split: on average 70%, 10% and 20% of the grouped images.
    grouped = Counter(split for of in splits for split in of[:30])
    assert grouped["test"] / (30 * 50) == pytest.approx(0.2, abs=0.03)
    assert grouped["val"] / (30 * 50) == pytest.approx(0.1, abs=0.03)


def test_group_that_fits_no_split_goes_where_most_is_free() -> None:
    images = images_of({"cat": 50, "dog": 20})
    groups = [1 + row // 10 for row in range(50)] + [0] * 20
    for seed in range(10):
        counts = counts_of(images, draw(images, groups, seed=seed))
        assert [counts["cat", split] for split in SPLITS] == [30, 10, 10]


def test_groups_of_two_classes_are_drawn_together() -> None:
    images = images_of({"cat": 20, "dog": 20})
    groups = [1, 1, *[0] * 18, 1, *[0] * 19]
    for seed in range(10):
        splits = draw(images, groups, seed=seed)
        assert splits[0] == splits[1] == splits[20]
        counts = counts_of(images, splits)
        assert [counts["dog", split] for split in SPLITS] == [14, 2, 4]


def test_group_of_two_classes_goes_where_both_have_room() -> None:
    images = images_of({"cat": 10, "dog": 10})
    # Two cats and four dogs: the test split has room for the cats alone, train for all of them.
    groups = [1, 1, *[0] * 8, *[1] * 4, *[0] * 6]
    exact = {("cat", "train"): 7, ("cat", "val"): 1, ("cat", "test"): 2}
    exact |= {("dog", split): size for (_, split), size in exact.items()}
    for seed in range(20):
        assert counts_of(images, draw(images, groups, seed=seed)) == exact


def test_groups_of_one_image_change_nothing() -> None:
    images = images_of({"cat": 30, "dog": 20})
    ever = draw(images, seed=3)
    assert draw(images, [0] * 50, seed=3) == ever
    assert draw(images, list(range(1, 51)), seed=3) == ever


def test_given_splits_stay_whatever_the_groups() -> None:
    images = images_of({"cat": 20, "dog": 20}, "train")
    images = sorted(images + images_of({"cat": 3, "dog": 3}, "test"))
    with pytest.raises(UserError, match=r"not in every split .+ see split\.duplicates"):
        draw(images, [1] * len(images))
    splits = draw(images, [int(row in (0, 6, 7)) for row in range(len(images))])
    assert splits[0] == "test"
    assert splits[6] == splits[7] != "test"
