import sys
from typing import Any

import numpy as np
import pytest
import torch
from builders.backbones import backbone_spec
from builders.tiny import tiny_params
from torch import Tensor, nn
from torchvision.transforms.v2.functional import normalize

from classifier.core.errors import UserError
from classifier.models.airbench import AirbenchNet
from classifier.models.backbone_description import IMAGENET_MEAN, IMAGENET_STD
from classifier.models.backbone_params import OWN_FEATURES
from classifier.models.network import (
    Classifier,
    ModelParams,
    build_classifier,
    check_input_size,
    learn_from_images,
)


def model_params(**changes: Any) -> ModelParams:
    return tiny_params(model=changes).model


def build(
    *, backbone: str = "compact", pretrained: bool = False, input_size: int = 32, **changes: Any
) -> Classifier:
    """A network with random weights, the same in every call."""
    torch.manual_seed(0)
    return build_classifier(
        model_params(**changes),
        backbone_spec(backbone, pretrained=pretrained),
        classes=5,
        input_size=input_size,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
    )


def noise(count: int, size: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8, generator=generator)


def train_steps(model: Classifier, images: Tensor) -> dict[str, Tensor]:
    """Train `model` for two steps; return its state from before."""
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD([w for w in model.parameters() if w.requires_grad], 0.1)
    model.train()
    for _ in range(2):
        optimizer.zero_grad()
        model(images).square().sum().backward()
        optimizer.step()
    return before


def moved(model: Classifier, before: dict[str, Tensor]) -> set[str]:
    after = model.state_dict()
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


def test_images_are_normalised_inside_as_torchvision_does() -> None:
    images = noise(2, 4)
    model = Classifier(
        nn.Identity(), nn.Identity(), torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    )
    scaled = images.permute(0, 3, 1, 2) / 255
    expected = normalize(scaled, mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
    torch.testing.assert_close(model(images), expected, rtol=1e-5, atol=1e-5)


def test_bytes_and_floats_give_the_same_logits() -> None:
    model = build(input_size=8).eval()
    assert torch.equal(model(noise(2, 8)), model(noise(2, 8).float()))


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


def test_frozen_backbone_stands_still_in_training_and_its_head_moves() -> None:
    model = build(backbone="mobilenet_v2", pretrained=True, freeze="backbone")
    before = train_steps(model, noise(2, 32))
    assert moved(model, before) == {"head.1.weight", "head.1.bias"}
    assert model.backbone_is_frozen


def test_dropout_of_a_frozen_backbone_is_off_in_training() -> None:
    model = build(backbone="mobilenet_v2", pretrained=True, freeze="backbone").train()
    assert torch.equal(model.features(noise(2, 32)), model.features(noise(2, 32)))


def test_layers_up_to_the_named_one_stand_still_and_the_others_move() -> None:
    model = build(backbone="resnet18", pretrained=True, freeze="layer2")
    before = train_steps(model, noise(2, 32))
    frozen = ("mean", "std", *(f"backbone.{part}" for part in ("conv1", "bn1", "layer1", "layer2")))
    assert moved(model, before) == {name for name in before if not name.startswith(frozen)}
    assert not model.backbone_is_frozen


def test_without_freeze_everything_moves() -> None:
    model = build(input_size=8)
    before = train_steps(model, noise(2, 8))
    assert moved(model, before) == set(before) - {"mean", "std"}


@pytest.mark.parametrize(
    ("backbone", "module"),
    [
        ("resnet18", "layer1.0"),
        ("vit_b_32", "encoder.layers.encoder_layer_1"),
        ("convnext_tiny", "features.1"),
        ("swin_t", "features.1"),
    ],
)
def test_module_and_all_inside_it_is_frozen_with_its_own_weights(
    backbone: str, module: str
) -> None:
    with torch.device("meta"):
        model = build(backbone=backbone, input_size=224, pretrained=True, freeze=module)
    inside = {
        name: weight.requires_grad
        for name, weight in model.backbone.named_parameters()
        if name.startswith(f"{module}.")
    }
    assert inside
    assert not any(inside.values()), inside


@pytest.mark.parametrize(
    ("backbone", "module", "tokens"),
    [
        ("vit_b_32", "encoder.layers.encoder_layer_1", ["class_token", "encoder.pos_embedding"]),
        ("timm/vit_tiny_patch16_224", "blocks.1", ["cls_token", "pos_embed"]),
    ],
)
def test_tokens_before_the_named_module_are_frozen_with_it(
    backbone: str, module: str, tokens: list[str]
) -> None:
    with torch.device("meta"):
        model = build(backbone=backbone, input_size=224, pretrained=True, freeze=module)
    assert not any(model.backbone.get_parameter(name).requires_grad for name in tokens)
    assert not model.backbone_is_frozen


@pytest.mark.parametrize("module", ["layer9", "layer", "layer1.7", "", "head"])
def test_unknown_module_to_freeze_is_refused_with_those_there_are(module: str) -> None:
    with torch.device("meta"), pytest.raises(UserError) as caught:
        build(backbone="resnet18", pretrained=True, freeze=module)
    sentence = str(caught.value)
    assert f"train.model.freeze: the backbone has no module {module!r}" in sentence
    assert "layer1, layer2, layer3, layer4" in sentence


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
    before = train_steps(model, noise(2, 8))
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
    assert build(backbone=backbone, input_size=16).eval()(noise(2, 16)).shape == (2, 5)


def test_network_learns_its_first_layer_from_the_images_named() -> None:
    model, expected = build(backbone="airbench"), build(backbone="airbench")
    images, rows = noise(12, 16), np.array([1, 2, 5, 8])
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
    learn_from_images(model, noise(4, 32).numpy(), np.arange(4))
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
