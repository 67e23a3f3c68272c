from pathlib import Path

import pytest
import torch
from builders.images import encode, noise
from builders.sources import write_files
from builders.tiny import tiny_bundle

from classifier.core.errors import UserError
from classifier.evaluation.decisions.foreign import foreign_outputs
from classifier.models.bundle import Bundle, load_bundle
from classifier.models.network_outputs import NetworkOutputs

FOREIGN = Path("data/foreign")


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    monkeypatch.chdir(tmp_path)
    tiny_bundle(tmp_path / "models")
    write_files(FOREIGN, {".gitignore": b"*"})
    return load_bundle(tmp_path / "models", torch.device("cpu"))


def outputs_of(files: dict[str, bytes], bundle: Bundle) -> NetworkOutputs | None:
    write_files(FOREIGN, files)
    return foreign_outputs(FOREIGN, bundle, batch_size=2)


def test_images_are_found_by_content_and_other_files_are_named(
    bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    png = encode(noise(9, 8))
    files = {"a.png": png, "photo": encode(noise(9, 8), "JPEG"), "deep/x.dat": png}
    others = {".hidden.jpg": b"bad", "._a.jpg": b"bad", "notes.txt": b"x", "dir.png/b.txt": b"x"}
    outputs = outputs_of(files | others, bundle)
    assert outputs is not None
    assert len(outputs.logits) == 3
    assert capsys.readouterr().out == "data/foreign: used 3 images; not used: 2 .txt, 2 hidden\n"


def test_folder_without_images_says_what_is_not_used(
    bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    assert outputs_of({}, bundle) is None
    assert capsys.readouterr().out == ""
    assert outputs_of({"more.zip": b"x"}, bundle) is None
    assert capsys.readouterr().out == "data/foreign: used 0 images; not used: 1 .zip\n"


def test_image_that_cannot_be_read_stops_the_stage(bundle: Bundle) -> None:
    sentence = (
        r"data/foreign/bad\.jpg cannot be used: it is no image .+ Remove it from data/foreign\."
    )
    with pytest.raises(UserError, match=sentence):
        outputs_of({"bad.jpg": b"x"}, bundle)


def test_complaints_of_the_decoder_are_passed_on(
    bundle: Bundle, capsys: pytest.CaptureFixture[str]
) -> None:
    ok = encode(noise(9, 8))
    damaged = ok[:33] + b"\0\0\0\4tEXtabcd\0\0\0\0" + ok[33:]  # a wrong checksum
    assert outputs_of({"a.png": damaged}, bundle) is not None
    assert "evaluate: warning: data/foreign/a.png: " in capsys.readouterr().out
