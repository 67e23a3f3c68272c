"""What all stage programs share."""

import subprocess
import sys
from pathlib import Path

import pytest
from builders.library import copy_library

from classifier.core.code import ROOT

STAGES = sorted(path.stem for path in (ROOT / "stages").glob("[!_]*.py"))


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the programs whose library says so and ends them."""
    folder = copy_library(tmp_path_factory.mktemp("project"))
    (folder / "classifier/__init__.py").write_text('raise SystemExit("of this copy")\n', "utf-8")
    return folder


@pytest.mark.parametrize("stage", STAGES)
def test_a_program_uses_the_library_beside_it_as_a_module_and_as_a_file(
    project: Path, stage: str
) -> None:
    for command in (["-m", f"stages.{stage}"], [f"stages/{stage}.py"]):
        process = subprocess.run(
            [sys.executable, *command], cwd=project, capture_output=True, text=True, check=False
        )
        assert process.stderr == "of this copy\n", command


@pytest.mark.parametrize("stage", STAGES)
def test_a_program_refuses_other_versions_under_its_own_name(stage: str) -> None:
    source = (ROOT / f"stages/{stage}.py").read_text("utf-8")
    assert source.endswith(f'\n\nif __name__ == "__main__":\n    run_stage("{stage}", main)\n')


@pytest.mark.parametrize("stage", STAGES)
def test_a_program_has_at_most_40_lines_beside_blank_ones(stage: str) -> None:
    lines = (ROOT / f"stages/{stage}.py").read_text("utf-8").splitlines()
    assert len([line for line in lines if line.strip()]) <= 40
