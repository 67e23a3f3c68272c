from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
from builders.tiny import tiny_params
from torch import Tensor, nn

from classifier.training.muon import Muon, orthogonal
from classifier.training.optimization import build_optimizers

SHAPES = [(64, 16), (16, 64), (32, 48), (1, 10)]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def polar(matrix: Tensor) -> Tensor:
    """The nearest matrix with all singular values one, found exactly."""
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    return left @ right


def muon_of(weight: nn.Parameter, **options: Any) -> torch.optim.Optimizer:
    """The optimiser of a network whose only hidden weight this is."""
    hidden = nn.ModuleDict({"layer": nn.ParameterList([weight])})
    network = nn.ModuleDict({"backbone": hidden, "head": nn.Linear(1, 1)})
    params = tiny_params(optimizer={"name": "muon"} | options).optimizer
    muon, _ = build_optimizers(params, network)
    assert isinstance(muon, Muon)
    return muon


def weights_after(
    weight: Tensor,
    gradients: Iterable[Tensor],
    *,
    lr: float = 0.1,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    fixed_norm: bool = False,
) -> Tensor:
    """`weight` after a step for each of the gradients."""
    moved = nn.Parameter(weight.clone())
    optimizer = muon_of(moved, momentum=momentum, weight_decay=weight_decay, fixed_norm=fixed_norm)
    optimizer.param_groups[0]["lr"] = lr
    for gradient in gradients:
        moved.grad = gradient.clone()
        optimizer.step()
    return moved.detach()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("shape", SHAPES)
def test_singular_values_come_near_one(shape: tuple[int, int], seed: int) -> None:
    matrix = normal(*shape, seed=seed)
    values = torch.linalg.svdvals(matrix)
    # Three iterations raise values from about 0.018 of the matrix's norm on to this range.
    assert values.min() > 0.02 * matrix.norm()
    found = torch.linalg.svdvals(orthogonal(matrix))
    assert found.min() > 0.68
    assert found.max() < 1.21


@pytest.mark.parametrize("shape", SHAPES)
def test_singular_vectors_are_kept(shape: tuple[int, int]) -> None:
    matrix = normal(*shape)
    np.testing.assert_allclose(polar(orthogonal(matrix)), polar(matrix), atol=1e-4)
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    inside = left.T @ orthogonal(matrix) @ right.T
    np.testing.assert_allclose(inside, inside.diag().diag(), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_shape_and_dtype_are_the_matrix_s(dtype: torch.dtype) -> None:
    for shape in SHAPES:
        found = orthogonal(normal(*shape).to(dtype))
        assert (found.shape, found.dtype) == (shape, dtype)


def test_matrix_of_zeros_stays_so() -> None:
    assert not orthogonal(torch.zeros(3, 4)).any()


def test_step_goes_against_the_gradient_s_orthogonal_matrix() -> None:
    weight, gradient = normal(8, 12), normal(8, 12, seed=1)
    step = weights_after(weight, [gradient], lr=0.1, momentum=0.0) - weight
    np.testing.assert_allclose(step, -0.1 * orthogonal(gradient), atol=1e-6)


@pytest.mark.parametrize("momentum", [0.5, 0.95])
def test_momentum_has_nesterovs_form(momentum: float) -> None:
    gradients = [normal(8, 12, seed=seed) for seed in range(4)]
    mean = torch.zeros(8, 12)
    for number, gradient in enumerate(gradients, 1):
        mean = momentum * mean + gradient
        before = weights_after(torch.zeros(8, 12), gradients[: number - 1], momentum=momentum)
        after = weights_after(torch.zeros(8, 12), gradients[:number], momentum=momentum)
        expected = polar(gradient + momentum * mean)
        np.testing.assert_allclose(polar(before - after), expected, atol=1e-3)


@pytest.mark.parametrize("scale", [1e-3, 1e3])
def test_steps_do_not_depend_on_the_scale_of_the_gradients(scale: float) -> None:
    gradients = [normal(8, 12, seed=seed) for seed in range(3)]
    weight = normal(8, 12, seed=9)
    scaled = weights_after(weight, [scale * gradient for gradient in gradients])
    np.testing.assert_allclose(scaled, weights_after(weight, gradients), atol=1e-4)


def test_decay_shrinks_the_weights_beside_the_step() -> None:
    weight, gradient = normal(8, 12), normal(8, 12, seed=1)
    plain = weights_after(weight, [gradient], lr=0.1)
    decayed = weights_after(weight, [gradient], lr=0.1, weight_decay=0.5)
    np.testing.assert_allclose(plain - decayed, 0.05 * weight, atol=1e-6)


@pytest.mark.parametrize("scale", [0.01, 1.0, 100.0])
def test_fixed_norm_makes_the_step_from_a_matrix_of_norm_root_of_outputs(scale: float) -> None:
    weight, gradient = normal(4, 3, 2, 2), normal(4, 3, 2, 2, seed=1)
    expected = weights_after(2 * weight / weight.norm(), [gradient])
    moved = weights_after(scale * weight, [gradient], weight_decay=0.5, fixed_norm=True)
    np.testing.assert_allclose(moved, expected, atol=1e-6)


def test_fixed_norm_leaves_a_matrix_of_zeros_finite() -> None:
    assert weights_after(torch.zeros(3, 4), [normal(3, 4)], fixed_norm=True).isfinite().all()


def test_decay_leaves_the_momentum_alone() -> None:
    gradients = [normal(8, 12, seed=seed) for seed in range(2)]
    weight = 100 * normal(8, 12, seed=9)
    first = weights_after(weight, gradients[:1], weight_decay=0.5)
    both = weights_after(weight, gradients, weight_decay=0.5)
    expected = weights_after(weight, gradients) - weights_after(weight, gradients[:1])
    np.testing.assert_allclose(both - 0.95 * first, expected, atol=1e-4)


def test_convolutions_are_seen_as_a_row_for_each_output() -> None:
    weight, gradient = normal(4, 3, 2, 2), normal(4, 3, 2, 2, seed=1)
    moved = weights_after(weight, [gradient])
    flat = weights_after(weight.view(4, 12), [gradient.view(4, 12)])
    np.testing.assert_array_equal(moved, flat.view(4, 3, 2, 2))


def test_weight_without_a_gradient_stands_still() -> None:
    weight = nn.Parameter(normal(3, 4))
    muon = muon_of(weight, weight_decay=0.5)
    muon.param_groups[0]["lr"] = 0.1
    muon.step()
    assert torch.equal(weight, normal(3, 4))
