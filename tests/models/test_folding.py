"""Batch norm folded into convolutions gives the same outputs."""

import timm
import torch
from torch import Tensor, nn

from classifier.models.folding import fold_batch_norm


def noise(size: int) -> Tensor:
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))


def with_statistics(network: nn.Module) -> nn.Module:
    """The network with batch norms that change something."""
    torch.manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-1, 1)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    return network.eval()


def norms(network: nn.Module) -> int:
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


def test_norms_of_timm_with_an_activation_inside_are_folded() -> None:
    network = with_statistics(timm.create_model("tf_efficientnet_lite0", num_classes=0))
    folded = fold_batch_norm(network, noise(32))
    assert norms(network) > 0
    assert norms(folded) == 0
    with torch.no_grad():
        expected = network(noise(64))
        torch.testing.assert_close(folded(noise(64)), expected, rtol=1e-3, atol=1e-4)


class ReadTwice(nn.Module):
    """A convolution whose output is read by a batch norm, and beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)

    def forward(self, images: Tensor) -> Tensor:
        found = self.convolution(images)
        return (self.norm(found) + found).mean(dim=(2, 3))


def test_convolution_that_is_read_elsewhere_too_is_left_alone() -> None:
    network = with_statistics(ReadTwice())
    folded = fold_batch_norm(network, noise(4))
    assert norms(folded) == 1
    assert torch.equal(folded(noise(4)), network(noise(4)))


def test_norm_that_runs_twice_is_left_alone() -> None:
    norm = nn.BatchNorm2d(3)
    network = with_statistics(
        nn.Sequential(nn.Conv2d(3, 3, 1), norm, nn.Conv2d(3, 3, 1), norm, nn.Flatten())
    )
    folded = fold_batch_norm(network, noise(4))
    torch.testing.assert_close(folded(noise(4)), network(noise(4)))
