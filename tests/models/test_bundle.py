import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from builders.backbones import backbone_spec
from builders.tiny import CLASSES, contents, tiny_bundle
from safetensors.torch import save_file

from classifier.core.errors import UserError
from classifier.models.bundle import WEIGHTS, load_bundle, save_bundle
from classifier.processing.images import Preprocessing
from classifier.processing.spec import DESCRIPTION


def noise(size: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (3, size, size, 3), dtype=torch.uint8, generator=generator)


def change_description(folder: Path, **changes: Any) -> None:
    path = folder / DESCRIPTION
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), "utf-8")


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        load_bundle(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "model",
    [
        {},
        {"head": {"hidden": 5, "dropout": 0.5}},
        {"backbone": backbone_spec("shufflenet_v2_x0_5"), "stem": "small"},
        {"backbone": backbone_spec("mnasnet0_5")},
    ],
)
def test_loaded_model_gives_the_very_logits_of_the_saved_one(
    tmp_path: Path, model: dict[str, Any]
) -> None:
    saved = tiny_bundle(tmp_path, input_size=8, **model)
    bundle = load_bundle(tmp_path)
    assert not bundle.model.training
    assert torch.equal(bundle.model(noise(8)), saved(noise(8)))


def test_network_that_has_a_module_in_two_places_is_saved(tmp_path: Path) -> None:
    saved = tiny_bundle(tmp_path, input_size=224, backbone=backbone_spec("timm/coat_tiny"))
    places = [tensor.data_ptr() for tensor in saved.state_dict().values() if tensor.numel()]
    assert len(set(places)) < len(places)
    assert torch.equal(load_bundle(tmp_path).model(noise(224)), saved(noise(224)))


def test_description_says_all_that_prediction_needs(tmp_path: Path) -> None:
    tiny_bundle(tmp_path, stored_size=10, input_size=8)
    spec = load_bundle(tmp_path).spec
    assert (spec.classes, spec.input_size, spec.temperature) == (CLASSES, 8, 1.0)
    assert spec.preprocessing == Preprocessing(10, "crop")
    assert spec.mean == (120.0, 110.0, 100.0)
    stored = json.loads((tmp_path / DESCRIPTION).read_text("utf-8"))
    assert list(stored) == [
        "backbone",
        "classes",
        "stored_size",
        "resize",
        "white_level",
        "max_pixels",
        "input_size",
        "mean",
        "std",
        "temperature",
        "params",
        "dataset",
        "divisions",
    ]
    assert stored["params"]["optimizer"]["name"] == "adamw"


def test_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        tiny_bundle(tmp_path / name)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_bundle_saved_again_after_loading_is_the_same(tmp_path: Path) -> None:
    tiny_bundle(tmp_path / "a")
    bundle = load_bundle(tmp_path / "a")
    save_bundle(bundle.model, bundle.spec, tmp_path / "b")
    again = contents(tmp_path / "b")
    assert sorted(again) == [DESCRIPTION, WEIGHTS]
    assert again.items() <= contents(tmp_path / "a").items()


def test_pretrained_model_is_loaded_without_the_network_and_its_first_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    saved = tiny_bundle(
        tmp_path,
        input_size=32,
        backbone=backbone_spec("shufflenet_v2_x0_5", pretrained=True),
        freeze="backbone",
    )
    loaded = load_bundle(tmp_path).model
    assert loaded.backbone_is_frozen
    assert torch.equal(loaded(noise(32)), saved(noise(32)))


@pytest.mark.parametrize("name", [WEIGHTS, DESCRIPTION])
def test_missing_file_is_named(tmp_path: Path, name: str) -> None:
    tiny_bundle(tmp_path)
    (tmp_path / name).unlink()
    assert f"{name} is missing: run the train stage" in refusal(tmp_path)


@pytest.mark.parametrize("name", [WEIGHTS, DESCRIPTION])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_file_that_is_cut_short_is_refused(tmp_path: Path, name: str, share: float) -> None:
    tiny_bundle(tmp_path)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(len(content) * share)])
    assert "holds no readable model" in refusal(tmp_path)


@pytest.mark.parametrize("content", ["[]", "{}", '"text"', '{"classes": 5}', "\xff"])
def test_foreign_description_is_refused(tmp_path: Path, content: str) -> None:
    tiny_bundle(tmp_path)
    (tmp_path / DESCRIPTION).write_bytes(content.encode("latin-1"))
    assert "holds no readable model" in refusal(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"added": 1},
        {"mean": [1.0, 2.0]},
        {"resize": "squeeze"},
        {"params": {}},
        {"params": {"model": {}}},
        {"params": {"model": {"freeze": "none"}}},
        {"backbone": "compact"},
        {"backbone": {"name": "compact"}},
    ],
)
def test_description_of_another_version_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    tiny_bundle(tmp_path)
    change_description(tmp_path, **changes)
    assert "holds no readable model" in refusal(tmp_path)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    tiny_bundle(tmp_path)
    save_file({"layer.weight": torch.zeros(2)}, tmp_path / WEIGHTS)
    assert "describe different networks" in refusal(tmp_path)


def test_weights_for_other_classes_are_refused(tmp_path: Path) -> None:
    tiny_bundle(tmp_path)
    change_description(tmp_path, classes=["a", "b"])
    assert "describe different networks" in refusal(tmp_path)


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (self._path, "boom")


def test_pickle_in_place_of_the_weights_is_refused_and_not_run(tmp_path: Path) -> None:
    tiny_bundle(tmp_path / "models")
    (tmp_path / "models" / WEIGHTS).write_bytes(pickle.dumps(Bomb(tmp_path / "boom")))
    assert "holds no readable model" in refusal(tmp_path / "models")
    assert not (tmp_path / "boom").exists()
