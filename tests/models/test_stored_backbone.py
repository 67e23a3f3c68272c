from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from builders.backbones import SMALL, random_weights, write_random_backbone
from builders.tiny import tiny_params, write_split
from torch import Tensor, nn

from classifier.core.errors import UserError
from classifier.models.backbones.architectures import build_architecture
from classifier.models.backbones.backbone_description import DESCRIPTION, HEAD, WEIGHTS
from classifier.models.weights.pretrained import write_backbone
from classifier.models.weights.stored_backbone import (
    PretrainedHead,
    StoredBackbone,
    StoredWeights,
    build_stored,
    read_backbone,
    read_head,
    save_head,
)
from classifier.processing.spec import BackboneSpec
from classifier.training.setup import learner, prepare

BACKBONE = Path("data/backbone")


def test_stored_backbone_has_the_tensors_and_parameters_of_its_network(tmp_path: Path) -> None:
    write_random_backbone(tmp_path)
    _, weights = read_backbone(tmp_path / BACKBONE)
    assert weights is not None

    def build(tensors: Mapping[str, Tensor]) -> nn.Module:
        network, _ = build_architecture(SMALL, pretrained=True, input_size=32)
        network.load_state_dict(tensors)
        return network

    stored = StoredBackbone(weights, build)
    network = build_stored(stored)
    assert not network.training
    for part in ("named_parameters", "named_buffers"):
        of_stored, of_network = (dict(getattr(one, part)()) for one in (stored, network))
        assert of_stored.keys() == of_network.keys()
        assert all(torch.equal(of_stored[name], of_network[name]) for name in of_stored)


def test_network_may_have_a_part_of_any_name() -> None:
    assert not {name for name in dir(StoredBackbone) if name not in dir(nn.Module)}
    weights = {f"{name}.0.weight": torch.ones(2) for name in ("network", "build")}
    stored = StoredBackbone(StoredWeights(weights, {}), lambda _: nn.Identity())
    assert stored.state_dict().keys() == weights.keys()


@pytest.mark.parametrize("freeze", ["backbone", "blocks.0"])
def test_weights_for_images_of_another_size_are_refused_before_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, freeze: str
) -> None:
    monkeypatch.chdir(tmp_path)
    dataset = write_split(tmp_path / "data/split", stored_size=64)
    weights = random_weights(tmp_path / "weights.safetensors", "timm/test_vit", input_size=160)
    write_backbone(weights, BACKBONE)
    params = tiny_params(epochs=1, model={"freeze": freeze})
    with pytest.raises(UserError, match=r"are for images of 160x160.* set train\.input_size: 160"):
        learner(prepare(params, dataset, torch.device("cpu")), params)


@pytest.mark.parametrize("name", [DESCRIPTION, WEIGHTS])
def test_missing_file_is_named(tmp_path: Path, name: str) -> None:
    write_random_backbone(tmp_path)
    (tmp_path / BACKBONE / name).unlink()
    with pytest.raises(UserError, match=rf"{name} is missing: run `dvc repro backbone`"):
        read_backbone(tmp_path / BACKBONE)


@pytest.mark.parametrize("name", [DESCRIPTION, WEIGHTS])
def test_damaged_file_is_refused(tmp_path: Path, name: str) -> None:
    write_random_backbone(tmp_path)
    path = tmp_path / BACKBONE / name
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match="holds no readable backbone"):
        read_backbone(tmp_path / BACKBONE)


def test_weights_of_another_run_are_refused(tmp_path: Path) -> None:
    write_random_backbone(tmp_path)
    description = (tmp_path / BACKBONE / DESCRIPTION).read_bytes()
    write_backbone(random_weights(tmp_path / "other", "squeezenet1_1"), tmp_path / BACKBONE)
    (tmp_path / BACKBONE / DESCRIPTION).write_bytes(description)
    with pytest.raises(UserError, match="is not the file that"):
        read_backbone(tmp_path / BACKBONE)


def test_last_layer_of_the_weights_is_kept(tmp_path: Path) -> None:
    write_random_backbone(tmp_path)
    spec, _ = read_backbone(tmp_path / BACKBONE)
    assert read_head(tmp_path / BACKBONE, spec) is None  # these weights have none
    head = PretrainedHead(np.ones((9, 4), np.float32), np.arange(9, dtype=np.float32))
    save_head(head, tmp_path / BACKBONE)
    read = read_head(tmp_path / BACKBONE, spec)
    assert read is not None
    assert all(np.array_equal(one, other) for one, other in zip(read, head, strict=True))


def test_last_layer_of_other_weights_than_the_models_is_refused(tmp_path: Path) -> None:
    write_random_backbone(tmp_path)
    spec, _ = read_backbone(tmp_path / BACKBONE)
    other = spec.model_copy(update={"sha256": "0" * 64})
    with pytest.raises(UserError, match=r"holds other pretrained weights .*: run `dvc repro`"):
        read_head(tmp_path / BACKBONE, other)


@pytest.mark.parametrize("content", [None, b"nothing"])
def test_missing_and_damaged_last_layers_are_reported(
    tmp_path: Path, content: bytes | None
) -> None:
    write_random_backbone(tmp_path)
    spec, _ = read_backbone(tmp_path / BACKBONE)
    path = tmp_path / BACKBONE / HEAD
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(UserError, match=r"head\.safetensors is missing|no readable backbone"):
        read_head(tmp_path / BACKBONE, spec)


def test_random_weights_have_no_last_layer(tmp_path: Path) -> None:
    spec = BackboneSpec(name="compact", mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    assert read_head(tmp_path, spec) is None
