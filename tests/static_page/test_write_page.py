import hashlib
import json
import re
import shutil
import tarfile
from pathlib import Path

import pytest
from builders.colours import SPEC, write_models

from classifier.core.errors import UserError
from classifier.core.files import write_bytes
from classifier.static_page import web_runtime
from classifier.static_page.web_runtime import RUNTIME_FILES, runtime_files
from classifier.static_page.write_page import write_page


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package whose files hold their names."""
    digests = {file: hashlib.sha256(file.encode()).hexdigest() for file in RUNTIME_FILES}
    monkeypatch.setattr(web_runtime, "RUNTIME_FILES", digests)
    for file in RUNTIME_FILES:
        write_bytes(tmp_path / "package/dist" / file, file.encode())
    return tmp_path / "package"


def test_page_is_a_folder_that_works_alone(tmp_path: Path, package: Path) -> None:
    models = write_models(tmp_path / "models", reject_below=0.7)
    size = write_page(tmp_path / "page", models, runtime_files(package), int8=False)
    contents = {path.name: path.read_bytes() for path in (tmp_path / "page").iterdir()}
    assert set(contents) == {
        *("index.html", "style.css", "page.js", "model.js", "image.js", "resample.js"),
        *(
            "answer.js",
            "headers.js",
            "config.json",
            "model.onnx",
            ".classifier-page",
            *RUNTIME_FILES,
        ),
    }
    assert size == sum(map(len, contents.values()))
    assert contents["model.onnx"] == (models / "export/model.onnx").read_bytes()
    config = json.loads(contents["config.json"])
    assert config["classes"] == SPEC.classes
    assert config["temperature"] == SPEC.temperature
    assert config["decision"]["reject_below"] == 0.7


def test_own_files_name_no_other_host(tmp_path: Path) -> None:
    write_page(tmp_path / "page", write_models(tmp_path / "models"), {}, int8=False)
    for path in (tmp_path / "page").iterdir():
        if path.suffix in (".html", ".css", ".js"):
            assert not re.search(r"https?://", path.read_text("utf-8")), path.name


def test_eight_bit_network_is_taken_on_request(tmp_path: Path) -> None:
    models = write_models(tmp_path / "models")
    write_page(tmp_path / "page", models, {}, int8=True)
    taken = (tmp_path / "page/model.onnx").read_bytes()
    assert taken == (models / "export/model.int8.onnx").read_bytes()


def test_training_images_are_in_it_only_where_they_travel_with_the_model(tmp_path: Path) -> None:
    page = tmp_path / "page"
    with_some = write_models(tmp_path / "with", with_similar=True)
    write_page(page, with_some, {}, int8=False)
    sheet = (with_some / "export/similar.jpg").read_bytes()
    assert (page / "similar.jpg").read_bytes() == sheet
    assert json.loads((page / "config.json").read_bytes())["similar"]["columns"] == 3
    write_page(page, write_models(tmp_path / "without"), {}, int8=False)
    assert not (page / "similar.jpg").exists()
    assert json.loads((page / "config.json").read_bytes())["similar"] is None


def test_earlier_page_is_replaced_but_no_other_folder(tmp_path: Path) -> None:
    models = write_models(tmp_path / "models")
    for _ in range(2):
        write_page(tmp_path / "page", models, {}, int8=False)
    # Not written to its end.
    (tmp_path / "page/config.json").unlink()
    write_page(tmp_path / "page", models, {}, int8=False)
    write_bytes(tmp_path / "other/config.json", b"{}")
    for other in (models, tmp_path / "other"):
        with pytest.raises(UserError, match="holds other files than those of a page"):
            write_page(other, models, {}, int8=False)
    write_bytes(tmp_path / "file", b"")
    with pytest.raises(UserError, match="is no folder: name a new one"):
        write_page(tmp_path / "file", models, {}, int8=False)


def test_package_is_read_as_a_folder_and_as_an_archive(tmp_path: Path, package: Path) -> None:
    with tarfile.open(tmp_path / "package.tgz", "w:gz") as archive:
        archive.add(package, "package")
    expected = {file: file.encode() for file in RUNTIME_FILES}
    assert runtime_files(package) == runtime_files(tmp_path / "package.tgz") == expected


def test_package_of_another_version_is_refused(package: Path) -> None:
    file = next(iter(RUNTIME_FILES))
    write_bytes(package / "dist" / file, b"another")
    with pytest.raises(UserError, match=r"is not that of onnxruntime-web 1\.30\.0"):
        runtime_files(package)


def test_what_is_no_package_is_refused(tmp_path: Path, package: Path) -> None:
    shutil.rmtree(package / "dist")
    write_bytes(tmp_path / "text.tgz", b"text")
    sentences = {
        package: r"there is no .*dist",
        tmp_path / "text.tgz": "is not the npm package onnxruntime-web",
        tmp_path / "missing": "there is no .*missing: correct --runtime",
    }
    for path, sentence in sentences.items():
        with pytest.raises(UserError, match=sentence):
            runtime_files(path)


def test_missing_npm_is_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"npm is missing: install Node\.js, or give --runtime"):
        runtime_files(None)


def test_npm_that_fails_is_a_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'npm error network' >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"cannot fetch onnxruntime-web 1\.30\.0 \(npm error"):
        runtime_files(None)
