from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders.backbones import backbone_spec
from builders.tiny import tiny_bundle
from torch import Tensor, nn

from classifier.evaluation.grad_cam import heat_maps
from classifier.models.bundle import Bundle, load_bundle
from classifier.models.devices import prepare_pytorch

LABELS = np.array([0, 1, 2])


def noise(side: int, count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def bundle_of(folder: Path, side: int, **model: Any) -> Bundle:
    tiny_bundle(folder, stored_size=side, input_size=side, **model)
    return load_bundle(folder)


FROZEN = {"backbone": backbone_spec("mobilenet_v2", pretrained=True), "freeze": "backbone"}


@pytest.mark.parametrize(
    ("side", "model"),
    [(8, {}), (32, {"backbone": backbone_spec("airbench")}), (64, FROZEN)],
    ids=["compact", "airbench", "frozen"],
)
def test_maps_lie_between_0_and_1_and_are_the_same_every_time(
    tmp_path: Path, side: int, model: dict
):
    prepare_pytorch()
    bundle = bundle_of(tmp_path, side, **model)
    heat = heat_maps(bundle, noise(side), LABELS)
    assert heat is not None
    assert (heat.shape, heat.dtype) == ((3, side, side), np.float32)
    assert heat.min() >= 0
    assert set(heat.max(axis=(1, 2)).tolist()) <= {0.0, 1.0}
    assert heat.max() == 1
    again = heat_maps(bundle, noise(side), LABELS)
    assert again is not None
    assert heat.tobytes() == again.tobytes()


def bright_pixels(bundle: Bundle) -> None:
    """Let class 0 ask for brightness, class 1 for darkness, and class 2 for nothing."""
    bundle.model.backbone = nn.Sequential(
        nn.Conv2d(3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    bundle.model.head = nn.Linear(2, 3)
    convolution = bundle.model.backbone[0]
    assert isinstance(convolution, nn.Conv2d)
    with torch.no_grad():
        convolution.weight.copy_(torch.tensor([[1.0] * 3, [-1.0] * 3])[:, :, None, None])
        assert convolution.bias is not None
        convolution.bias.zero_()
        bundle.model.head.weight.copy_(torch.tensor([[1.0, 0], [0, 1], [0, 0]]))


def test_heat_is_where_the_class_comes_from(tmp_path: Path):
    bundle = bundle_of(tmp_path, 8)
    bright_pixels(bundle)
    images = np.full((3, 8, 8, 3), 20, np.uint8)
    images[:, :4] = 240
    heat = heat_maps(bundle, images, LABELS)
    assert heat is not None
    upper, lower = heat[:, :4], heat[:, 4:]
    assert [upper[0].min(), lower[0].max()] == [1, 0]
    assert [upper[1].max(), lower[1].min()] == [0, 1]
    assert heat[2].max() == 0


def test_a_map_does_not_depend_on_the_other_images(tmp_path: Path):
    bundle, images = bundle_of(tmp_path, 8), noise(8, 11)
    labels = np.arange(11) % 3
    heat = heat_maps(bundle, images, labels)
    alone = heat_maps(bundle, images[10:], labels[10:])
    assert heat is not None
    assert alone is not None
    assert heat[10] == pytest.approx(alone[0], abs=1e-5)
    nothing = heat_maps(bundle, images[:0], labels[:0])
    assert nothing is not None
    assert nothing.shape == (0, 8, 8)


class Transformer(nn.Module):
    """Tokens, as vision transformers have them, or places before channels, as Swin has them."""

    def __init__(self, kept_apart: bool) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 6, 2, stride=2)
        self.encoder = nn.LayerNorm(6)
        self.kept_apart = kept_apart

    def forward(self, images: Tensor) -> Tensor:
        places = self.patches(images).permute(0, 2, 3, 1)
        seen = self.encoder(places if self.kept_apart else places.flatten(1, 2))
        return seen.flatten(1, -2).mean(dim=1)


@pytest.mark.parametrize("kept_apart", [True, False])
def test_networks_without_a_grid_at_their_end_have_no_maps(tmp_path: Path, kept_apart: bool):
    bundle = bundle_of(tmp_path, 8)
    bundle.model.backbone, bundle.model.head = Transformer(kept_apart), nn.Linear(6, 3)
    assert heat_maps(bundle, noise(8), LABELS) is None


def test_a_grid_of_fewer_than_four_places_a_side_is_passed_over(tmp_path: Path):
    bundle = bundle_of(tmp_path, 8)
    bundle.model.backbone = nn.Sequential(
        nn.Conv2d(3, 6, 1), nn.AdaptiveAvgPool2d(2), nn.AdaptiveAvgPool2d(7), nn.Flatten()
    )
    bundle.model.head = nn.Linear(6 * 49, 3)
    heat = heat_maps(bundle, noise(8), LABELS)
    assert heat is not None
    # Of two places a side that are smoothed and spread there would be fewer values.
    assert max(len(np.unique(one)) for one in heat) > 40


def test_network_is_left_as_it_was_also_where_gradients_are_off(tmp_path: Path):
    bundle = bundle_of(tmp_path, 8)
    with torch.no_grad():
        assert heat_maps(bundle, noise(8), LABELS) is not None
    assert not [weight for weight in bundle.model.parameters() if weight.grad is not None]
    assert not [part for part in bundle.model.modules() if part._forward_hooks]
