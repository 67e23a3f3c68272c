"""Model folders of an attacker, whose manifest agrees with the files in it."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders.colours import CLASSES, CROP, colours_onnx, npy, rewrite, write_models

from classifier.commands.verify import main as verify
from classifier.core.errors import UserError
from classifier.inference.golden_reader import read_golden
from classifier.inference.manifest import MANIFEST, read_exported, read_manifest
from classifier.inference.predict import load_model


@pytest.fixture
def export(tmp_path: Path) -> Path:
    return write_models(tmp_path) / "export"


def edit(export: Path, file: str, **changes: Any) -> None:
    """Change values of a JSON file; what is given as `...` is removed."""
    content = json.loads((export / file).read_bytes()) | changes
    kept = {key: value for key, value in content.items() if value is not ...}
    rewrite(export, file, json.dumps(kept).encode())


def refusals(export: Path) -> list[str]:
    """What `load_model` with views and `verify` say; each must refuse with a sentence."""
    said = []
    for program in (lambda: load_model(export, tta=True), lambda: verify([str(export)])):
        with pytest.raises(UserError) as caught:
            program()
        said.append(str(caught.value))
    assert all(text.isprintable() for text in said)
    return said


@pytest.mark.parametrize(
    "changes",
    [
        {"temperature": "0.5"},
        {"temperature": True},
        {"white_level": "65535"},
        {"max_pixels": True},
        {"stored_size": 8.0},
        {"mean": ["0", "0", "0"]},
        {"std": [True, True, True]},
    ],
)
def test_what_is_no_number_is_refused_in_place_of_one(
    export: Path, changes: dict[str, Any]
) -> None:
    edit(export, "model.json", **changes)
    (export.parent / "model.json").write_bytes((export / "model.json").read_bytes())
    wanted = f"{next(iter(changes))}.* valid (number|integer)"
    with pytest.raises(UserError, match=wanted):
        load_model(export)
    with pytest.raises(UserError, match=wanted):
        load_model(export.parent, runtime="torch")
    with pytest.raises(UserError):
        verify([str(export)])


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("decision.json", {"outside_above": True}),
        ("decision.json", {"sets": {"coverage": "0.9", "thresholds": [0.1, 0.1, 0.1]}}),
        (
            "decision.json",
            {"costs": {"reject": None, "errors": [[0, -1, 1], [1, 0, 1], [1, 1, 0]]}},
        ),
        ("decision.json", {"costs": {"reject": None, "errors": [[5, 1, 1], [1, 0, 1], [1, 1, 0]]}}),
        ("tta.json", {"views": ["identity", 1]}),
    ],
)
def test_rules_and_views_that_predict_refuses_are_refused_by_verify_too(
    export: Path, file: str, changes: dict[str, Any]
) -> None:
    edit(export, file, **changes)
    refusals(export)


@pytest.mark.parametrize(
    "classes",
    [
        ["red", "green"],
        [*CLASSES, "violet"],
        ["red", "red", "blue"],
        ["red", "", "blue"],
        ["red", "\x1b]0;gone\x07", "blue"],
        ["red", "unknown", "blue"],
        [1, 2, 3],
        "red",
        [],
    ],
)
def test_classes_that_do_not_fit_the_network_are_refused(export: Path, classes: object) -> None:
    edit(export, "model.json", classes=classes)
    refusals(export)


@pytest.mark.parametrize("temperature", [-1, 0, 10**400, float("nan"), float("inf"), "hot", ...])
def test_temperature_that_is_none_is_refused(export: Path, temperature: object) -> None:
    edit(export, "model.json", temperature=temperature)
    refusals(export)


@pytest.mark.parametrize("size", [-8, 0, CROP - 1, CROP + 1, 40_000, 1e9])
def test_sizes_that_the_network_does_not_take_are_refused(export: Path, size: float) -> None:
    edit(export, "model.json", input_size=size)
    refusals(export)


@pytest.mark.parametrize("size", [-8, 0, CROP - 1, 40_000])
def test_stored_size_out_of_range_is_refused(export: Path, size: int) -> None:
    edit(export, "model.json", stored_size=size)
    with pytest.raises(UserError, match="describes no model"):
        load_model(export)


def test_golden_images_of_other_classes_are_refused(export: Path) -> None:
    edit(export, "model.json", classes=["rouge", "vert", "bleu"])
    with pytest.raises(UserError, match=r"classes or temperature are not those of model\.json"):
        read_golden(export)


DAMAGE: dict[str, Callable[[Path], None]] = {
    "cut": lambda export: rewrite(export, "golden.json", b'{"classes": ['),
    "a list": lambda export: rewrite(export, "golden.json", b"[]"),
    "lists in lists": lambda export: rewrite(export, "golden.json", b"[" * 100_000),
    "empty": lambda export: rewrite(export, "golden.json", b""),
    "no text": lambda export: rewrite(export, "golden.json", b"\xff\xfe"),
    "no probabilities": lambda export: edit(export, "golden.json", probabilities=...),
    "one image": lambda export: edit(
        export, "golden.json", probabilities={"model.onnx": [[1, 0, 0]]}
    ),
    "ragged": lambda export: edit(
        export, "golden.json", probabilities={"model.onnx": [[1, 0, 0], [1], []]}
    ),
    "no merge": lambda export: edit(export, "golden.json", merge="median"),
    "no views": lambda export: edit(export, "golden.json", tta_probabilities=3),
    "other images": lambda export: rewrite(export, "golden.npy", npy(np.zeros((3, 4, 4, 3)))),
    "no array": lambda export: rewrite(export, "golden.npy", b"\x93NUMPY\x01\x00"),
    "a vast array": lambda export: rewrite(
        export, "golden.npy", npy(np.zeros(1, np.uint8)).replace(b"(1,)", b"(9999999999999,)")
    ),
    "pickled": lambda export: rewrite(
        export, "golden_tta.npy", npy(np.array([1], np.uint8)).replace(b"|u1", b"|O8")
    ),
    "a vast probability": lambda export: edit(
        export, "golden.json", probabilities={"model.onnx": [[10**400, 0, 0]] * 3}
    ),
    "rules of text": lambda export: edit(export, "decision.json", reject_below="0.5"),
    "rules of other classes": lambda export: edit(
        export, "decision.json", costs={"reject": 1, "errors": [[0, 1], [1, 0]]}
    ),
    "rules without an end": lambda export: rewrite(export, "decision.json", b'{"reject_below":'),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_damaged_golden_images_are_a_sentence(export: Path, damage: Callable[[Path], None]) -> None:
    damage(export)
    with pytest.raises(UserError, match="damaged"):
        read_golden(export)


def test_prediction_sets_of_other_classes_are_refused(export: Path) -> None:
    edit(export, "decision.json", sets={"coverage": 0.9, "thresholds": [0.1, 0.1]})
    with pytest.raises(UserError, match="is for 2 classes, but the model has 3"):
        load_model(export)


def test_ten_thousand_views_are_refused(export: Path) -> None:
    rewrite(
        export,
        "tta.json",
        json.dumps({"views": ["flip"] * 10_000, "merge": "probabilities"}).encode(),
    )
    with pytest.raises(UserError, match=r"tta\.json is damaged"):
        load_model(export, tta=True)


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "a/b", "..", ".hidden", "a\\b", "a\x1b[2J", MANIFEST, ""]
)
def test_manifest_that_names_what_is_no_file_of_its_folder_is_refused(
    export: Path, name: str
) -> None:
    listed = json.loads((export / MANIFEST).read_bytes())
    listed["files"][name] = listed["files"]["model.json"]
    (export / MANIFEST).write_text(json.dumps(listed), "utf-8")
    refusals(export)


@pytest.mark.parametrize(
    ("key", "value"),
    [("tolerance", 1e9), ("tolerance", -1), ("tolerance", "1"), ("sha256", "0"), ("sha256", 7)],
)
def test_manifest_whose_check_would_mean_nothing_is_refused(
    export: Path, key: str, value: object
) -> None:
    listed = json.loads((export / MANIFEST).read_bytes())
    listed["files"]["model.onnx"][key] = value
    (export / MANIFEST).write_text(json.dumps(listed), "utf-8")
    with pytest.raises(UserError, match="is no manifest"):
        read_manifest(export)


def test_pipe_in_place_of_a_file_is_not_waited_for(export: Path) -> None:
    (export / "model.json").unlink()
    os.mkfifo(export / "model.json")
    with pytest.raises(UserError, match=r"model\.json is missing"):
        read_exported(export, "model.json")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_pipe_or_folder_in_place_of_the_manifest_is_refused(
    export: Path, make: Callable[[Path], None]
) -> None:
    (export / MANIFEST).unlink()
    make(export / MANIFEST)
    assert all("manifest.json is no file: run the export" in said for said in refusals(export))


def test_network_of_other_outputs_is_refused_though_its_hash_is_right(export: Path) -> None:
    rewrite(export, "model.onnx", colours_onnx(CROP + 2))
    assert "takes no images of 12 pixels" in refusals(export)[0]
