from pathlib import Path

import pandas as pd
import pytest
from builders.tiny import contents, tiny_batches, tiny_bundle, tiny_fit, tiny_params, write_split

from classifier.commands import robustness
from classifier.evaluation import robustness as attacks
from classifier.models.bundle import load_bundle, save_bundle


def test_program_writes_accuracies_that_fall_with_the_strength(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(attacks, "STRENGTHS", (2.0, 64.0))
    dataset = write_split(tmp_path / "data/split")
    tiny_bundle(tmp_path / "models")
    bundle, params = load_bundle(), tiny_params(epochs=6)
    tiny_fit(bundle.model.train(), tiny_batches(dataset, params), params)
    save_bundle(bundle.model, bundle.spec, Path("models"))
    robustness.main([])
    table = pd.read_csv("results/robustness.csv")
    assert table["attack"].tolist() == ["FGSM"] * 3 + ["PGD"] * 3
    assert table["strength"].tolist() == [0, 2, 64] * 2
    assert (table["images"] == 12).all()
    for _, part in table.groupby("attack"):
        assert part["accuracy"].iloc[0] > part["accuracy"].iloc[-1]
    first = contents(Path("results"))
    robustness.main([])
    assert contents(Path("results")) == first
    assert "in results/robustness.csv" in capsys.readouterr().out
