from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders.tiny import tiny_params, write_split
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from classifier.data.augment_params import AugmentParams
from classifier.data.dataset import Dataset
from classifier.processing.images import center_crop
from classifier.training.batches import (
    Batch,
    EpochSampler,
    ImageBatches,
    MicroBatches,
    Sampling,
)

OFF = tiny_params(augment={"flip": 0.0, "crop_padding": None}).augment
ON = tiny_params(augment={"rotation": 20.0, "brightness": 0.3}).augment


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return write_split(tmp_path)


def make_batches(
    dataset: Dataset,
    params: AugmentParams = ON,
    *,
    input_size: int = 6,
    seed: int = 0,
    size: int = 7,
    sampling: Sampling = "natural",
    **options: Any,
) -> ImageBatches:
    sampler = EpochSampler(seed, size, sampling)
    device = torch.device("cpu")
    return ImageBatches(
        dataset, params, input_size=input_size, sampler=sampler, device=device, **options
    )


def whole_batches(batches: ImageBatches, epoch: int, first: int = 0) -> list[Batch]:
    """The epoch's batches, of which `batches` computes all parts."""
    return [joined(parts) for parts in batches.training_batches(epoch, first)]


def joined(parts: list[Batch]) -> Batch:
    return Batch(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))


def same(first: list[Batch], second: list[Batch]) -> bool:
    return len(first) == len(second) and all(
        torch.equal(one.inputs, other.inputs) and torch.equal(one.targets, other.targets)
        for one, other in zip(first, second, strict=True)
    )


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 60),
    batch_size=st.integers(2, 70),
    seed=st.integers(0, 2**31),
    epoch=st.integers(1, 1000),
)
def test_order_takes_every_place_once_in_batches_alike(
    count: int, batch_size: int, seed: int, epoch: int
) -> None:
    order = EpochSampler(seed, batch_size).places(np.zeros(count, np.int64), epoch)
    assert sorted(np.concatenate(order)) == list(range(count))
    sizes = [len(batch) for batch in order]
    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= batch_size
    assert len(order) == -(-count // batch_size)


@pytest.mark.parametrize("sampling", ["natural", "balanced"])
def test_order_is_a_function_of_seed_and_epoch(sampling: Sampling) -> None:
    labels = np.arange(50) % 3

    def order(seed: int, epoch: int) -> list[int]:
        return np.concatenate(EpochSampler(seed, 8, sampling).places(labels, epoch)).tolist()

    assert order(0, 1) == order(0, 1)
    assert len({tuple(order(*key)) for key in ((0, 1), (0, 2), (1, 1), (1, 2))}) == 4
    assert order(0, 1) != list(range(50))


@pytest.mark.parametrize("sampling", ["natural", "balanced"])
def test_order_of_an_epoch_does_not_depend_on_the_batch_size(sampling: Sampling) -> None:
    small, large = (
        np.concatenate(EpochSampler(0, size, sampling).places(np.arange(50) % 3, 1)).tolist()
        for size in (3, 20)
    )
    assert small == large


def test_balanced_sampling_draws_every_class_about_equally_often() -> None:
    labels = np.repeat([0, 1, 2], [1800, 180, 20])
    places = np.concatenate(EpochSampler(0, 64, "balanced").places(labels, 1))
    assert len(places) == 2000
    # Five standard deviations of a binomial distribution: 5 * sqrt(2000 * 1/3 * 2/3) is 105.
    np.testing.assert_allclose(np.bincount(labels[places]), 2000 / 3, atol=105)


def test_balanced_sampling_draws_the_images_of_a_class_equally_often() -> None:
    labels = np.repeat([0, 1], [990, 10])
    sampler = EpochSampler(0, 64, "balanced")
    places = np.concatenate([np.concatenate(sampler.places(labels, n)) for n in range(1, 5)])
    of_the_rare_class = np.bincount(places, minlength=1000)[990:]
    np.testing.assert_allclose(of_the_rare_class, 200, atol=5 * 200**0.5)


def test_balanced_sampling_looks_at_the_labels_of_the_training_images(dataset: Dataset) -> None:
    # Two training images are left of class 0, while its other splits stay as large as others'.
    manifest = dataset.manifest.copy()
    spare = manifest.index[(manifest["split"] == "train") & (manifest["label"] == 0)][2:]
    manifest.loc[spare, "split"] = "test"
    rare = replace(dataset, manifest=manifest)
    batches = make_batches(rare, sampling="balanced")
    rows = np.concatenate([np.concatenate(batches.training_order(epoch)) for epoch in range(1, 31)])
    assert set(rows) <= set(rare.rows("train"))
    shares = np.bincount(rare.labels[rows]) / len(rows)
    np.testing.assert_allclose(shares, 1 / 3, atol=5 * (2 / 9 / len(rows)) ** 0.5)


@settings(max_examples=40, deadline=None)
@given(
    size=st.integers(0, 40), processes=st.integers(1, 5), grad_accumulation_steps=st.integers(1, 4)
)
def test_parts_of_all_processes_are_the_batch_without_overlap(
    size: int, processes: int, grad_accumulation_steps: int
) -> None:
    rows = np.arange(size) + 100
    shares = [
        MicroBatches(
            rank * grad_accumulation_steps,
            grad_accumulation_steps,
            processes * grad_accumulation_steps,
        ).of(rows)
        for rank in range(processes)
    ]
    assert all(len(share) == grad_accumulation_steps for share in shares)
    parts = [part for share in shares for part in share]
    assert np.concatenate(parts).tolist() == rows.tolist()
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize(("processes", "grad_accumulation_steps"), [(1, 1), (3, 1), (1, 3), (2, 2)])
def test_parts_of_all_processes_hold_the_images_of_whole_batches(
    dataset: Dataset, processes: int, grad_accumulation_steps: int
) -> None:
    whole = whole_batches(make_batches(dataset), 2)
    streams = [
        make_batches(
            dataset,
            micro_batches=MicroBatches(
                rank * grad_accumulation_steps,
                grad_accumulation_steps,
                processes * grad_accumulation_steps,
            ),
        ).training_batches(2)
        for rank in range(processes)
    ]
    found = [
        joined([part for parts in shares for part in parts])
        for shares in zip(*streams, strict=True)
    ]
    assert same(found, whole)


def test_training_batches_hold_the_training_images_and_no_other(dataset: Dataset) -> None:
    batches = make_batches(dataset, OFF, input_size=8)
    images = torch.cat([batch.inputs for batch in whole_batches(batches, 1)])
    seen = [image.tobytes() for image in images.to(torch.uint8).numpy()]
    expected = [dataset.images[row].tobytes() for row in dataset.rows("train")]
    assert sorted(seen) == sorted(expected)


def test_targets_are_those_of_the_images(dataset: Dataset) -> None:
    batches = make_batches(dataset, OFF)
    for rows, batch in zip(batches.training_order(2), whole_batches(batches, 2), strict=True):
        assert batch.targets.tolist() == dataset.labels[rows].tolist()
        expected = center_crop(dataset.images[rows], 6)
        np.testing.assert_array_equal(batch.inputs.numpy(), expected)


@pytest.mark.parametrize("first", [0, 1, 4, 6])
def test_batches_from_a_number_on_continue_the_same_sequence(dataset: Dataset, first: int) -> None:
    batches = make_batches(dataset, micro_batches=MicroBatches(0, 2, 2))
    whole = whole_batches(batches, 3)
    assert len(whole) == 6
    assert same(whole_batches(batches, 3, first), whole[first:])


def test_batches_of_other_epochs_and_seeds_differ(dataset: Dataset) -> None:
    first = whole_batches(make_batches(dataset), 1)
    assert not same(whole_batches(make_batches(dataset), 2), first)
    other = make_batches(dataset, seed=1)
    assert not same(whole_batches(other, 1), first)


def test_augmented_image_does_not_depend_on_the_batch_size(dataset: Dataset) -> None:
    small, large = (joined(whole_batches(make_batches(dataset, size=size), 1)) for size in (4, 36))
    assert same([small], [large])


def test_training_images_have_the_side_of_their_epoch(dataset: Dataset) -> None:
    batches = make_batches(dataset, side=lambda epoch: {1: 3, 2: 5}.get(epoch, 6))
    shapes = [next(batches.training_batches(epoch))[0].inputs.shape for epoch in range(1, 4)]
    assert [tuple(shape) for shape in shapes] == [(6, side, side, 3) for side in (3, 5, 6)]
    assert next(iter(batches.validation_batches())).inputs.shape[1:] == (6, 6, 3)


@pytest.mark.parametrize("side", [3, 4, 5])
def test_small_images_are_reduced_as_pillow_does(dataset: Dataset, side: int) -> None:
    full = whole_batches(make_batches(dataset, OFF, input_size=8), 1)
    small = whole_batches(make_batches(dataset, OFF, input_size=8, side=lambda _: side), 1)
    for image, reduced in zip(joined(full).inputs, joined(small).inputs, strict=True):
        stored = Image.fromarray(image.to(torch.uint8).numpy())
        expected = stored.resize((side, side), Image.Resampling.BILINEAR)
        np.testing.assert_allclose(reduced.numpy(), np.asarray(expected), atol=1.0)


def test_validation_batches_are_the_centre_crops_in_order(dataset: Dataset) -> None:
    batches = list(make_batches(dataset).validation_batches())
    rows = dataset.rows("val")
    images, targets = joined(batches)
    assert images.dtype == torch.uint8
    np.testing.assert_array_equal(images.numpy(), center_crop(dataset.images[rows], 6))
    assert targets.tolist() == dataset.labels[rows].tolist()
    assert max(len(batch.targets) for batch in batches) <= 7


@pytest.mark.parametrize(("processes", "grad_accumulation_steps"), [(2, 1), (3, 2), (5, 1)])
def test_processes_together_see_every_validation_image_once(
    dataset: Dataset, processes: int, grad_accumulation_steps: int
) -> None:
    shares = [
        make_batches(
            dataset,
            OFF,
            input_size=8,
            size=4,
            micro_batches=MicroBatches(
                rank * grad_accumulation_steps,
                grad_accumulation_steps,
                processes * grad_accumulation_steps,
            ),
        ).validation_batches()
        for rank in range(processes)
    ]
    seen = [image.numpy().tobytes() for share in shares for b in share for image in b.inputs]
    expected = [dataset.images[row].tobytes() for row in dataset.rows("val")]
    assert Counter(seen) == Counter(expected)
