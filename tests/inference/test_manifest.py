import json
from pathlib import Path

import pytest

from classifier.core.errors import UserError
from classifier.core.files import write_json
from classifier.inference.manifest import (
    MANIFEST,
    export_folder,
    file_entry,
    manifest_content,
    read_exported,
    read_manifest,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one file and its manifest."""
    (tmp_path / "model.pt2").write_bytes(b"weights")
    entry = file_entry(b"weights", "pt2", takes="images", gives="logits", tolerance=0.5)
    write_json(tmp_path / MANIFEST, manifest_content({"model.pt2": entry}))
    return tmp_path


def test_file_is_described_and_read_back(folder: Path) -> None:
    (entry,) = read_manifest(folder).values()
    assert (entry.format, entry.bytes, entry.tolerance) == ("pt2", 7, 0.5)
    assert (entry.input, entry.output) == ("images", "logits")
    assert read_exported(folder, "model.pt2") == b"weights"


def test_changed_file_is_not_opened(folder: Path) -> None:
    (folder / "model.pt2").write_bytes(b"Weights")
    with pytest.raises(UserError, match=r"is not what the export wrote .* not opened"):
        read_exported(folder, "model.pt2")


def test_file_that_nobody_vouches_for_is_not_opened(folder: Path) -> None:
    (folder / "other.pt2").write_bytes(b"weights")
    with pytest.raises(UserError, match=r"other\.pt2 is not in"):
        read_exported(folder, "other.pt2")


def test_missing_file_is_reported(folder: Path) -> None:
    (folder / "model.pt2").unlink()
    with pytest.raises(UserError, match=r"model\.pt2 is missing"):
        read_exported(folder, "model.pt2")


def test_missing_manifest_is_reported(tmp_path: Path) -> None:
    with pytest.raises(
        UserError,
        match=r"manifest\.json is missing: run the export stage, or fetch it with `dvc pull`",
    ):
        read_manifest(tmp_path)


def test_file_in_place_of_the_folder_has_no_manifest(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"network")
    with pytest.raises(UserError, match=r"manifest\.json is missing: run the export stage"):
        read_manifest(export_folder(tmp_path / "model.onnx"))


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"files": {"a": {"size": 1}}}', '{"files":1}']
)
def test_damaged_manifest_is_reported(tmp_path: Path, content: str) -> None:
    (tmp_path / MANIFEST).write_text(content)
    with pytest.raises(UserError, match="is no manifest"):
        read_manifest(tmp_path)


def test_what_is_not_known_is_left_out() -> None:
    content = manifest_content({"a.json": file_entry(b"{}", "JSON")})
    assert sorted(json.loads(json.dumps(content))["files"]["a.json"]) == [
        "bytes",
        "format",
        "sha256",
    ]
