"""Write the manifest of an export, and read its files only after a check of their hash.

`manifest.json` gives the SHA-256, the size, the format, the input and the output of every file.
`.pt2` and TorchScript files can run code of their author, so no file is opened before its hash is
checked. Needs only the standard library.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from classifier.core.errors import UserError

MANIFEST = "manifest.json"
EXPORT = "export"
# Of a file beside the manifest: no path, no hidden file, nothing that steers a terminal.
_FILE_NAME = re.compile(r"\w[\w.+-]*", re.ASCII)


def export_folder(folder: Path) -> Path:
    """Return the export folder of `models`, or `folder` itself where it is one."""
    return folder if (folder / MANIFEST).exists() else folder / EXPORT


class Entry(NamedTuple):
    """The entry of one file in the manifest.

    Attributes:
        format: name of the file format.
        sha256: of the content.
        bytes: size of the content.
        input: shape and type of the model input.
        output: shape and type of the model output.
        tolerance: of a probability or a similarity of the golden images; ten times as much of an
            outside score. None where they are not replayed.
    """

    format: str
    sha256: str
    bytes: int
    input: str | None = None
    output: str | None = None
    tolerance: float | None = None


def file_entry(
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
        UserError: where there is no readable manifest, or where it names a file that does not lie
            in the folder itself.
    """
    path = folder / MANIFEST
    # A pipe or a device would be read for ever.
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is no file: run the export stage, or fetch it with `dvc pull`.")
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"{path} is missing: run the export stage, or fetch it with `dvc pull`."
        ) from None
    try:
        files = parse_json(content)["files"]
        entries = {file: Entry(**entry) for file, entry in files.items()}
        for file, entry in entries.items():
            _check_entry(file, entry)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} is no manifest of an export ({error}): run the export stage, or "
            "`dvc checkout`."
        ) from None
    return entries


def parse_json(content: bytes) -> Any:
    """Parse JSON as its standard says, without `NaN` and `Infinity`; raise ValueError."""

    def refuse(name: str) -> NoReturn:
        raise ValueError(f"{name} is no number in JSON")

    try:
        return json.loads(content, parse_constant=refuse)
    except RecursionError:
        raise ValueError("lists in lists without an end") from None


def _check_entry(file: str, entry: Entry) -> None:
    """Raise ValueError where a name or a value cannot be in a manifest."""
    if not _FILE_NAME.fullmatch(file) or file == MANIFEST:
        raise ValueError(f"{file!r} is no name of a file in this folder")
    if not re.fullmatch("[0-9a-f]{64}", entry.sha256):
        raise ValueError(f"the hash of {file} is no SHA-256")
    if entry.tolerance is not None and not 0 < entry.tolerance <= 1:
        raise ValueError(f"the tolerance of {file} is not between 0 and 1")


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
    path = folder / file
    # A pipe or a device would be read for ever.
    if not path.is_file():
        raise UserError(f"{path} is missing, but {MANIFEST} names it: copy the whole folder again.")
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != entries[file].sha256:
        raise UserError(
            f"{path} is not what the export wrote (its SHA-256 differs from that in "
            f"{MANIFEST}), so it is not opened: copy it again, or run the export stage."
        )
    return content
