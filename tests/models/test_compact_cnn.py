import pytest
import torch

from classifier.models.backbones.compact_cnn import CompactNet


@pytest.mark.parametrize("size", [4, 5, 8, 33])
def test_images_of_any_size_from_4_give_the_features(size: int) -> None:
    network = CompactNet().eval()
    assert network(torch.zeros(2, 3, size, size)).shape == (2, CompactNet.features)


def test_features_depend_on_every_quarter_of_the_image() -> None:
    torch.manual_seed(0)
    network = CompactNet().eval()
    image = torch.zeros(1, 3, 8, 8)
    for top, left in ((0, 0), (0, 4), (4, 0), (4, 4)):
        changed = image.clone()
        changed[..., top : top + 4, left : left + 4] = 1
        assert not torch.equal(network(changed), network(image))


def test_network_is_small() -> None:
    assert sum(weight.numel() for weight in CompactNet().parameters()) < 300_000
