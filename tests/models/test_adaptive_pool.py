import pytest
import torch
from builders.gpu import Operations
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from classifier.models.backbones.adaptive_pool import MatrixAdaptiveAvgPool2d
from classifier.models.backbones.torchvision_backbones import build_torchvision

SIDES = st.integers(1, 20)


@given(height=SIDES, width=SIDES, rows=SIDES, columns=SIDES)
def test_matrix_pool_gives_what_pytorchs_gives(
    height: int, width: int, rows: int, columns: int
) -> None:
    torch.manual_seed(0)
    images = torch.randn(2, 3, height, width, dtype=torch.float64)
    ours = MatrixAdaptiveAvgPool2d((rows, columns))(images)
    theirs = nn.AdaptiveAvgPool2d((rows, columns))(images)
    torch.testing.assert_close(ours, theirs)


def test_matrix_pool_leaves_an_input_of_its_size_as_it_is() -> None:
    images = torch.randn(2, 3, 7, 7)
    assert MatrixAdaptiveAvgPool2d(7)(images) is images


@pytest.mark.parametrize("name", ["alexnet", "vgg11"])
def test_backbone_has_a_deterministic_backward_pass_on_a_gpu(name: str) -> None:
    with torch.device("meta"):  # shapes alone
        backbone, _ = build_torchvision(name, pretrained=False, input_size=96)
        with Operations() as operations:
            backbone(torch.zeros(2, 3, 96, 96)).sum().backward()
    assert "convolution_backward" in operations.names
    assert not operations.nondeterministic
