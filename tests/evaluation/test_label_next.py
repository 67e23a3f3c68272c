import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from builders.images import encode, noise
from builders.processes import no_root
from builders.sources import write_files
from builders.tiny import contents, tiny_bundle

from classifier.commands import label_next
from classifier.core.errors import UserError
from classifier.evaluation.labels.label_next import choose, look_at
from classifier.inference.predict import load_model
from classifier.models.bundle import load_bundle


def test_unsure_images_that_differ_are_chosen_before_copies_and_sure_ones() -> None:
    features = np.array([[9.0, 0.0], [9.0, 0.0], [0.0, 8.0], [7.0, 7.0]], np.float32)
    given = np.array([[0.5, 0.5], [0.5, 0.5], [0.5, 0.5], [1.0, 0.0]])
    chosen = choose(features, given, 4)
    assert sorted(chosen.tolist()) == [0, 2]
    assert chosen[0] == 0


def test_a_pool_of_sure_images_gives_one() -> None:
    assert choose(np.ones((3, 2), np.float32), np.array([[1.0, 0.0]] * 3), 5).tolist() == [0]


def make_pool(folder: Path) -> None:
    (folder / "deep/er").mkdir(parents=True)
    for i in range(8):
        (folder / f"deep/er/{i}.png").write_bytes(encode(noise(9, 8, i)))
    (folder / "bad.jpg").write_bytes(b"no image")
    (folder / "notes.txt").write_bytes(b"text")
    (folder / ".hidden.png").write_bytes(encode(noise(9, 8)))


def test_program_ranks_the_images_of_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_pool(Path("pool"))
    tiny_bundle(tmp_path / "models")
    with pytest.raises(SystemExit, match="1"):
        label_next.main(["pool"])
    table = pd.read_csv("results/label_next.csv")
    assert sorted(table["path"]) == [f"deep/er/{i}.png" for i in range(8)]
    assert list(table.columns) == ["path", "predicted", "confidence", "margin"]
    model = load_model("models", runtime="torch")
    for row in table.to_dict("records"):
        first, second = model.predict(Path("pool") / row["path"]).top(2)
        assert row["predicted"] == first.label
        assert row["confidence"] == pytest.approx(first.probability, abs=2e-4)
        assert row["margin"] == pytest.approx(first.probability - second.probability, abs=2e-4)
    said = capsys.readouterr()
    problem, account = said.err.splitlines()
    assert problem.startswith("error: pool/bad.jpg: it is no image")
    assert account == "used 8 images; not used: 1 .txt, 1 hidden, 1 unreadable"
    assert said.out.startswith("to label next, 8 of 8 images: ")
    first = contents(Path("results"))
    with pytest.raises(SystemExit):
        label_next.main(["pool"])
    assert contents(Path("results")) == first


def test_folder_that_may_not_be_listed_and_broken_link_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path, {"pool/a.png": encode(noise(9, 8)), "pool/b.txt": b""})
    Path("pool/locked").mkdir(mode=0)
    Path("pool/loop.png").symlink_to("loop.png")
    tiny_bundle(tmp_path / "models")
    bundle = load_bundle(tmp_path / "models", torch.device("cpu"))
    with no_root():
        seen = look_at(Path("pool"), bundle)
    assert (seen.paths, seen.unreadable) == ([Path("pool/a.png")], 2)
    assert capsys.readouterr().err.splitlines() == [
        "error: pool/locked: Permission denied.",
        "error: pool/loop.png: Too many levels of symbolic links.",
        "used 1 image; not used: 2 unreadable, 1 .txt",
    ]


def test_name_that_no_table_can_hold_is_told_and_the_others_are_ranked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_files(tmp_path, {"pool/a.png": encode(noise(9, 8))})
    Path("pool/caf\udce9.png").write_bytes(encode(noise(9, 8)))  # in Latin-1
    tiny_bundle(tmp_path / "models")
    with pytest.raises(SystemExit, match="1"):
        label_next.main(["pool"])
    assert pd.read_csv("results/label_next.csv")["path"].tolist() == ["a.png"]
    assert capsys.readouterr().err.splitlines() == [
        r"error: pool/caf\udce9.png: its name is not UTF-8: rename the file.",
        "used 1 image; not used: 1 unreadable",
    ]


def test_tasks_for_label_studio_are_the_chosen_images_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make_pool(Path("pool"))
    tiny_bundle(tmp_path / "models")
    with pytest.raises(SystemExit):
        label_next.main(["pool", "--count", "3", "--label-studio", "--path-prefix", "pool"])
    table = pd.read_csv("results/label_next.csv")
    tasks = json.loads(Path("results/label_next.json").read_text("utf-8"))
    assert len(table) == 3
    assert [task["data"]["image"] for task in tasks] == [
        f"/data/local-files/?d=pool/{path}" for path in table["path"]
    ]
    assert Path("results/label_next.xml").read_text("utf-8").count("<Choice ") == 3
    assert "3 tasks for Label Studio" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere"], "there is no folder nowhere"),
        (["empty"], "no images that can be read lie below empty"),
    ],
)
def test_faults_of_the_user_are_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    tiny_bundle(tmp_path / "models")
    with pytest.raises(UserError, match=sentence):
        label_next.main(arguments)
