from pathlib import Path

import pytest
import torch
from builders.images import encode, noise
from builders.projects import EVALUATE
from builders.sources import write_files
from builders.tiny import tiny_bundle

from classifier.core.errors import UserError
from classifier.evaluation.decisions.foreign import foreign_outputs
from classifier.evaluation.params import NO_FOREIGN, EvaluateParams
from classifier.models.bundle import Bundle, load_bundle
from classifier.models.network_outputs import NetworkOutputs

FOREIGN = Path("foreign")


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    monkeypatch.chdir(tmp_path)
    tiny_bundle(tmp_path / "models")
    FOREIGN.mkdir()
    return load_bundle(tmp_path / "models", torch.device("cpu"))


def params(foreign: str) -> EvaluateParams:
    return EvaluateParams.model_validate(EVALUATE | {"batch_size": 2, "foreign": foreign})


def outputs_of(files: dict[str, bytes], bundle: Bundle) -> NetworkOutputs | None:
    write_files(FOREIGN, files)
    return foreign_outputs(params(str(FOREIGN)), bundle)


def test_images_are_found_by_content_and_other_files_are_named(
    bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    png = encode(noise(9, 8))
    files = {"a.png": png, "photo": encode(noise(9, 8), "JPEG"), "deep/x.dat": png}
    others = {".hidden.jpg": b"bad", "._a.jpg": b"bad", "notes.txt": b"x", "dir.png/b.txt": b"x"}
    outputs = outputs_of(files | others, bundle)
    assert outputs is not None
    assert len(outputs.logits) == 3
    assert capsys.readouterr().out == "foreign: used 3 images; not used: 2 .txt, 2 hidden\n"


def test_folder_without_images_says_what_is_not_used(
    bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert outputs_of({}, bundle) is None
    assert capsys.readouterr().out == "foreign: used 0 images\n"
    assert outputs_of({"more.zip": b"x"}, bundle) is None
    assert capsys.readouterr().out == "foreign: used 0 images; not used: 1 .zip\n"


def test_images_where_earlier_versions_read_them_are_not_forgotten(bundle: Bundle) -> None:
    write_files(Path("data/foreign"), {"a.png": encode(noise(9, 8)), ".gitignore": b"*"})
    with pytest.raises(UserError, match="data/foreign has images, which are read no more"):
        foreign_outputs(params(NO_FOREIGN), bundle)
    outputs = foreign_outputs(params("data/foreign"), bundle)
    assert outputs is not None
    assert len(outputs.logits) == 1


def test_default_reads_nothing_and_says_nothing(
    bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert EVALUATE["foreign"] == NO_FOREIGN
    assert foreign_outputs(params(NO_FOREIGN), bundle) is None
    assert capsys.readouterr().out == ""


def test_what_is_no_folder_stops_the_stage(bundle: Bundle) -> None:
    write_files(Path(), {"foreign.zip": b"x"})
    for name in ("foreign.zip", "strangers"):
        with pytest.raises(UserError, match=rf"evaluate\.foreign is '{name}', but .* no such"):
            foreign_outputs(params(name), bundle)


@pytest.mark.parametrize("folder", ["", ".", "data", "models", "results/split"])
def test_folder_where_the_stages_write_stops_the_stage(folder: str, bundle: Bundle) -> None:
    Path(folder).mkdir(parents=True, exist_ok=True)
    sentence = r"evaluate\.foreign is '.+', which shares files with .+, where the stages write: put"
    with pytest.raises(UserError, match=sentence):
        foreign_outputs(params(folder), bundle)


def test_image_that_cannot_be_read_stops_the_stage(bundle: Bundle) -> None:
    sentence = r"foreign/bad\.jpg cannot be used: it is no image .+ Remove it from foreign\."
    with pytest.raises(UserError, match=sentence):
        outputs_of({"bad.jpg": b"x"}, bundle)


def test_complaints_of_the_decoder_are_passed_on(
    bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    ok = encode(noise(9, 8))
    damaged = ok[:33] + b"\0\0\0\4tEXtabcd\0\0\0\0" + ok[33:]  # a wrong checksum
    assert outputs_of({"a.png": damaged}, bundle) is not None
    assert "evaluate: warning: foreign/a.png: " in capsys.readouterr().out
