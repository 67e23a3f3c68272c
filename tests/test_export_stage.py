import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny import contents, tiny_bundle, write_project

from classifier.dataset import load_dataset
from classifier.errors import UserError
from classifier.export import FORMATS, Predictor, load_torchscript
from stages import export

REPOSITORY = Path(__file__).parents[1]


def run_in(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.chdir(folder)
    export.main()


def start_program(folder: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "stages.export"]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=pipe, stderr=pipe, text=True
    )


def make_project(folder: Path, **params: Any) -> Path:
    write_project(folder, **params)
    tiny_bundle(folder / "models")
    return folder


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which the stage has run."""
    folder = make_project(tmp_path_factory.mktemp("project"))
    with pytest.MonkeyPatch.context() as patch:
        run_in(folder, patch)
    return folder


def test_stage_writes_a_file_for_each_format_and_the_description(exported: Path) -> None:
    written = contents(exported / "models/export")
    assert list(written) == ["model.json", "model.onnx", "model.torchscript.pt"]
    assert written["model.json"] == (exported / "models/model.json").read_bytes()
    assert list(contents(exported / "results/export")) == ["metrics.json", "timing.json"]


def test_metrics_are_flat_and_say_how_each_file_agrees(exported: Path) -> None:
    metrics = json.loads((exported / "results/export/metrics.json").read_text("utf-8"))
    dataset = load_dataset(exported / "data/split")
    rows = dataset.rows("test")
    network = tiny_bundle(exported.parent / "again")
    predicted = network(torch.from_numpy(dataset.images[rows])).argmax(1).numpy()
    accuracy = (predicted == dataset.labels[rows]).mean()
    assert len(metrics) <= 8
    for name, file in (("onnx", "model.onnx"), ("torchscript", "model.torchscript.pt")):
        assert metrics[f"{name}_accuracy"] == pytest.approx(accuracy)
        assert metrics[f"{name}_top1_agreement"] == 1
        assert 0 <= metrics[f"{name}_max_logit_difference"] < 1e-4
        size = (exported / "models/export" / file).stat().st_size
        assert metrics[f"{name}_megabytes"] == pytest.approx(size / 1e6)


def test_speeds_are_in_the_timing_alone(exported: Path) -> None:
    timing = json.loads((exported / "results/export/timing.json").read_text("utf-8"))
    for name in ("onnx", "torchscript"):
        assert timing[f"{name}_images_per_second"] > 0


def test_file_that_disagrees_fails_the_stage_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_and_differ(content: bytes) -> Predictor:
        predict = load_torchscript(content)

        def differ(pictures: np.ndarray) -> np.ndarray:
            return predict(pictures) + np.float32(0.25)

        return differ

    folder = make_project(tmp_path, max_logit_difference=0.2)
    monkeypatch.setattr(export, "FORMATS", (FORMATS[1]._replace(load=load_and_differ),))
    with pytest.raises(UserError) as caught:
        run_in(folder, monkeypatch)
    sentence = str(caught.value)
    assert "model.torchscript.pt differs" in sentence
    assert "0.25" in sentence
    assert "export.max_logit_difference allows 0.2" in sentence
    assert not (folder / "models/export").exists()
    assert not (folder / "results").exists()


def test_missing_model_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"models/model\.json is missing: run the train stage"):
        run_in(write_project(tmp_path), monkeypatch)


def test_programs_give_the_same_bytes_in_two_folders(tmp_path: Path) -> None:
    folders = [make_project(tmp_path / name) for name in ("a", "b")]
    programs = [start_program(folder) for folder in folders]
    ended = [(program.communicate(), program.returncode) for program in programs]
    assert [(texts[1], code) for texts, code in ended] == [("", 0), ("", 0)]
    first, second = (contents(folder, without="timing.json") for folder in folders)
    assert "models/export/model.onnx" in first
    assert first == second
