"""A project with a trained model, and running the export stage in it."""

from pathlib import Path
from typing import Any

import pytest

from builders.tiny import tiny_bundle, write_project
from stages import export


def run_in(folder: Path, patch: pytest.MonkeyPatch) -> None:
    patch.chdir(folder)
    export.main()


def make_export_project(folder: Path, **params: Any) -> Path:
    write_project(folder, **params)
    tiny_bundle(folder / "models")
    return folder
