from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import tiny_params, write_split

from classifier.augment import AugmentParams
from classifier.batches import Batch, PictureBatches, epoch_order
from classifier.dataset import Dataset
from classifier.images import center_crop

OFF = tiny_params(augment={"flip": 0.0, "crop_padding": None}).augment
ON = tiny_params(augment={"rotation": 20.0, "brightness": 0.3}).augment


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return write_split(tmp_path)


def make_batches(
    dataset: Dataset, params: AugmentParams = ON, *, crop: int = 6, seed: int = 0, size: int = 7
) -> PictureBatches:
    device = torch.device("cpu")
    return PictureBatches(dataset, params, crop=crop, seed=seed, batch_size=size, device=device)


def same(first: list[Batch], second: list[Batch]) -> bool:
    return len(first) == len(second) and all(
        torch.equal(one.inputs, other.inputs) and torch.equal(one.targets, other.targets)
        for one, other in zip(first, second, strict=True)
    )


@settings(max_examples=40)
@given(
    rows=st.sets(st.integers(0, 1000), min_size=1, max_size=60),
    batch_size=st.integers(2, 70),
    seed=st.integers(0, 2**31),
    epoch=st.integers(1, 1000),
)
def test_order_takes_every_row_once_in_batches_alike(
    rows: set[int], batch_size: int, seed: int, epoch: int
) -> None:
    given_rows = np.array(sorted(rows))
    order = epoch_order(given_rows, seed=seed, epoch=epoch, batch_size=batch_size)
    assert sorted(np.concatenate(order)) == sorted(rows)
    sizes = [len(batch) for batch in order]
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= batch_size
    assert len(order) == -(-len(rows) // batch_size)


def test_order_is_a_function_of_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        return np.concatenate(
            epoch_order(np.arange(50), seed=seed, epoch=epoch, batch_size=8)
        ).tolist()

    assert order(0, 1) == order(0, 1)
    assert len({tuple(order(*key)) for key in ((0, 1), (0, 2), (1, 1), (1, 2))}) == 4
    assert order(0, 1) != list(range(50))


def test_order_of_an_epoch_does_not_depend_on_the_batch_size() -> None:
    small, large = (
        np.concatenate(epoch_order(np.arange(50), seed=0, epoch=1, batch_size=size)).tolist()
        for size in (3, 20)
    )
    assert small == large


def test_training_batches_hold_the_training_pictures_and_no_other(dataset: Dataset) -> None:
    batches = make_batches(dataset, OFF, crop=8)
    pictures = torch.cat([batch.inputs for batch in batches.training_batches(1)])
    seen = [picture.tobytes() for picture in pictures.to(torch.uint8).numpy()]
    expected = [dataset.images[row].tobytes() for row in dataset.rows("train")]
    assert sorted(seen) == sorted(expected)


def test_targets_are_those_of_the_pictures(dataset: Dataset) -> None:
    batches = make_batches(dataset, OFF)
    for rows, batch in zip(batches.training_order(2), batches.training_batches(2), strict=True):
        assert batch.targets.tolist() == dataset.labels[rows].tolist()
        expected = center_crop(dataset.images[rows], 6)
        np.testing.assert_array_equal(batch.inputs.numpy(), expected)


@pytest.mark.parametrize("first", [0, 1, 4, 6])
def test_batches_from_a_number_on_continue_the_same_sequence(dataset: Dataset, first: int) -> None:
    whole = list(make_batches(dataset).training_batches(3))
    assert len(whole) == 6
    assert same(list(make_batches(dataset).training_batches(3, first)), whole[first:])


def test_batches_of_other_epochs_and_seeds_differ(dataset: Dataset) -> None:
    first = list(make_batches(dataset).training_batches(1))
    assert not same(list(make_batches(dataset).training_batches(2)), first)
    assert not same(list(make_batches(dataset, seed=1).training_batches(1)), first)


def test_augmented_picture_does_not_depend_on_the_batch_size(dataset: Dataset) -> None:
    small, large = (
        torch.cat([batch.inputs for batch in make_batches(dataset, size=size).training_batches(1)])
        for size in (4, 36)
    )
    assert torch.equal(small, large)


def test_validation_batches_are_the_centre_crops_in_order(dataset: Dataset) -> None:
    batches = list(make_batches(dataset).validation_batches())
    rows = dataset.rows("val")
    pictures = torch.cat([batch.inputs for batch in batches])
    assert pictures.dtype == torch.uint8
    np.testing.assert_array_equal(pictures.numpy(), center_crop(dataset.images[rows], 6))
    targets = torch.cat([batch.targets for batch in batches])
    assert targets.tolist() == dataset.labels[rows].tolist()
    assert max(len(batch.targets) for batch in batches) <= 7
