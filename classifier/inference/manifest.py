"""Write the manifest of an export, and read its files only after a check of their hash.

`manifest.json` gives the SHA-256, the size, the format, the input and the output of every file.
`.pt2` and TorchScript files can run code of their author, so no file is opened before its hash is
checked. Needs only the standard library.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

from classifier.core.errors import UserError

MANIFEST = "manifest.json"


class Entry(NamedTuple):
    """The entry of one file in the manifest.

    Attributes:
        format: name of the file format.
        sha256: of the content.
        bytes: size of the content.
        input: shape and type of the model input.
        output: shape and type of the model output.
        tolerance: of a probability of the golden images, and a tenth of that of an outside score;
            None where they are not replayed.
    """

    format: str
    sha256: str
    bytes: int
    input: str | None = None
    output: str | None = None
    tolerance: float | None = None


def describe(
    content: bytes,
    form: str,
    *,
    takes: str | None = None,
    gives: str | None = None,
    tolerance: float | None = None,
) -> Entry:
    """Return the entry of a file with this content."""
    digest = hashlib.sha256(content).hexdigest()
    return Entry(form, digest, len(content), takes, gives, tolerance)


def manifest_content(entries: dict[str, Entry]) -> dict[str, Any]:
    """Return what `manifest.json` holds; entries by file name."""
    described = {
        file: {key: value for key, value in entry._asdict().items() if value is not None}
        for file, entry in entries.items()
    }
    return {"files": described}


def read_manifest(folder: Path) -> dict[str, Entry]:
    """Read the entries by file name.

    Raises:
        UserError: where there is no readable manifest.
    """
    path = folder / MANIFEST
    try:
        files = json.loads(path.read_text("utf-8"))["files"]
        return {file: Entry(**entry) for file, entry in files.items()}
    except FileNotFoundError:
        raise UserError(f"{path} is missing: run the export stage, or `dvc checkout`.") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UserError(
            f"{path} is no manifest of an export: run the export stage, or `dvc checkout`."
        ) from None


def read_exported(folder: Path, file: str) -> bytes:
    """Read an exported file.

    Raises:
        UserError: where the content is not what the manifest says.
    """
    entries = read_manifest(folder)
    if file not in entries:
        raise UserError(
            f"{file} is not in {folder / MANIFEST}, so it is not opened: run the export stage."
        )
    try:
        content = (folder / file).read_bytes()
    except FileNotFoundError:
        raise UserError(
            f"{folder / file} is missing, but {MANIFEST} names it: copy the whole folder again."
        ) from None
    if hashlib.sha256(content).hexdigest() != entries[file].sha256:
        raise UserError(
            f"{folder / file} is not what the export wrote (its SHA-256 differs from that in "
            f"{MANIFEST}), so it is not opened: copy it again, or run the export stage."
        )
    return content
