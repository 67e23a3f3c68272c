from pathlib import Path

import pytest
import torch
from builders.backbones import SMALL, random_weights, write_random_backbone

from classifier.core.errors import UserError
from classifier.models.architectures import build_architecture
from classifier.models.backbone_description import DESCRIPTION, WEIGHTS
from classifier.models.pretrained import write_backbone
from classifier.models.stored_backbone import StoredBackbone, read_backbone

BACKBONE = Path("data/backbone")


def test_stored_backbone_has_the_tensors_and_parameters_of_its_network(tmp_path: Path) -> None:
    write_random_backbone(tmp_path)
    _, weights = read_backbone(tmp_path / BACKBONE)
    assert weights is not None
    stored = StoredBackbone(
        weights, lambda: build_architecture(SMALL, pretrained=True, input_size=32)[0]
    )
    network = stored.network()
    assert not network.training
    for part in ("named_parameters", "named_buffers"):
        of_stored, of_network = (dict(getattr(one, part)()) for one in (stored, network))
        assert of_stored.keys() == of_network.keys()
        assert all(torch.equal(of_stored[name], of_network[name]) for name in of_stored)


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
