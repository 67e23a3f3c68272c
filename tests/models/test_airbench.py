import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from classifier.models.backbones.airbench import AirbenchNet


def network() -> AirbenchNet:
    torch.manual_seed(0)
    return AirbenchNet()


def images(side: int = 16) -> Tensor:
    """Normalised images, whose neighbouring pixels and whose colours go together."""
    generator = torch.Generator().manual_seed(0)
    coarse = interpolate(
        torch.randn(200, 3, side // 4, side // 4, generator=generator), scale_factor=4.0
    )
    mixed = coarse + 0.3 * torch.randn(200, 3, side, side, generator=generator)
    mixed = mixed + mixed.mean(dim=1, keepdim=True)
    return (mixed - mixed.mean(dim=(0, 2, 3), keepdim=True)) / mixed.std(
        dim=(0, 2, 3), keepdim=True
    )


def covariance(planes: Tensor) -> np.ndarray:
    """Of the channels, over all images and places."""
    return np.cov(planes.detach().transpose(0, 1).flatten(1).numpy())


def test_first_layer_makes_patches_uncorrelated_and_of_variance_one() -> None:
    whitened = network()
    whitened.learn_patches(images())
    half = whitened.whiten(images())[:, :12]
    # The variances of the directions are 0.06 and more, to each of which 0.0005 is added.
    np.testing.assert_allclose(covariance(half), np.eye(12), atol=0.01)


def test_second_half_of_the_first_layer_is_the_negative_of_the_first() -> None:
    whitened = network()
    whitened.learn_patches(images())
    first, second = whitened.whiten(images()).chunk(2, dim=1)
    assert torch.equal(first, -second)
    assert first.shape == (200, 12, 15, 15)


def test_directions_in_which_patches_hardly_differ_are_not_blown_up() -> None:
    whitened = network()
    whitened.learn_patches(torch.full((4, 3, 16, 16), 0.5))
    # The deviation of what is added to each variance.
    assert whitened.whiten.weight.flatten(1).norm(dim=1).max() < 1.001 / 5e-4**0.5


def test_learning_patches_changes_the_first_layer_alone() -> None:
    whitened = network()
    whitened.learn_patches(images())
    before, after = network().state_dict(), whitened.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"whiten.weight"}


def test_convolutions_of_the_blocks_begin_as_the_identity_in_their_first_channels() -> None:
    convolutions = [layer for layer in network().blocks.modules() if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == 6
    for layer in convolutions:
        inputs = torch.randn(2, layer.in_channels, 5, 5)
        outputs = layer(inputs)
        np.testing.assert_allclose(outputs[:, : layer.in_channels].detach(), inputs, atol=1e-6)
        others = outputs[:, layer.in_channels :]
        assert others.numel() == 0 or others.std() > 0.1


def test_first_layer_and_scales_of_batch_norm_are_not_trained() -> None:
    layers = network().named_modules()
    expected = {"whiten.weight"}
    expected |= {f"{name}.weight" for name, layer in layers if isinstance(layer, nn.BatchNorm2d)}
    fixed = {name for name, weight in network().named_parameters() if not weight.requires_grad}
    assert len(expected) == 7
    assert fixed == expected


@pytest.mark.parametrize("side", [16, 17, 24, 32, 33])
def test_images_of_any_size_from_16_give_the_features(side: int) -> None:
    features = network().eval()(torch.zeros(2, 3, side, side))
    assert features.shape == (2, AirbenchNet.features)


def test_features_depend_on_every_quarter_of_the_image() -> None:
    whitened = network().eval()
    image = torch.zeros(1, 3, 16, 16)
    for top, left in ((0, 0), (0, 8), (8, 0), (8, 8)):
        changed = image.clone()
        changed[..., top : top + 8, left : left + 8] = torch.randn(3, 8, 8)
        assert not torch.equal(whitened(changed), whitened(image))
