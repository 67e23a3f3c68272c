"""`classifier predict`, in the process of the test and in one of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from classifier.commands.main import main
from classifier.core.processes import run_program

REPOSITORY = Path(__file__).parents[2]


class Run:
    """Runs the program in this process; keeps its status and what it wrote to standard error."""

    status: int | str | None = None
    errors = ""

    def __init__(self, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._patch, self._capsys = patch, capsys

    def __call__(self, *arguments: str) -> str:
        """What is printed."""
        self._patch.setattr(sys, "argv", ["classifier", "predict", *arguments])
        with pytest.raises(SystemExit) as caught:
            run_program(lambda: main(sys.argv[1:]))
        self.status = caught.value.code
        printed = self._capsys.readouterr()
        self.errors = printed.err
        return printed.out


def program(folder: Path, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "classifier", "predict", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
