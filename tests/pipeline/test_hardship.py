"""The stages under a full disk, SIGTERM at any moment, odd names and oversized batches."""

import importlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import torch
import yaml
from builders.images import encode, noise
from builders.processes import no_root
from builders.tiny import contents

from classifier.core.config import STAGES
from classifier.core.processes import run_program
from classifier.data.dataset import load_dataset

ROOT = Path(__file__).parents[2]
ODD_NAMES = ['comma, "quoted".png', "😀 $x_1$.png", "=1+1.png", f"{'ü' * 125}x.png"]
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))["stages"]


def run(stage: str) -> object:
    """The exit code of the stage's program, run here: 0, or its sentence."""
    torch.set_num_threads(1)
    with pytest.raises(SystemExit) as caught:
        run_program(importlib.import_module(f"stages.{stage}").main)
    return caught.value.code


def run_until_terminated(stage: str, delay: float) -> object:
    """The exit code of the stage's program, run here, which gets SIGTERM after `delay` seconds."""
    # Where the stage is done already, the signal must not end the tests.
    before = signal.signal(signal.SIGTERM, lambda _number, _frame: None)
    timer = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    try:
        return run(stage)
    finally:
        timer.join()
        signal.signal(signal.SIGTERM, before)


def start_export() -> "subprocess.Popen[str]":
    """The export in a process of its own.

    TorchScript's names count the exports of a process, and half an import of torch is not repeated.
    """
    return subprocess.Popen(
        [sys.executable, "-m", "stages.export"],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def terminate_export(delay: float) -> object:
    """Its exit code, or what it said; SIGTERM's own where it had not yet begun."""
    process = start_export()
    time.sleep(delay)
    process.terminate()
    _, said = process.communicate()
    return said if process.returncode == 1 else process.returncode


def finish(stage: str) -> None:
    """Run the stage to its end."""
    assert (start_export().wait() if stage == "export" else run(stage)) == 0


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, float]]:
    """A project in which all stages have run, and how many seconds each took."""
    folder = tmp_path_factory.mktemp("project")
    for label in ("cat", 'dog, "big"', "007"):
        (folder / "pets" / label).mkdir(parents=True)
        for number, name in enumerate([*ODD_NAMES, *(f"{i}.png" for i in range(8))]):
            (folder / "pets" / label / name).write_bytes(encode(noise(9, 7, number)))
    params = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
    params["download"] |= {"source": "folder", "url": "pets", "watch": "pets"}
    params["train"] |= {"epochs": 3, "batch_size": 1000}
    params["runtime"] |= {"checkpoint_minutes": 1e-9}
    params["export"]["int8"] |= {"methods": ["minmax"], "max_accuracy_drop": 1.0}
    (folder / "params.yaml").write_text(yaml.safe_dump(params), "utf-8")
    seconds: dict[str, float] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLASSIFIER_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.chdir(folder)
        for stage in STAGES:
            started = time.perf_counter()
            finish(stage)
            seconds[stage] = time.perf_counter() - started
    return folder, seconds


@pytest.fixture
def project(
    finished: tuple[Path, dict[str, float]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The current folder: a copy of the finished project."""
    folder = shutil.copytree(finished[0], tmp_path / "project")
    monkeypatch.chdir(folder)
    return folder


def remove_outputs(stage: str) -> None:
    """As DVC does before it runs a stage, and what the stage's folder of results holds."""
    for path in [*map(Path, PIPELINE[stage].get("outs", [])), Path("results", stage)]:
        shutil.rmtree(path, ignore_errors=True)
        path.unlink(missing_ok=True)


def test_odd_names_go_through_all_stages(project: Path) -> None:
    dataset = load_dataset(Path("data/split"))
    assert set(dataset.classes) == {"cat", 'dog, "big"', "007"}
    names = {path.partition("/")[2] for path in dataset.manifest["path"]}
    assert set(ODD_NAMES) <= names
    assert len(dataset.manifest) == 3 * 12


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("stage", STAGES)
def test_stage_that_is_terminated_cleans_up_and_runs_again_to_the_same_bytes(
    stage: str, project: Path, finished: tuple[Path, dict[str, float]]
) -> None:
    moments = random.Random(stage)
    for _ in range(2):
        remove_outputs(stage)
        delay = moments.uniform(0, finished[1][stage])
        alone = stage == "export"
        code = terminate_export(delay) if alone else run_until_terminated(stage, delay)
        # Native code may abort when the signal's exception meets it: no more than a kill.
        if code not in (0, -signal.SIGTERM, -signal.SIGABRT):
            assert "run the same command again" in str(code)
        assert not list(project.rglob("*.tmp"))
    remove_outputs(stage)
    finish(stage)
    assert contents(project, without="timing.json") == contents(finished[0], without="timing.json")


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[Path]:
    """A file system of its own at `folder`; skips the test where none can be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk")
    try:
        yield folder
    finally:
        os.chdir("/")
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path) -> None:
    with suppress(OSError), (disk / "filler").open("wb", buffering=0) as file:
        while file.write(bytes(1 << 12)):
            pass


@pytest.mark.parametrize("stage", STAGES)
def test_full_disk_is_a_sentence_and_leaves_nothing_half_written(
    stage: str, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove_outputs(stage)
    with small_disk(tmp_path / "disk", "size=64m") as disk:
        shutil.copytree(project, disk / "project")
        monkeypatch.chdir(disk / "project")
        fill(disk)
        before = contents(disk / "project")
        said = str(run(stage))
        assert said.startswith("error: No space left on device")
        assert said.endswith("the disk is full: free some space, and run the same command again.")
        assert contents(disk / "project") == before


def test_full_folder_for_temporary_files_is_a_sentence_of_the_export(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path / "disk", "size=64k,nr_inodes=2") as disk:
        fill(disk)
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
        monkeypatch.chdir(project)
        for stage in STAGES:
            assert stage == "export" or run(stage) == 0
        assert str(run("export")).startswith("error: No space left on device")


def test_folder_that_may_not_be_written_to_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    Path("data").mkdir(mode=0o555)
    with no_root():
        said = run("download")
    assert said == "error: Permission denied: data/raw"
