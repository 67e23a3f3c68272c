"""The params of the project with one of its presets, for the measurements in this folder."""

from pathlib import Path
from typing import Any

from classifier.commands.preset import preset_values
from classifier.core.config import parse_params
from classifier.core.params_edit import edit_params

ROOT = Path(__file__).parents[1]


def preset_params(name: str) -> dict[str, Any]:
    """Return params.yaml with the preset merged, by sections."""
    path = ROOT / "params.yaml"
    values = preset_values(name, ROOT / "presets")
    return parse_params(edit_params(path.read_text("utf-8"), values), path)
