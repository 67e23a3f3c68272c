import pytest
import torch
from builders.networks import build, moved, noise_images, train_steps

from classifier.core.errors import UserError


def test_frozen_backbone_stands_still_in_training_and_its_head_moves() -> None:
    model = build(backbone="mobilenet_v2", pretrained=True, freeze="backbone")
    before = train_steps(model, noise_images(2, 32))
    assert moved(model, before) == {"head.1.weight", "head.1.bias"}
    assert model.backbone_is_frozen


def test_dropout_of_a_frozen_backbone_is_off_in_training() -> None:
    model = build(backbone="mobilenet_v2", pretrained=True, freeze="backbone").train()
    assert torch.equal(model.features(noise_images(2, 32)), model.features(noise_images(2, 32)))


def test_layers_up_to_the_named_one_stand_still_and_the_others_move() -> None:
    model = build(backbone="resnet18", pretrained=True, freeze="layer2")
    before = train_steps(model, noise_images(2, 32))
    frozen = ("mean", "std", *(f"backbone.{part}" for part in ("conv1", "bn1", "layer1", "layer2")))
    assert moved(model, before) == {name for name in before if not name.startswith(frozen)}
    assert not model.backbone_is_frozen


def test_without_freeze_everything_moves() -> None:
    model = build(input_size=8)
    before = train_steps(model, noise_images(2, 8))
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
