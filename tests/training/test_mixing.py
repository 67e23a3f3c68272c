import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from classifier.training.mixing import Mixed, MixParams, mix

# Each image is a class of its own, so that the second classes tell which were mixed in.
TARGETS = torch.arange(7)


def images(height: int = 6, width: int = 6) -> Tensor:
    return torch.rand(7, height, width, 3, generator=torch.Generator().manual_seed(0))


def mixed(
    inputs: Tensor, *, mixup: float = 0.0, cutmix: float = 0.0, seed: int = 0, step: int = 0
) -> Mixed:
    params = MixParams(mixup=mixup, cutmix=cutmix)
    return mix(inputs, TARGETS, params, [seed, 1, step, 0])


def is_mixup(inputs: Tensor, result: Mixed) -> bool:
    weighted = result.share * inputs + (1 - result.share) * inputs[result.others]
    return torch.allclose(result.inputs, weighted, atol=1e-6)


def of_first(inputs: Tensor, result: Mixed) -> Tensor:
    """Which pixels are those of the first image, `(B, H, W)`; the others must be the second's."""
    first = (result.inputs == inputs).all(dim=3)
    second = (result.inputs == inputs[result.others]).all(dim=3)
    assert (first | second).all()
    return first


def test_neither_is_on_at_zero() -> None:
    assert not MixParams(mixup=0.0, cutmix=0.0).is_on
    assert MixParams(mixup=0.1, cutmix=0.0).is_on
    assert MixParams(mixup=0.0, cutmix=0.1).is_on


@pytest.mark.parametrize("shape", [(7, 6, 5, 3), (7, 20)])
def test_mixup_is_the_weighted_mean_with_the_image_of_the_second_class(
    shape: tuple[int, ...],
) -> None:
    inputs = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    for seed in range(10):
        result = mixed(inputs, mixup=0.5, seed=seed)
        assert is_mixup(inputs, result)
        assert 0 <= result.share <= 1


@settings(max_examples=40, deadline=None)
@given(height=st.integers(1, 9), width=st.integers(1, 9), seed=st.integers(0, 10**6))
def test_cutmix_takes_every_pixel_from_either_image_by_share(
    height: int, width: int, seed: int
) -> None:
    inputs = images(height, width)
    result = mixed(inputs, cutmix=1.0, seed=seed)
    two = result.others != TARGETS
    left = of_first(inputs, result)[two].double().mean(dim=(1, 2))
    np.testing.assert_allclose(left, result.share, atol=1e-9)


def test_cutmix_pastes_one_rectangle() -> None:
    inputs = images(9, 8)
    for seed in range(10):
        result = mixed(inputs, cutmix=1.0, seed=seed)
        for image, other in zip(~of_first(inputs, result), result.others != TARGETS, strict=True):
            rows, columns = image.any(dim=1), image.any(dim=0)
            assert torch.equal(image, rows[:, None] & columns)
            assert other or not image.any()
            for places in (rows.nonzero(), columns.nonzero()):
                assert len(places) == 0 or len(places) == places.max() - places.min() + 1


def test_cutmix_pastes_every_place_at_times() -> None:
    inputs = images(4, 5)
    pasted = torch.zeros(4, 5, dtype=torch.bool)
    for seed in range(60):
        pasted |= (~of_first(inputs, mixed(inputs, cutmix=1.0, seed=seed))).any(dim=0)
    assert pasted.all()


def test_cutmix_pastes_as_much_as_the_drawn_share_leaves() -> None:
    # A window of part p of a side about a uniform centre has p - p**2 / 4 of it inside, on average,
    # and the drawn area p**2 is uniform in 0..1 here.
    expected = 1 / 2 - (2 / 5) / 2 + (1 / 3) / 16
    inputs = torch.zeros(7, 40, 40, 1)
    pasted = [1 - mixed(inputs, cutmix=1.0, seed=seed).share for seed in range(600)]
    assert np.mean(pasted) == pytest.approx(expected, abs=5 * np.std(pasted) / 600**0.5)


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_are_spread_as_a_beta_distribution(alpha: float) -> None:
    shares = [mixed(torch.zeros(7, 1), mixup=alpha, seed=seed).share for seed in range(600)]
    variance = 1 / (4 * (2 * alpha + 1))
    assert np.mean(shares) == pytest.approx(0.5, abs=5 * (variance / 600) ** 0.5)
    assert np.var(shares) == pytest.approx(variance, rel=0.2)


@pytest.mark.parametrize("kind", [{"mixup": 0.5}, {"cutmix": 1.0}, {"mixup": 0.5, "cutmix": 1.0}])
def test_mixing_is_a_function_of_its_seeds(kind: dict[str, float]) -> None:
    inputs = images()
    first = mixed(inputs, **kind, seed=1, step=1)
    again = mixed(inputs, **kind, seed=1, step=1)
    assert torch.equal(again.inputs, first.inputs)
    assert torch.equal(again.others, first.others)
    assert again.share == first.share
    for seed, step in ((2, 1), (1, 2)):
        other = mixed(inputs, **kind, seed=seed, step=step)
        assert not torch.equal(other.inputs, first.inputs)
        assert not torch.equal(other.others, first.others)


@pytest.mark.parametrize("kind", [{"mixup": 0.5}, {"cutmix": 1.0}])
def test_what_is_given_does_not_change(kind: dict[str, float]) -> None:
    inputs, targets = images(), TARGETS.clone()
    result = mix(inputs, targets, MixParams(**{"mixup": 0.0, "cutmix": 0.0} | kind), [3])
    assert not torch.equal(result.inputs, inputs)
    assert torch.equal(inputs, images())
    assert torch.equal(targets, TARGETS)


def test_each_image_is_mixed_into_one() -> None:
    for seed in range(5):
        assert mixed(images(), mixup=0.5, seed=seed).others.sort().values.equal(TARGETS)


def test_with_both_on_each_kind_is_drawn_about_half_of_the_time() -> None:
    inputs = images()
    kinds = [is_mixup(inputs, mixed(inputs, mixup=1.0, cutmix=1.0, seed=s)) for s in range(200)]
    assert np.mean(kinds) == pytest.approx(0.5, abs=5 * (0.25 / 200) ** 0.5)


def test_with_one_on_the_other_is_never_drawn() -> None:
    inputs = images()
    for seed in range(20):
        of_first(inputs, mixed(inputs, cutmix=1.0, seed=seed))
        assert is_mixup(inputs, mixed(inputs, mixup=1.0, seed=seed))
