import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from builders.backbones import backbone_params
from builders.images import encode, noise, write_raw
from builders.projects import EVALUATE
from builders.splits import add_column, split_params, split_section
from builders.tiny import tiny_runtime, tiny_section

from classifier.commands import cross_validate as program
from classifier.core.config import load_section
from classifier.core.errors import UserError
from classifier.data.dataset import load_dataset
from classifier.models.weights.pretrained import write_backbone
from classifier.splitting.params import SplitParams
from classifier.splitting.split import split
from classifier.sweep.cross_validation import split_of_fold

FOLDS = 3
RESULTS = Path("results/cross_validate")


def image_of(label: int, number: int) -> bytes:
    pixels = noise(8, 8, 100 * label + number) // 2
    pixels[:, :, label] += 100
    return encode(pixels)


MEMBERS = {
    f"{name}/{number:03d}.png": image_of(label, number)
    for label, name in enumerate(("red", "green", "blue"))
    for number in range(20)
}


def make_project(folder: Path, monkeypatch: pytest.MonkeyPatch, prefix: str = "") -> None:
    """The current folder, with params, data and no model."""
    monkeypatch.chdir(folder)
    sections = {
        "split": split_section(duplicate_similarity=None, group_by=["patient"]),
        "train": tiny_section(epochs=8),
        "evaluate": EVALUATE,
        "runtime": tiny_runtime().model_dump(),
    }
    Path("params.yaml").write_text(yaml.safe_dump(sections), "utf-8")
    write_backbone(backbone_params(), Path("data/backbone"))
    raw = write_raw(Path("data/raw"), {f"{prefix}{name}": of for name, of in MEMBERS.items()})
    add_column(raw, "patient", lambda path: path[-7:-4] if path[-5] < "4" else "")


def split_here() -> None:
    split(Path("data/raw"), Path("data/split"), load_section("split", SplitParams))


def test_every_image_is_answered_once_and_the_answers_are_pooled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    make_project(tmp_path, monkeypatch)
    split_here()
    before = Path("data/split/manifest.csv").read_bytes()
    program.main(["--folds", str(FOLDS), "--losses"])
    predictions = pd.read_csv(RESULTS / "predictions.csv")
    assert predictions["path"].tolist() == sorted(MEMBERS)
    assert sorted(predictions["fold"].unique()) == [0, 1, 2]
    metrics = json.loads((RESULTS / "metrics.json").read_text())
    right = (predictions["actual"] == predictions["predicted"]).mean()
    assert metrics["accuracy"] == pytest.approx(right, abs=1e-6)
    assert right > 0.6
    assert metrics["accuracy_low"] < right <= metrics["accuracy_high"]
    assert (metrics["images"], metrics["folds"]) == (60, FOLDS)
    classes = pd.read_csv(RESULTS / "per_class.csv")
    assert classes["images"].tolist() == [20, 20, 20]
    assert metrics["macro_f1"] == pytest.approx(classes["f1"].mean(), abs=1e-6)
    assert f"accuracy {right:.4f} on all 60 images" in capsys.readouterr().out
    losses = pd.read_csv("data/losses.csv")
    assert losses["path"].tolist() == sorted(MEMBERS)
    good = predictions["actual"] == predictions["predicted"]
    assert np.exp(-losses["loss"][good]).tolist() == pytest.approx(
        predictions["confidence"][good].tolist(), abs=1e-5
    )
    # The project's own split and model stay as they are.
    assert Path("data/split/manifest.csv").read_bytes() == before
    assert not Path("models").exists()


@pytest.mark.parametrize("duplicates", ["group", "keep"])
def test_folds_are_those_of_the_split_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, duplicates: str
) -> None:
    make_project(tmp_path, monkeypatch)
    section = split_section(duplicate_similarity=None, group_by=["patient"], duplicates=duplicates)
    params = SplitParams.model_validate(section)
    split(Path("data/raw"), Path("data/split"), params)
    dataset = load_dataset(Path("data/split"))
    for fold in range(FOLDS):
        drawn = split_of_fold(dataset, params, FOLDS, fold)
        changed = params.model_copy(update={"folds": FOLDS, "fold": fold})
        split(Path("data/raw"), Path("other"), changed)
        assert np.array_equal(load_dataset(Path("other")).manifest["split"], drawn)


def test_data_with_its_own_test_split_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_project(tmp_path, monkeypatch, prefix="train/")
    extra = {f"test/{name}": encode(noise(8, 8, row)) for row, name in enumerate(MEMBERS)}
    trained = {f"train/{name}": of for name, of in MEMBERS.items()}
    add_column(write_raw(Path("data/raw"), trained | extra), "patient", lambda _: "")
    split_here()
    with pytest.raises(UserError, match="the data gives its own test or val images"):
        program.main([])


@pytest.mark.parametrize("folds", ["1", "101"])
def test_number_of_folds_that_split_folds_does_not_allow_is_refused(folds: str) -> None:
    with pytest.raises(UserError, match=f"split.folds is {folds}"):
        split_params(folds=int(folds))
    with pytest.raises(UserError, match=f"--folds: {folds} is no whole number from 2 to 100"):
        program.main(["--folds", folds])


def test_image_that_the_raw_data_no_longer_has_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_project(tmp_path, monkeypatch)
    split_here()
    left = {name: of for name, of in MEMBERS.items() if name != "blue/007.png"}
    add_column(write_raw(Path("data/raw"), left), "patient", lambda _: "")
    with pytest.raises(UserError, match=r"data/raw lacks 1 of .*, such as blue/007\.png: run"):
        program.main([])
