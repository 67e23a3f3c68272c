"""The train stage as a process, and the states that it leaves to resume from."""

import os
import subprocess
import sys
import time
from pathlib import Path

from builders.tiny import ROOT
from classifier.core.cache import cache_folder


def start_train(folder: Path) -> "subprocess.Popen[str]":
    """The train stage as a program of its own in a project's folder, on one thread."""
    variables = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "stages.train"],
        cwd=folder,
        env=os.environ | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def saved_states() -> list[str]:
    """The names of all states to resume in the cache folder, in ascending order."""
    return sorted(path.name for path in cache_folder("resume").glob("*/*.state"))


def wait_for_new_state(process: "subprocess.Popen[str]", before: list[str]) -> None:
    """Return as soon as there are others than `before`, or the process has ended."""
    while saved_states() == before and process.poll() is None:
        time.sleep(0.001)
