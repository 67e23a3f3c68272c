"""Each stage runs as a module and as a file, with the library that lies beside it."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STAGES = sorted(path.stem for path in (ROOT / "stages").glob("[a-z]*.py"))


@pytest.mark.parametrize("stage", STAGES)
def test_stage_as_a_file_imports_the_library_of_its_own_project(stage: str, tmp_path: Path) -> None:
    (tmp_path / "stages").mkdir()
    shutil.copy(ROOT / f"stages/{stage}.py", tmp_path / "stages")
    (tmp_path / "classifier").mkdir()
    (tmp_path / "classifier/__init__.py").write_text('raise SystemExit("the library beside it")')
    for command in ([f"stages/{stage}.py"], ["-m", f"stages.{stage}"]):
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.stderr.strip() == "the library beside it"
