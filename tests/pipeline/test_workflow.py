"""The workflow for the project's users: its linters, and every command of it in a clone."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from builders.clones import ROOT, Clone
from builders.programs import write_program

WORKFLOW = ROOT / ".github/workflows/pipeline.yml"
STEPS = yaml.safe_load(WORKFLOW.read_text("utf-8"))["jobs"]["pipeline"]["steps"]
LINTERS = {
    "check-jsonschema": ["--builtin-schema", "vendor.github-workflows"],
    "zizmor": ["--offline", "--quiet", "--no-config"],
}


@pytest.mark.parametrize("linter", LINTERS)
def test_linter_finds_nothing(linter: str) -> None:
    program = Path(sys.executable).with_name(linter)
    command = [str(program), *LINTERS[linter], str(WORKFLOW)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_actions_are_pinned() -> None:
    used = [step["uses"] for step in STEPS if "uses" in step]
    assert used
    for action in used:
        _, _, commit = action.partition("@")
        assert len(commit) == 40


def run_step(step: dict[str, Any], clone: Clone) -> str:
    """What the step's script prints, run as GitHub's runner runs it."""
    return clone.run("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"])


@pytest.mark.xdist_group("origin")
def test_commands_run_the_pipeline_share_it_and_report(origin: Clone, tmp_path: Path) -> None:
    clone = origin.copied(tmp_path / "clone")
    clone.dvc("remote", "add", "--default", "--force", "team", str(tmp_path / "team"))
    clone.set_params(calibration_bins="9")
    clone.commit("another number of bins")
    # Setting up is what .ci/run does; here stands what it would have made.
    programs = tmp_path / "programs"
    for name in ("make", "gh"):
        write_program(programs, name)
    (programs / "dvc").symlink_to(shutil.which("dvc") or "dvc")
    clone.variables.update(
        {
            "BASE": "origin/main",
            "OURS": "true",
            "CALLS": str(tmp_path / "calls"),
            "GITHUB_PATH": str(tmp_path / "path"),
            "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
            "GH_TOKEN": "token",
            "PULL_REQUEST": "17",
            "PATH": os.pathsep.join([str(programs), clone.path()]),
        }
    )
    said = [run_step(step, clone) for step in STEPS if "run" in step]
    assert "Running stage 'evaluate'" in said[1]
    assert "Running stage 'train'" not in said[1]
    assert any((tmp_path / "team/files").rglob("*"))
    report = (tmp_path / "summary").read_text("utf-8")
    assert "| results/evaluate/metrics.json | ece " in report.replace("  ", " ")
    assert "evaluate.calibration_bins" in report
    assert " M dvc.lock" in report
    assert (clone.folder / "plots/index.html").stat().st_size > 10_000
    assert (tmp_path / "calls").read_text("utf-8").splitlines() == [
        "make setup",
        "gh pr comment 17 --edit-last --create-if-none --body-file report.md",
    ]
