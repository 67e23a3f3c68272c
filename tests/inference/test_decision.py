"""The threshold and the views that were evaluated are those that predict and serve use."""

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from builders.images import encode
from builders.projects import CLASSES, EVALUATE, TTA, make_project
from builders.web.serving import served
from fastapi.testclient import TestClient

from classifier.commands import predict
from classifier.core.errors import UserError
from classifier.data.dataset import load_dataset
from classifier.inference.predict import load_model
from classifier.processing.decision import Decision, TtaPolicy
from classifier.processing.travelling import parse_travelling
from classifier.serving.app import build_app
from stages import evaluate, export, tta_evaluate

INT8 = {"methods": [], "calibration_images": 1, "max_accuracy_drop": 0.0, "min_speedup": None}
SECTIONS = {
    "evaluate": EVALUATE | {"reject_below": 0.5, "outside_share": 0.2, "coverage": 0.9},
    "tta_evaluate": TTA | {"views": ["identity", "flip"], "random_views": 0},
    "export": {
        "formats": ["onnx"],
        "batch_size": 50,
        "max_logit_difference": 0.001,
        "similar_images": 0,
        "int8": INT8,
    },
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The current folder: a project that was evaluated and exported, its test images as files."""
    folder = tmp_path_factory.mktemp("project")
    make_project(folder, CLASSES)
    (folder / "params.yaml").write_text(yaml.safe_dump(SECTIONS), "utf-8")
    dataset = load_dataset(folder / "data/split")
    (folder / "images").mkdir()
    for number, row in enumerate(dataset.rows("test")):
        (folder / f"images/{number:03d}.png").write_bytes(encode(dataset.images[row]))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for stage in (evaluate, tta_evaluate, export):
            stage.main()
        yield folder


@pytest.fixture(scope="module")
def evaluated(project: Path) -> list[str]:
    """The answers in predictions.csv, some of them `unknown`."""
    table = pd.read_csv(project / "results/evaluate/predictions.csv", dtype=str)
    answers = table["answer"].to_list()
    assert 0 < answers.count("unknown") < len(answers)
    return answers


def test_library_answers_as_the_evaluation_did(project: Path, evaluated: list[str]) -> None:
    model = load_model(project / "models/export")
    assert [model.predict(path).label for path in sorted(Path("images").iterdir())] == evaluated


def test_scores_reasons_and_sets_are_those_of_the_evaluation(
    project: Path, evaluated: list[str]
) -> None:
    answers = load_model("models/export").predict(sorted(Path("images").iterdir()))
    table = pd.read_csv("results/evaluate/predictions.csv")
    given = [answer.outside for answer in answers]
    assert given == pytest.approx(table["outside"].to_list(), abs=1e-3)
    reasons = {answer.reason for answer in answers}
    assert reasons == {None, "low confidence", "none of the classes"}
    sets = pd.read_csv("results/evaluate/prediction_sets.csv", index_col="class")
    sizes = [len(answer.set or []) for answer in answers]
    assert np.mean(sizes) == pytest.approx(sets.loc["all classes", "size"], abs=1e-6)


def test_score_of_several_views_is_the_mean_of_theirs(project: Path) -> None:
    path = min(Path("images").iterdir())
    model = load_model("models/export", tta=True)
    alone = [replace(model, views=[view]).predict(path).outside or 0.0 for view in model.views]
    assert model.predict(path).outside == pytest.approx(np.mean(alone))


def test_weights_give_the_scores_of_the_exported_file(project: Path) -> None:
    paths = sorted(Path("images").iterdir())[:5]
    one, other = (load_model(runtime=runtime).predict(paths) for runtime in ("onnx", "torch"))
    for answer, same in zip(one, other, strict=True):
        assert answer.outside == pytest.approx(same.outside, abs=1e-3)


def test_predict_answers_as_the_evaluation_did(
    project: Path, evaluated: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    predict.main(["images", "--json", "--models", "models/export"])
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["label"] for line in lines] == evaluated
    predict.main(["images", "--json", "--reject", "0", "--outside", "inf"])
    assert "unknown" not in capsys.readouterr().out


def test_server_answers_as_the_evaluation_did(project: Path, evaluated: list[str]) -> None:
    with TestClient(build_app(served(Path("models")))) as client:
        labels = [
            client.post("/predict", files={"image": path.read_bytes()}).json()["label"]
            for path in sorted(Path("images").iterdir())
        ]
    assert labels == evaluated


def test_tta_answers_as_its_evaluation_did(project: Path) -> None:
    table = pd.read_csv("results/tta_evaluate/predictions.csv", dtype={"predicted": str})
    model = load_model("models/export", tta=True, reject_below=0.0, outside_above=math.inf)
    answers = [model.predict(path) for path in sorted(Path("images").iterdir())]
    assert [answer.label for answer in answers] == table["predicted"].to_list()
    given = [answer.probability for answer in answers]
    assert given == pytest.approx(table["confidence"].to_list(), abs=1e-4)


def test_verify_replays_the_decision(project: Path, tmp_path: Path) -> None:
    for path in (project / "models/export").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "decision.json").write_text('{"reject_below": 0.1}')
    command = [sys.executable, "-m", "classifier", "verify", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "decision.json is not what the export wrote" in done.stderr


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b'{"reject_below": 2}', r"decision\.json is damaged \(reject_below: .*less than or equal"),
        (b"{}", r"decision\.json is damaged \(reject_below: Field required\)"),
        (b'{"reject_below": 0.5, "also": 1}', r"\(also: Extra inputs are not permitted\)"),
        (b"\xff", r"decision\.json is damaged .*run the evaluate stage again, or `dvc checkout`"),
    ],
)
def test_damaged_decision_is_a_sentence(content: bytes, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        parse_travelling(content, Decision, "decision.json", "evaluate")


def test_policy_names_a_view_and_a_known_merge() -> None:
    for content in (b'{"views": [], "merge": "probabilities"}', b'{"views": ["flip"]}'):
        with pytest.raises(UserError, match=r"tta\.json is damaged"):
            parse_travelling(content, TtaPolicy, "tta.json", "tta_evaluate")
