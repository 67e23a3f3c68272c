from pathlib import Path

import pytest
from builders.backbones import random_weights
from builders.evaluations import decision, measures, read_csv
from builders.projects import write_evaluation_params
from builders.tiny import tiny_section, write_project

from classifier.models.outside import load_outside
from classifier.models.weights.pretrained import write_backbone
from classifier.models.weights.stored_backbone import save_head
from classifier.processing.decision import Decision
from classifier.processing.made_for import model_digest
from stages import evaluate, train

# What is frozen, the classes of the weights' last layer, and whether it takes part.
LAST_LAYERS = [("backbone", 9, True), ("backbone", 0, False), ("none", 9, False)]


def test_answers_under_the_threshold_become_unknown(project: Path, capsys):
    write_evaluation_params(evaluate={"reject_below": 0.5})
    evaluate.main()
    predictions, values = read_csv("predictions.csv"), measures()["value"]
    doubtful = predictions["confidence"].to_numpy() < 0.5
    assert 0 < doubtful.sum() < len(predictions)
    assert set(predictions["answer"][doubtful]) == {"unknown"}
    kept = predictions[~doubtful].astype(str)
    assert kept["answer"].tolist() == kept["predicted"].tolist()
    assert values["coverage"] == pytest.approx(1 - doubtful.mean(), abs=1e-6)
    right = kept["answer"] == kept["actual"]
    assert values["answered_accuracy"] == pytest.approx(right.mean(), abs=1e-6)
    assert values["answered_accuracy"] > values["accuracy"]
    assert f"{values['coverage']:.1%} of the images are answered" in capsys.readouterr().out
    assert decision() == Decision(reject_below=0.5, model=model_digest(Path("models")))


def test_without_a_threshold_every_image_is_answered(results: str):
    assert decision() == Decision(reject_below=None, model=model_digest(Path("models")))
    assert "coverage" not in measures().index


def test_where_every_answer_is_rejected_there_is_no_accuracy_of_the_rest(project: Path):
    write_evaluation_params(evaluate={"reject_below": 1.0})
    evaluate.main()
    values = measures()["value"]
    assert values["coverage"] == 0
    assert "answered_accuracy" not in values


@pytest.mark.parametrize(("freeze", "classes", "takes_part"), LAST_LAYERS)
def test_last_layer_of_frozen_weights_takes_part_in_the_outside_score(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    freeze: str,
    classes: int,
    takes_part: bool,
) -> None:
    write_project(tmp_path, tiny_section(epochs=1, model={"freeze": freeze}))
    weights = random_weights(tmp_path / "weights.safetensors", classes=classes)
    write_backbone(weights, tmp_path / "data/backbone")
    monkeypatch.chdir(tmp_path)
    train.main()
    write_evaluation_params(evaluate={"outside_share": 0.05})
    evaluate.main()
    score = load_outside(Path("models/outside.safetensors"), model_digest(Path("models")))
    assert score is not None
    assert (score.matching is not None) == takes_part
    table = Path("results/evaluate/outside.csv").read_bytes()
    save_head(None, Path("data/backbone"))
    evaluate.main()
    assert (Path("results/evaluate/outside.csv").read_bytes() != table) == takes_part


def test_foreign_images_that_no_rule_uses_are_told_of(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_evaluation_params(evaluate={"foreign": "foreign"})
    evaluate.main()
    assert "the images of evaluate.foreign are not used" in capsys.readouterr().out
