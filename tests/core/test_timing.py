import json
import re
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from classifier.core.timing import peak_memory_mb, write_timing


def written(monkeypatch: pytest.MonkeyPatch, folder: Path, started: float) -> dict[str, object]:
    monkeypatch.chdir(folder)
    write_timing("train", started, device="cpu", images_per_second=12.5)
    return json.loads((folder / "results/train/timing.json").read_text("utf-8"))


def test_timing_holds_seconds_since_the_start_and_the_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = written(monkeypatch, tmp_path, time.perf_counter() - 5)
    assert content["seconds"] == pytest.approx(5, abs=0.5)
    assert (content["device"], content["images_per_second"]) == ("cpu", 12.5)


def test_timing_holds_versions_and_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    environment = written(monkeypatch, tmp_path, time.perf_counter())["environment"]
    assert isinstance(environment, dict)
    assert environment["torch"] == version("torch")
    assert environment["threads"] == "3"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc to compare")
def test_peak_memory_is_the_systems_high_water_mark() -> None:
    status = Path("/proc/self/status").read_text()
    match = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert match
    assert peak_memory_mb() == pytest.approx(int(match[1]) / 1024, rel=0.05)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell")
def test_timing_holds_the_peak_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = written(monkeypatch, tmp_path, time.perf_counter())
    assert content["peak_memory_mb"] == pytest.approx(peak_memory_mb(), rel=0.05)
