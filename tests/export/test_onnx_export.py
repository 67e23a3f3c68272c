"""Networks that the ONNX exporter has difficulties with."""

import math

import numpy as np
import torch
from builders.tiny import tiny_model
from timm.models.beit import Beit
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from classifier.export.formats import run_onnx
from classifier.export.onnx_export import to_onnx


class TwoClamps(nn.Module):
    """Clamps the same values twice by bounds that are buffers, as timm's gemma4_vit does."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        for number in range(2):
            self.register_buffer(f"low_{number}", torch.tensor(-math.inf))
            self.register_buffer(f"high_{number}", torch.tensor(math.inf))

    def forward(self, images: Tensor) -> Tensor:
        """Return features."""
        once, again = (
            torch.clamp(images, self.get_buffer(f"low_{number}"), self.get_buffer(f"high_{number}"))
            for number in range(2)
        )
        return self.backbone((once + again) / 2)


def test_values_that_are_clamped_twice_are_exported() -> None:
    model = tiny_model()
    model.backbone = TwoClamps(model.backbone)
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    expected = model(torch.from_numpy(images)).detach().numpy()
    given = run_onnx(to_onnx(model.eval(), 8))(images)
    np.testing.assert_allclose(given.logits, expected, atol=1e-4)


def test_attention_with_a_mask_is_exported() -> None:
    model = tiny_model()
    model.backbone = Beit(
        img_size=8,
        patch_size=4,
        embed_dim=128,
        depth=1,
        num_heads=2,
        num_classes=0,
        use_rel_pos_bias=True,
    )
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    expected = model.eval()(torch.from_numpy(images)).detach().numpy()
    given = run_onnx(to_onnx(model, 8))(images)
    np.testing.assert_allclose(given.logits, expected, atol=1e-4)


class AttentionInWindows(nn.Module):
    """Mixes the pixels of each row by attention of five dimensions, as timm's Hiera does."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> Tensor:
        """Return features."""
        rows = images.permute(0, 2, 3, 1).unsqueeze(1)
        mixed = scaled_dot_product_attention(rows, rows, rows).squeeze(1)
        return self.backbone(mixed.permute(0, 3, 1, 2).contiguous())


def test_attention_of_five_dimensions_is_exported() -> None:
    model = tiny_model()
    model.backbone = AttentionInWindows(model.backbone)
    images = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
    expected = model.eval()(torch.from_numpy(images)).detach().numpy()
    given = run_onnx(to_onnx(model, 8))(images)
    np.testing.assert_allclose(given.logits, expected, atol=1e-4)
