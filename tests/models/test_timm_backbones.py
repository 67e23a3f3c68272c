"""Models of timm as backbones: features, preparation, names."""

import pytest
import torch

from classifier.core.errors import UserError
from classifier.models.backbones.architectures import build_architecture
from classifier.models.backbones.backbone_description import describe_backbone
from classifier.models.backbones.backbone_params import BackboneParams
from classifier.models.backbones.timm_backbones import layers_of_timm, projects_onto_texts

# A small one of each kind, and a size that it takes.
FAMILIES = [
    ("timm/convnext_atto", 32),
    ("timm/vit_tiny_patch16_224", 32),
    ("timm/swin_tiny_patch4_window7_224", 224),
    ("timm/mixer_s32_224", 64),
    ("timm/mobilenetv3_small_050", 32),
    ("timm/tf_efficientnet_lite0", 32),
    ("timm/regnetx_002", 32),
    ("timm/resnet10t", 32),
]


def backbone(name: str, weights: str | None = None) -> BackboneParams:
    return BackboneParams(name=name, weights=weights, checksum=None)


@pytest.mark.parametrize(("name", "input_size"), FAMILIES)
def test_every_kind_gives_as_many_features_as_it_says(name: str, input_size: int) -> None:
    with torch.device("meta"):
        network, features = build_architecture(name, pretrained=True, input_size=input_size)
        images = torch.zeros(2, 3, input_size, input_size)
        assert network.eval()(images).shape == (2, features)


def test_layers_are_the_groups_of_timm_in_the_order_of_the_forward_pass() -> None:
    with torch.device("meta"):
        network, _ = build_architecture("timm/vit_tiny_patch16_224", pretrained=True, input_size=32)
    layers = layers_of_timm(network)
    assert layers.keys() == {name for name, _ in network.named_parameters()}
    assert layers["cls_token"] == layers["patch_embed.proj.weight"] == "layer_0"
    assert layers["norm.weight"] == "blocks.11"
    names = list(dict.fromkeys(layers.values()))
    assert names == ["layer_0", *(f"blocks.{number}" for number in range(12))]


def test_preparation_is_that_of_the_pretrained_configuration() -> None:
    spec = describe_backbone(backbone("timm/tf_efficientnet_lite0", "timm:default"))
    assert (spec.mean, spec.std) == ((127.5,) * 3, (127.5,) * 3)
    assert (spec.input_size, spec.interpolation) == (224, "bicubic")
    assert spec.licence == "apache-2.0"


@pytest.mark.parametrize("name", ["timm/convnext_atom", "timm/convnext_atto.nothing"])
def test_unknown_model_is_refused_with_similar_names(name: str) -> None:
    with pytest.raises(UserError, match=rf"backbone\.name '{name}' is unknown.*convnext_atto"):
        describe_backbone(backbone(name))


@pytest.mark.parametrize("name", ["crossvit_tiny_240", "crossvit_9_240.in1k"])
def test_network_that_no_file_can_hold_is_refused_before_training(name: str) -> None:
    with pytest.raises(UserError, match=rf"timm/{name} cannot be exported .*choose another"):
        describe_backbone(backbone(f"timm/{name}"))


@pytest.mark.parametrize(
    ("name", "projects"),
    [
        ("vit_base_patch16_clip_224.openai", True),
        ("vit_base_patch16_clip_224.openai_ft_in1k", False),
        ("fastvit_mci0.apple_mclip", True),
        ("convnext_base.clip_laion2b_augreg", True),
        ("convnext_base.clip_laion2b_augreg_ft_in1k", False),
        ("tf_efficientnet_lite0", False),
    ],
)
def test_last_layer_of_models_that_were_trained_with_texts_gives_no_classes(
    name: str, projects: bool
) -> None:
    assert projects_onto_texts(name) == projects
