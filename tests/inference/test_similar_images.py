"""Training images that travel with a model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest
from builders.colours import ALIKE, image_of, rewrite, write_models

from classifier.commands.main import main
from classifier.core.errors import UserError
from classifier.inference.predict import load_model


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return write_models(tmp_path / "models", with_similar=True)


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
@pytest.mark.parametrize("tta", [False, True])
def test_answer_names_the_most_similar_first(models: Path, runtime: Any, tta: bool) -> None:
    if runtime == "openvino":
        pytest.importorskip("openvino", reason="the extra openvino is not installed")
    answer = load_model(models, runtime=runtime, tta=tta).predict(image_of("red"))
    assert [one.path for one in answer.similar] == [
        *("red/d.png", "red/a.png", "blue/e.png", "green/b.png")
    ]
    assert [one.label for one in answer.similar] == ["red", "red", "blue", "green"]
    assert [one.similarity for one in answer.similar] == pytest.approx([1.0, 0.8, 0.3, 0.0])
    assert [one.tile for one in answer.similar] == [3, 0, 4, 1]


def test_each_image_of_a_list_has_its_own(models: Path) -> None:
    answers = load_model(models).predict([image_of("blue"), image_of("green")])
    assert [answer.similar[0].path for answer in answers] == ["blue/c.png", "green/b.png"]


def test_model_without_any_names_none(tmp_path: Path) -> None:
    model = load_model(write_models(tmp_path / "models"))
    assert model.predict(image_of("red")).similar == ()


def test_predict_prints_them_as_json(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sea.png").write_bytes(image_of("blue"))
    main(["predict", "--json", "--models", str(models), str(tmp_path / "sea.png")])
    first = json.loads(capsys.readouterr().out)["similar"][0]
    assert first == {"path": "blue/c.png", "label": "blue", "similarity": 0.9, "tile": 2}


@pytest.mark.parametrize("wrong", [np.nan, None])
def test_network_whose_similarities_are_no_numbers_or_no_table_is_refused(
    models: Path, wrong: float | None
) -> None:
    network = onnx.load_from_string((models / "export/model.onnx").read_bytes())
    (alike,) = (one for one in network.graph.initializer if one.name == "alike")
    values = onnx.numpy_helper.to_array(alike)
    changed = values[:, 0] if wrong is None else np.full_like(values, wrong)
    alike.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(changed), "alike"))
    if wrong is None:
        network.graph.output[1].type.tensor_type.shape.dim.pop()
    rewrite(models / "export", "model.onnx", network.SerializeToString())
    with pytest.raises(UserError, match=r"similar\.json is not of this model"):
        load_model(models)


def test_unknown_runtime_is_a_sentence(models: Path) -> None:
    with pytest.raises(UserError, match="runtime is 'auto': choose one of onnx, openvino, cuda"):
        load_model(models, runtime=cast("Any", "auto"))


def one_less(content: dict[str, Any]) -> None:
    content["paths"].pop()
    content["labels"].pop()


def class_too_many(content: dict[str, Any]) -> None:
    content["labels"][0] = 3


def class_below(content: dict[str, Any]) -> None:
    content["labels"][0] = -1


def path_too_many(content: dict[str, Any]) -> None:
    content["paths"].append("a.png")


def huge_tiles(content: dict[str, Any]) -> None:
    content["side"] = 10**12


def no_columns(content: dict[str, Any]) -> None:
    content["columns"] = 0


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (one_less, "names 4 training images, the network compares with 5"),
        (class_too_many, "each must be of one of 3 classes"),
        (class_below, "there is not a class for each path"),
        (path_too_many, "there is not a class for each path"),
        (no_columns, "columns: "),
        (huge_tiles, "side: "),
    ],
)
def test_list_that_does_not_fit_is_refused(
    models: Path, damage: Callable[[dict[str, Any]], None], said: str
) -> None:
    content = json.loads((models / "export/similar.json").read_bytes())
    assert content["paths"] == [*ALIKE]
    damage(content)
    rewrite(models / "export", "similar.json", json.dumps(content).encode())
    with pytest.raises(UserError, match=said) as caught:
        load_model(models)
    assert "run the export stage again" in str(caught.value)
