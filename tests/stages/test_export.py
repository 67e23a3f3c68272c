import hashlib
import io
import json
from pathlib import Path
from typing import Literal

import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from builders.exports import make_export_project, run_in
from builders.tiny import CLASSES, contents, tiny_bundle, write_rules
from onnx.shape_inference import InferenceError
from PIL import Image

from classifier.data.dataset import load_dataset
from classifier.export import int8_search
from classifier.export.reference import Reference
from classifier.inference.manifest import read_exported, read_manifest
from classifier.inference.measures import brightness
from classifier.inference.onnx_runtime import Predictor, load_onnx
from classifier.inference.predict import load_model
from classifier.monitoring.recorded import read_reference
from classifier.processing.decision import Decision

FILES = ["model.onnx", "model.pt2", "model.torchscript.pt", "model.int8.onnx"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which the stage has run."""
    folder = make_export_project(tmp_path_factory.mktemp("project"))
    with pytest.MonkeyPatch.context() as patch:
        run_in(folder, patch)
    return folder


def test_stage_writes_a_file_for_each_format_and_the_description(exported: Path) -> None:
    written = contents(exported / "models/export")
    assert list(written) == [
        "decision.json",
        "golden.json",
        "golden.npy",
        "golden_alpha.png",
        "golden_files.json",
        "golden_files.npy",
        "golden_grey.png",
        "golden_large.jpg",
        "golden_rotated.jpg",
        "golden_tta.npy",
        "manifest.json",
        "model.int8.onnx",
        "model.json",
        "model.onnx",
        "model.pt2",
        "model.torchscript.pt",
        "reference.json",
        "tta.json",
    ]
    for name in ("model.json", "decision.json", "tta.json"):
        assert written[name] == (exported / "models" / name).read_bytes()
    results = ["formats.csv", "int8_attempts.csv", "metrics.json", "timing.json"]
    assert list(contents(exported / "results/export")) == results


def test_manifest_vouches_for_every_other_file(exported: Path) -> None:
    folder = exported / "models/export"
    entries = read_manifest(folder)
    assert set(entries) == set(contents(folder)) - {"manifest.json"}
    for file, content in contents(folder, without="manifest.json").items():
        assert read_exported(folder, file) == content
    assert entries["model.pt2"].input == "uint8 (N, 8, 8, 3), RGB"
    assert entries["model.pt2"].output == "float32 (N, 3), logits"


def test_reference_values_are_those_of_the_test_split(exported: Path) -> None:
    reference = read_reference(exported / "models")
    dataset = load_dataset(exported / "data/split")
    rows = dataset.rows("test")
    assert reference.confusion.sum(axis=1).tolist() == np.bincount(dataset.labels[rows]).tolist()
    assert list(reference.values.measures) == ["confidence", "brightness", "width", "height"]
    grey = brightness(dataset.images[rows])
    np.testing.assert_allclose(reference.values.measures["brightness"], np.sort(grey), atol=1e-4)
    answers = read_manifest(exported / "models/export")["model.onnx"].sha256[:12]
    assert answers in reference.versions


@pytest.mark.parametrize(("runtime", "int8"), [("onnx", False), ("onnx", True), ("torch", False)])
def test_answers_that_a_runtime_records_are_of_the_exported_model(
    exported: Path, runtime: Literal["onnx", "torch"], int8: bool
) -> None:
    served = load_model(exported / "models", runtime=runtime, int8=int8)
    assert served.version in read_reference(exported / "models").versions


def test_table_says_how_each_file_agrees(exported: Path) -> None:
    table = pd.read_csv(exported / "results/export/formats.csv").set_index("file")
    dataset = load_dataset(exported / "data/split")
    rows = dataset.rows("test")
    network = tiny_bundle(exported.parent / "again")
    predicted = network(torch.from_numpy(dataset.images[rows])).argmax(1).numpy()
    assert list(table.index) == FILES
    for file, row in table.iterrows():
        content = (exported / "models/export" / str(file)).read_bytes()
        assert row["sha256"] == hashlib.sha256(content).hexdigest()
        assert row["megabytes"] == len(content) / 1e6
        assert row["accuracy"] == pytest.approx((predicted == dataset.labels[rows]).mean())
        assert row["top1_agreement"] == 1
        assert 0 <= row["max_logit_difference"] < 1e-2


def test_metrics_are_few_and_those_of_the_table(exported: Path) -> None:
    metrics = json.loads((exported / "results/export/metrics.json").read_text("utf-8"))
    table = pd.read_csv(exported / "results/export/formats.csv").set_index("format")
    assert metrics == {
        "onnx_megabytes": table.loc["onnx", "megabytes"],
        "int8_accuracy": pytest.approx(table.loc["int8", "accuracy"]),
        "int8_megabytes": table.loc["int8", "megabytes"],
    }


def test_attempt_is_judged_on_the_validation_split(exported: Path) -> None:
    (attempt,) = pd.read_csv(exported / "results/export/int8_attempts.csv").to_dict("records")
    dataset = load_dataset(exported / "data/split")
    rows = dataset.rows("val")
    predict = load_onnx((exported / "models/export/model.int8.onnx").read_bytes(), 1)
    right = predict(dataset.images[rows]).logits.argmax(1) == dataset.labels[rows]
    assert attempt["calibration"] == "minmax"
    assert attempt["val_accuracy"] == pytest.approx(right.mean())
    assert attempt["published"]


def test_golden_labels_are_those_of_the_decision_that_travels(
    exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden = json.loads((exported / "models/export/golden.json").read_text("utf-8"))
    given = np.array(golden["probabilities"]["model.onnx"])
    threshold = round(float(np.median(given.max(axis=1))), 6)
    folder = make_export_project(tmp_path, formats=["onnx"])
    write_rules(folder / "models", reject_below=threshold)
    run_in(folder, monkeypatch)
    golden = json.loads((folder / "models/export/golden.json").read_text("utf-8"))
    expected = ["unknown" if row.max() < threshold else CLASSES[row.argmax()] for row in given]
    assert golden["labels"]["model.onnx"] == expected
    assert 0 < expected.count("unknown") < len(expected)


def test_golden_images_are_of_the_test_split_with_each_file_s_answers(exported: Path) -> None:
    folder = exported / "models/export"
    images = np.load(folder / "golden.npy")
    golden = json.loads((folder / "golden.json").read_text("utf-8"))
    dataset = load_dataset(exported / "data/split")
    known = {image.tobytes() for image in dataset.images[dataset.rows("test")]}
    assert {image.tobytes() for image in images} <= known
    assert list(golden["probabilities"]) == list(golden["tta_probabilities"]) == FILES
    for answers in [*golden["probabilities"].values(), *golden["tta_probabilities"].values()]:
        assert np.shape(answers) == (8, 3)
        np.testing.assert_allclose(np.sum(answers, axis=1), 1, atol=1e-5)


def test_int8_file_that_is_too_slow_is_not_published_and_none_of_an_earlier_run_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_export_project(tmp_path, int8={"min_speedup": 1e6})
    stale = folder / "models/export/model.int8.onnx"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"of an earlier run")
    run_in(folder, monkeypatch)
    assert "No int8 file: minmax" in capsys.readouterr().out
    assert not stale.exists()
    assert "model.int8.onnx" not in read_manifest(folder / "models/export")
    metrics = json.loads((folder / "results/export/metrics.json").read_text("utf-8"))
    assert not [name for name in metrics if name.startswith("int8")]


def test_int8_file_is_judged_by_the_threshold_of_the_outside_score_that_travels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_export_project(tmp_path)
    path = folder / "models/decision.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"outside_above": 3.5}), "utf-8")
    thresholds = []
    measure = Reference.validation_accuracy

    def measured(reference: Reference, predict: Predictor, decision: Decision) -> float:
        thresholds.append(decision.outside_above)
        return measure(reference, predict, decision)

    monkeypatch.setattr(Reference, "validation_accuracy", measured)
    run_in(folder, monkeypatch)
    assert thresholds == [3.5, 3.5]  # of the file in float, and of an attempt


def test_speeds_are_in_the_timing_alone(exported: Path) -> None:
    timing = json.loads((exported / "results/export/timing.json").read_text("utf-8"))
    for name in ("pytorch", "onnx", "torch_export", "torchscript", "int8"):
        assert timing[f"{name}_images_per_second"] > 0
        assert 0 < timing[f"{name}_milliseconds_p50"] <= timing[f"{name}_milliseconds_p95"]


def test_training_images_travel_where_they_are_asked_for_which_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make_export_project(tmp_path, similar_images=5)
    run_in(folder, monkeypatch)
    said = capsys.readouterr().out
    assert "The model takes 5 training images along, to show similar ones." in said
    written = contents(folder / "models/export")
    dataset = load_dataset(folder / "data/split")
    named = json.loads(written["similar.json"])
    rows = dataset.rows("train")
    assert len(named["paths"]) == 5
    assert set(named["paths"]) <= set(dataset.manifest["path"].iloc[rows])
    model = load_model(folder / "models")
    for tile, path in enumerate(named["paths"]):
        (row,) = np.flatnonzero(dataset.manifest["path"] == path)
        label = dataset.classes[dataset.labels[row]]
        (answer,) = model.answers(dataset.images[[row]])
        nearest = answer.similar[0]
        assert (nearest.path, nearest.label, nearest.tile) == (path, label, tile)
        assert nearest.similarity == pytest.approx(1, abs=1e-3)
        # Of a tile, JPEG keeps the mean.
        place = np.divmod(tile, named["columns"])
        (top, left), side = np.multiply(place, named["side"]), named["side"]
        sheet = np.asarray(Image.open(io.BytesIO(written["similar.jpg"])), float)
        shown = sheet[top : top + side, left : left + side].mean(axis=(0, 1))
        expected = dataset.images[[row]].astype(float).mean(axis=(0, 1, 2))
        assert shown == pytest.approx(expected, abs=4)
    gives = json.loads(written["manifest.json"])["files"]["model.onnx"]["output"]
    assert gives.endswith("; float32 (N, 5), similarities to training images")


def test_model_that_cannot_be_quantised_keeps_its_other_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def cannot(content: bytes) -> onnx.ModelProto:
        raise InferenceError("no shape of node_Softmax_272\nmore")

    folder = make_export_project(tmp_path)
    monkeypatch.setattr(int8_search, "prepare", cannot)
    run_in(folder, monkeypatch)
    said = "cannot be quantised (InferenceError: no shape of node_Softmax_272)."
    assert said in capsys.readouterr().out
    files = {path.name for path in (folder / "models/export").iterdir()}
    assert "model.onnx" in files
    assert "model.int8.onnx" not in files
