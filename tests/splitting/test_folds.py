from itertools import pairwise

import pytest
from builders.draws import counts_of, draw, images_of, moved
from builders.splits import split_params
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier.core.errors import UserError
from classifier.splitting.assignment import check_class_sizes, expected_sizes


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 6), st.lists(st.integers(0, 9), min_size=40, max_size=40), st.integers(0, 99))
def test_every_image_is_in_the_test_split_of_one_fold(
    folds: int, drawn: list[int], seed: int
) -> None:
    images = images_of({"cat": 60, "dog": 60})
    groups = [number if number < 4 else 0 for number in drawn] + [0] * 80
    draws = [draw(images, groups, folds=folds, fold=fold, seed=seed) for fold in range(folds)]
    for row in range(120):
        assert [of[row] for of in draws].count("test") == 1
    for of in draws:
        for number in set(groups) - {0}:
            assert len({of[row] for row in range(120) if groups[row] == number}) == 1


@pytest.mark.parametrize("folds", [2, 3, 5])
def test_folds_are_equal_and_val_is_drawn_from_the_rest(folds: int) -> None:
    images = images_of({"cat": 62, "dog": 31})
    vals = []
    for fold in range(folds):
        splits = draw(images, folds=folds, fold=fold)
        counts = counts_of(images, splits)
        for name, size in (("cat", 62), ("dog", 31)):
            assert abs(counts[name, "test"] - size / folds) < 1
            rest = size - counts[name, "test"]
            assert abs(counts[name, "val"] - rest / 8) < 1
        vals.append({row for row, split in enumerate(splits) if split == "val"})
        check = expected_sizes(images, split_params(folds=folds, fold=fold))
        assert +check == counts
    assert all(not one & other for one, other in pairwise(vals))


def test_an_added_image_moves_few_others_between_folds() -> None:
    whole = images_of({"cat": 101, "dog": 40})
    for row in range(0, 101, 10):
        without = [*whole[:row], *whole[row + 1 :]]
        assert moved(without, whole, folds=5, fold=2) <= 8


def test_folds_of_data_with_its_own_test_split_are_refused() -> None:
    images = sorted(images_of({"cat": 20, "dog": 20}, "train") + images_of({"cat": 9}, "test"))
    with pytest.raises(UserError, match="but the data gives its own test or val images"):
        draw(images, folds=5)
    with pytest.raises(UserError, match="but the data gives its own test or val images"):
        check_class_sizes(images, split_params(folds=5))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"folds": 5, "fold": 5}, "split.fold is 5: it must be 0 to 4"),
        ({"fold": 1}, "split.fold is 1: it must be 0, since split.folds is null"),
        ({"folds": 1}, "split.folds is 1"),
    ],
)
def test_fold_that_there_is_not_is_refused(changes: dict[str, int], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        split_params(**changes)
