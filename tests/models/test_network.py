import sys
from typing import Any

import numpy as np
import pytest
import torch
from builders.networks import build, moved, noise_images, train_steps
from torch import Tensor, nn
from torchvision.transforms.v2.functional import normalize

from classifier.core.errors import UserError
from classifier.models.backbones.airbench import AirbenchNet
from classifier.models.backbones.backbone_description import IMAGENET_MEAN, IMAGENET_STD
from classifier.models.backbones.backbone_params import OWN_FEATURES
from classifier.models.network import Classifier, check_input_size, learn_from_images


def test_images_are_normalised_inside_as_torchvision_does() -> None:
    images = noise_images(2, 4)
    model = Classifier(
        nn.Identity(), nn.Identity(), torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    )
    scaled = images.permute(0, 3, 1, 2) / 255
    expected = normalize(scaled, mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
    torch.testing.assert_close(model(images), expected, rtol=1e-5, atol=1e-5)


def test_bytes_and_floats_give_the_same_logits() -> None:
    model = build(input_size=8).eval()
    assert torch.equal(model(noise_images(2, 8)), model(noise_images(2, 8).float()))


@pytest.mark.parametrize(
    ("backbone", "input_size"),
    [
        ("compact", 8),
        ("airbench", 32),
        ("resnet18", 32),
        ("resnet50", 32),
        ("vgg16", 32),
        ("efficientnet_b0", 32),
        ("mobilenet_v2", 32),
    ],
)
@pytest.mark.parametrize("hidden", [None, 16])
def test_backbone_and_head_give_a_logit_for_each_class(
    backbone: str, input_size: int, hidden: int | None
) -> None:
    head = {"hidden": hidden, "dropout": 0.4}
    with torch.device("meta"):
        model = build(backbone=backbone, input_size=input_size, head=head).eval()
        assert model(torch.zeros(2, input_size, input_size, 3, dtype=torch.uint8)).shape == (2, 5)


@pytest.mark.parametrize("hidden", [None, 16])
def test_dropout_of_the_head_works_in_training_alone(hidden: int | None) -> None:
    model = build(input_size=8, head={"hidden": hidden, "dropout": 0.5})
    features = torch.ones(1, 128)
    model.train()
    assert not torch.equal(model.head(features), model.head(features))
    model.eval()
    assert torch.equal(model.head(features), model.head(features))


def test_hidden_layer_of_the_head_bends() -> None:
    head = build(input_size=8, head={"hidden": 16, "dropout": 0.0}).eval().head
    features = torch.randn(1, 128, generator=torch.Generator().manual_seed(0))
    zero = head(torch.zeros(1, 128))
    # Of a linear head, the mean of both would be the value at zero.
    assert not torch.allclose((head(features) + head(-features)) / 2, zero, atol=1e-4)


def test_same_seed_gives_the_same_weights() -> None:
    first, second = build(input_size=8).state_dict(), build(input_size=8).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("backbone", ["resnet18", "densenet121", "mobilenet_v2"])
def test_small_stem_keeps_the_resolution(backbone: str) -> None:
    with torch.device("meta"):
        model = build(backbone=backbone, stem="small").eval()
    after_stem = {
        "resnet18": "layer1",
        "densenet121": "features.denseblock1.denselayer1",
        "mobilenet_v2": "features.1",
    }[backbone]
    sizes: list[torch.Size] = []

    def note(module: nn.Module, inputs: Any, output: Tensor) -> None:
        sizes.append(output.shape[2:])

    model.backbone.get_submodule(after_stem).register_forward_hook(note)
    model(torch.zeros(1, 32, 32, 3, device="meta"))
    assert sizes == [(32, 32)]


def test_small_stem_works_and_learns() -> None:
    model = build(backbone="resnet18", stem="small", input_size=8)
    before = train_steps(model, noise_images(2, 8))
    assert "backbone.conv1.weight" in moved(model, before)


@pytest.mark.parametrize("backbone", ["vgg11", "alexnet", "convnext_tiny"])
def test_small_stem_is_refused_where_it_does_not_fit(backbone: str) -> None:
    with (
        torch.device("meta"),
        pytest.raises(UserError, match=rf"train\.model\.stem: small does not fit {backbone}"),
    ):
        build(backbone=backbone, stem="small")


@pytest.mark.parametrize(
    ("backbone", "input_size"),
    [
        ("compact", 2),
        ("airbench", 8),
        ("alexnet", 16),
        ("inception_v3", 32),
        ("vit_b_32", 100),
        ("maxvit_t", 100),
    ],
)
def test_images_that_the_backbone_cannot_take_are_refused(backbone: str, input_size: int) -> None:
    def build_and_check() -> None:
        with torch.device("meta"):
            check_input_size(build(backbone=backbone, input_size=input_size), backbone, input_size)

    with pytest.raises(UserError) as caught:
        build_and_check()
    sentence = str(caught.value)
    assert all(part in sentence for part in (backbone, str(input_size), "train.input_size")), (
        sentence
    )
    assert "\n" not in sentence


def test_images_that_the_backbone_can_take_pass() -> None:
    check_input_size(build(input_size=4), "compact", 4)


@pytest.mark.parametrize("backbone", sorted(OWN_FEATURES))
def test_own_networks_need_no_other_library(backbone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("torchvision", "timm"):
        monkeypatch.setitem(sys.modules, module, None)
    assert build(backbone=backbone, input_size=16).eval()(noise_images(2, 16)).shape == (2, 5)


def test_network_learns_its_first_layer_from_the_images_named() -> None:
    model, expected = build(backbone="airbench"), build(backbone="airbench")
    images, rows = noise_images(12, 16), np.array([1, 2, 5, 8])
    before = {name: value.clone() for name, value in model.state_dict().items()}
    learn_from_images(model, images.numpy(), rows)
    assert moved(model, before) == {"backbone.whiten.weight"}
    assert isinstance(expected.backbone, AirbenchNet)
    expected.backbone.learn_patches(expected.normalize(images[rows]))
    assert not moved(model, expected.state_dict())


@pytest.mark.parametrize("backbone", ["compact", "resnet18"])
def test_other_networks_learn_nothing_before_training(backbone: str) -> None:
    model = build(backbone=backbone)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    learn_from_images(model, noise_images(4, 32).numpy(), np.arange(4))
    assert not moved(model, before)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"stem": "small"}, "stem: standard"),
        ({"backbone": "airbench", "stem": "small"}, "stem: standard"),
        ({"backbone": "resnet18", "freeze": "layer1"}, "set backbone.weights"),
    ],
)
def test_parts_that_contradict_are_refused_with_a_way_out(
    changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        build(**changes)
