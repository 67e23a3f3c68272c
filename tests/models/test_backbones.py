from pathlib import Path

import pytest
import torch
import torchvision

from classifier.core.errors import UserError
from classifier.models.backbones import backbone_names, build_backbone

SHARED_WEIGHTS = Path(__file__).parents[2] / "shared/weights"
MOBILENET_FILE = "hub/checkpoints/mobilenet_v2-b0353104.pth"
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


def build(name: str, *, input_size: int, weights: str | None = None) -> tuple[torch.nn.Module, int]:
    return build_backbone(
        name,
        weights=weights,
        load_weights=weights is not None,
        small_stem=False,
        input_size=input_size,
    )


@pytest.fixture
def torch_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for torchvision's weights, and no network."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    return tmp_path


def put_weights(torch_home: Path, name: str, weights: str, network: torch.nn.Module) -> None:
    """Write the network's weights where torchvision looks for the pretrained ones."""
    url = torchvision.models.get_model_weights(name)[weights].url
    path = torch_home / "hub/checkpoints" / Path(url).name
    path.parent.mkdir(parents=True)
    torch.save(network.state_dict(), path)


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


def test_pretrained_weights_are_those_of_torchvisions_file(torch_home: Path) -> None:
    name, weights = "shufflenet_v2_x0_5", "IMAGENET1K_V1"
    torch.manual_seed(1)
    pretrained = torchvision.models.get_model(name)
    put_weights(torch_home, name, weights, pretrained)
    backbone, _ = build(name, input_size=224, weights=weights)
    loaded, expected = backbone.state_dict(), pretrained.state_dict()
    assert set(expected) - set(loaded) == {"fc.weight", "fc.bias"}
    assert all(torch.equal(value, expected[key]) for key, value in loaded.items())


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_pretrained_networks_of_the_inception_family_normalise_as_they_were_trained(
    torch_home: Path, name: str
) -> None:
    pretrained = torchvision.models.get_model(
        name, aux_logits=True, init_weights=False, transform_input=True
    ).eval()
    put_weights(torch_home, name, "IMAGENET1K_V1", pretrained)
    input_size = 32 if name == "googlenet" else 75
    images = torch.randn(2, 3, input_size, input_size, generator=torch.Generator().manual_seed(0))
    backbone, features = build(name, input_size=input_size, weights="IMAGENET1K_V1")
    pretrained.set_submodule("fc", torch.nn.Identity())
    torch.testing.assert_close(backbone.eval()(images), pretrained(images))
    assert backbone.train()(images).shape == (2, features)


def test_weights_that_cannot_be_downloaded_are_reported_with_the_ways_out(torch_home: Path) -> None:
    with pytest.raises(UserError) as caught:
        build("shufflenet_v2_x0_5", input_size=224, weights="IMAGENET1K_V1")
    sentence = str(caught.value)
    ways_out = ("shufflenet_v2_x0_5", "TORCH_HOME", "train.model.weights: null")
    assert all(part in sentence for part in ways_out), sentence
    assert "\n" not in sentence


def test_damaged_weights_are_reported_with_where_they_are(torch_home: Path) -> None:
    put_weights(torch_home, "resnet18", "IMAGENET1K_V1", torchvision.models.resnet18())
    (path,) = (torch_home / "hub/checkpoints").iterdir()
    path.write_bytes(path.read_bytes()[:100_000])
    with pytest.raises(UserError, match=r"cannot be read .+ delete their file in .+checkpoints"):
        build("resnet18", input_size=32, weights="IMAGENET1K_V1")


def test_weights_are_not_read_for_a_network_that_is_filled_from_a_bundle(torch_home: Path) -> None:
    with torch.device("meta"):
        build_backbone(
            "resnet18",
            weights="IMAGENET1K_V1",
            load_weights=False,
            small_stem=False,
            input_size=224,
        )


def test_unknown_backbone_is_refused_with_those_there_are() -> None:
    with pytest.raises(UserError) as caught:
        build("resnet19", input_size=224)
    sentence = str(caught.value)
    assert "train.model.backbone 'resnet19' is unknown" in sentence
    assert all(name in sentence for name in ("compact", "resnet18", "mobilenet_v2"))


def test_unknown_weights_are_refused_with_those_there_are() -> None:
    with pytest.raises(UserError) as caught:
        build("mobilenet_v2", input_size=224, weights="IMAGENET1K_V9")
    sentence = str(caught.value)
    assert "train.model.weights 'IMAGENET1K_V9'" in sentence
    assert "null or one of IMAGENET1K_V1, IMAGENET1K_V2" in sentence


@pytest.mark.shared
@pytest.mark.skipif(
    not (SHARED_WEIGHTS / MOBILENET_FILE).exists(), reason="the real weights are not there"
)
def test_real_weights_of_mobilenet_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(SHARED_WEIGHTS))
    backbone, features = build("mobilenet_v2", input_size=224, weights="IMAGENET1K_V1")
    stored = torch.load(SHARED_WEIGHTS / MOBILENET_FILE, weights_only=True)
    loaded = backbone.state_dict()
    assert features == 1280
    assert set(stored) - set(loaded) == {"classifier.1.weight", "classifier.1.bias"}
    assert all(torch.equal(value, stored[key]) for key, value in loaded.items() if key in stored)
