"""Pretrained networks in the train stage: the head alone, and all layers after it."""

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from builders.backbones import write_random_backbone
from builders.tiny import contents, tiny_section, write_project

from classifier.core.errors import UserError
from classifier.core.params_edit import flatten
from classifier.models.bundle import load_bundle
from classifier.models.extractor import FeatureExtractor
from classifier.processing.idle_knobs import idle_knobs
from classifier.processing.views import View
from stages import train

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training never opens a connection."""

    def refuse(*_: object) -> None:
        raise AssertionError("training has used the network")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)


class Project(NamedTuple):
    """A folder to train in, and the pretrained weights in it."""

    folder: Path
    pretrained: dict[str, torch.Tensor]


def project(folder: Path, *, model: dict[str, Any] | None = None, **changes: Any) -> Project:
    write_project(folder, tiny_section(model=model or {}, **changes))
    return Project(folder, write_random_backbone(folder))


def run_in(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.chdir(folder)
    torch.set_num_threads(1)
    train.main()


def outputs(folder: Path) -> dict[str, bytes]:
    return {
        **contents(folder / "models"),
        **contents(folder / "results", without="timing.json"),
    }


def test_frozen_backbone_is_in_the_bundle_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, pretrained = project(tmp_path / "project", model={"freeze": "backbone"})
    run_in(folder, monkeypatch)
    bundle = load_bundle(folder / "models")
    for key, value in bundle.model.backbone.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), pretrained[key].numpy())
    metrics = pd.read_json(folder / "results/train/metrics.json", typ="series")
    assert metrics["trainable_parameters"] == 1024 * 3 + 3


@pytest.mark.parametrize(
    ("optimizer", "changes"),
    [
        ("adamw", {"grad_accumulation_steps": 4, "optimizer": {"layer_decay": 0.5}}),
        ("muon", {"optimizer": {"lr": 0.3, "momentum": 0.1, "fixed_norm": True}}),
    ],
)
def test_knobs_that_are_idle_with_a_frozen_backbone_change_no_weight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str, changes: dict[str, Any]
) -> None:
    frozen = {"model": {"freeze": "backbone"}, "epochs": 1, "augment": {"flip": 0.0}}
    plain = {"optimizer": {"name": optimizer}}
    changed = changes | {"optimizer": changes["optimizer"] | plain["optimizer"]}
    idle = idle_knobs(tiny_section(**frozen, **plain))
    assert {*flatten(changes)} <= {*idle}
    made = []
    for number, section in enumerate((plain, changed)):
        folder, _ = project(tmp_path / str(number), **frozen, **section)
        run_in(folder, monkeypatch)
        made.append((folder / "models/model.safetensors").read_bytes())
    assert made[0] == made[1]


def test_second_run_of_a_frozen_backbone_gives_the_same_without_building_the_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = project(tmp_path / "project", model={"freeze": "backbone"}, feature_views=1)
    run_in(folder, monkeypatch)
    first = outputs(folder)
    # Neither torchvision and timm nor PyTorch's compiler, which take seconds to import.
    program = (
        "import sys, torch; torch.set_num_threads(1); from stages import train; train.main(); "
        "assert not {'torchvision', 'timm', 'torch._dynamo'} & set(sys.modules)"
    )
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert outputs(folder) == first


def test_the_temperature_of_a_frozen_backbone_needs_no_features_but_those_of_validation(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    computed: list[str] = []
    compute = FeatureExtractor._compute

    def note(self: FeatureExtractor, images: Any, rows: np.ndarray, view: View) -> np.ndarray:
        computed.append(f"{len(rows)} {view.name}")
        return compute(self, images, rows, view)

    monkeypatch.setattr(FeatureExtractor, "_compute", note)
    folder, _ = project(tmp_path / "project", model={"freeze": "backbone"})
    run_in(folder, monkeypatch)
    assert computed == ["12 identity", "36 identity"]
    assert "fitted on 12 validation images" in capsys.readouterr().out


def test_head_is_trained_before_the_other_layers_join_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    constant = {"name": "constant", "warmup_epochs": 0.0}
    frozen = {"freeze": "backbone"}
    alone, pretrained = project(tmp_path / "alone", model=frozen, epochs=2, lr_scheduler=constant)
    both, _ = project(tmp_path / "both", linear_probe_epochs=2, epochs=1, lr_scheduler=constant)
    run_in(alone, monkeypatch)
    run_in(both, monkeypatch)
    history = pd.read_csv(both / "results/train/history.csv")
    head_alone = pd.read_csv(alone / "results/train/history.csv")
    assert history["epoch"].to_list() == [1, 2, 3]
    pd.testing.assert_frame_equal(history[:2], head_alone)
    # Then the backbone has moved.
    state = load_bundle(both / "models").model.backbone.state_dict()
    assert any((state[key] != pretrained[key]).any() for key in state if key.endswith("weight"))


def test_frozen_backbone_is_refused_under_torchrun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = project(tmp_path / "project", model={"freeze": "backbone"})
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    with pytest.raises(UserError, match="start the stage without torchrun"):
        run_in(folder, monkeypatch)
