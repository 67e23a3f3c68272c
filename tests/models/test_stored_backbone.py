from pathlib import Path

import pytest
import torch
from builders.library import copy_library, edit
from torch import nn

from classifier.core import code
from classifier.core.cache import cache_folder
from classifier.models.stored_backbone import StoredBackbone, stored_backbone


def build() -> tuple[nn.Module, int]:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), 4


# The module whose code makes the backbone.
build.__module__ = "classifier.models.network"


def stored(name: str = "net") -> nn.Module:
    return stored_backbone({"name": name}, build, build)[0]


def test_second_time_the_weights_come_from_the_cache() -> None:
    first, second = stored(), stored()
    assert not isinstance(first, StoredBackbone)
    assert isinstance(second, StoredBackbone)
    assert first.state_dict().keys() == second.state_dict().keys()
    assert all(
        torch.equal(first.state_dict()[key], second.state_dict()[key]) for key in first.state_dict()
    )


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("models/stored_backbone.py", True),
        ("models/network.py", True),
        ("models/backbones.py", True),
        ("core/cache.py", True),
        ("models/extractor.py", False),
        ("serving/app.py", False),
    ],
)
def test_backbone_is_built_again_when_the_code_that_builds_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, changes: bool
) -> None:
    library = copy_library(tmp_path / "copy")
    monkeypatch.setattr(code, "ROOT", library)
    stored()
    edit(library / "classifier" / file)
    stored()
    assert len(list(cache_folder("backbones").iterdir())) == 1 + changes


def test_backbones_of_other_names_are_kept_apart() -> None:
    stored("one")
    stored("two")
    assert len(list(cache_folder("backbones").iterdir())) == 2
