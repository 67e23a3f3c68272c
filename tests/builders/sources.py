"""Section `download` of params.yaml with changes."""

from pathlib import Path
from typing import Any

from classifier.core.config import read_params, validate_section
from classifier.sources.params import DownloadParams

_SECTION = read_params(Path(__file__).parents[2] / "params.yaml")["download"]
_DIGITS = {"source": "digits", "url": None, "checksum": None, "watch": "data/.gitignore"}


def download_section(**changes: Any) -> dict[str, Any]:
    """The section of params.yaml, for the digits, with these changes."""
    return _SECTION | _DIGITS | changes


def download_params(**changes: Any) -> DownloadParams:
    section = {"download": download_section(**changes)}
    return validate_section("download", DownloadParams, section, Path("params.yaml"))


def local_params(source: str, path: Path | str, **changes: Any) -> DownloadParams:
    """Params for a folder or an archive at this path."""
    place = {"source": source, "url": str(path), "watch": str(path)}
    return download_params(**place | changes)


def write_files(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
