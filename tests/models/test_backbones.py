import re

import pytest
import torch
import torchvision

from classifier.core.errors import UserError
from classifier.models.backbones.torchvision_backbones import backbone_names, build_torchvision

# One of each family. RegNet's own initialisation fails without real tensors: see below.
FAMILIES = [
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "efficientnet_v2_s",
    "googlenet",
    "inception_v3",
    "maxvit_t",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "resnet18",
    "resnext50_32x4d",
    "shufflenet_v2_x0_5",
    "squeezenet1_0",
    "swin_t",
    "swin_v2_t",
    "vgg11_bn",
    "vit_b_32",
    "wide_resnet50_2",
]


def build(name: str, *, input_size: int) -> tuple[torch.nn.Module, int]:
    return build_torchvision(name, pretrained=False, input_size=input_size)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_gives_its_features_in_training_and_evaluation(name: str) -> None:
    input_size = 299 if name == "inception_v3" else 224
    with torch.device("meta"):
        backbone, features = build(name, input_size=input_size)
        images = torch.zeros(2, 3, input_size, input_size)
        head = torch.nn.Linear(features, 7)
        assert head(backbone.eval()(images)).shape == (2, 7)
        assert head(backbone.train()(images)).shape == (2, 7)


def test_regnet_gives_its_features() -> None:
    backbone, features = build("regnet_y_400mf", input_size=32)
    assert backbone.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, features)


def test_every_classification_model_of_torchvision_is_known() -> None:
    names = backbone_names()
    assert set(FAMILIES) <= set(names)
    assert len(names) >= 80
    assert not any(name.startswith(("fcn", "fasterrcnn", "raft", "quantized")) for name in names)


@pytest.mark.parametrize("name", ["vit_b_32", "maxvit_t"])
def test_attention_over_places_is_made_for_the_crop(name: str) -> None:
    with torch.device("meta"):
        backbone, features = build(name, input_size=448)
        assert backbone.eval()(torch.zeros(1, 3, 448, 448)).shape == (1, features)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_pretrained_networks_of_the_inception_family_normalise_as_they_were_trained(
    name: str,
) -> None:
    pretrained = torchvision.models.get_model(
        name, aux_logits=True, init_weights=False, transform_input=True
    ).eval()
    input_size = 32 if name == "googlenet" else 75
    images = torch.randn(2, 3, input_size, input_size, generator=torch.Generator().manual_seed(0))
    backbone, features = build_torchvision(name, pretrained=True, input_size=input_size)
    given = pretrained.state_dict()
    backbone.load_state_dict({key: given[key] for key in backbone.state_dict()})
    pretrained.set_submodule("fc", torch.nn.Identity())
    torch.testing.assert_close(backbone.eval()(images), pretrained(images))
    assert backbone.train()(images).shape == (2, features)


@pytest.mark.parametrize("input_size", [64, 100, 220])
def test_maxvit_names_sizes_that_work(input_size: int) -> None:
    with pytest.raises(UserError) as caught, torch.device("meta"):
        build("maxvit_t", input_size=input_size)
    sizes = re.findall(r"such as (\d+) or (\d+),", str(caught.value))[0]
    for size in map(int, sizes):
        with torch.device("meta"):
            backbone, features = build("maxvit_t", input_size=size)
            assert backbone.eval()(torch.zeros(1, 3, size, size)).shape == (1, features)


def test_unknown_backbone_is_refused_with_those_there_are() -> None:
    with pytest.raises(UserError) as caught:
        build("resnet19", input_size=224)
    sentence = str(caught.value)
    assert "backbone.name 'resnet19' is unknown" in sentence
    assert all(name in sentence for name in ("compact", "resnet18", "mobilenet_v2"))
