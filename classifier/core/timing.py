"""Seconds, memory and environment of a stage's run: the only file that differs between runs."""

import os
import platform
import sys
import time
from pathlib import Path

from classifier.core.files import write_json
from classifier.core.versions import LIBRARIES, installed_versions


def write_timing(stage: str, started: float, **figures: float | str) -> None:
    """Write `results/<stage>/timing.json`: seconds, peak memory, `figures`, environment.

    Whatever may differ between two runs of one commit is written here and in no other file.

    Args:
        stage: Name of the stage.
        started: `time.perf_counter()` when the stage's program began.
        figures: Further values by their names.
    """
    content = {
        "seconds": round(time.perf_counter() - started, 3),
        "peak_memory_mb": peak_memory_mb(),
        **figures,
        "environment": {
            "python": platform.python_version(),
            "platform": f"{platform.system()} {platform.machine()}",
            "cores": os.cpu_count(),
            "threads": os.environ.get("OMP_NUM_THREADS", "all"),
            **installed_versions(*LIBRARIES),
        },
    }
    write_json(Path("results") / stage / "timing.json", content)


def peak_memory_mb() -> float | None:
    """Return the peak resident memory of this process in MiB; None on Windows."""
    if sys.platform == "win32":
        return None
    import resource  # noqa: PLC0415 (there is none on Windows)

    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20, 1)
