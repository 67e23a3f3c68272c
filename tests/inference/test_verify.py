import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from builders.colours import rewrite
from builders.tiny import tiny_bundle, write_project

from stages import export

REPOSITORY = Path(__file__).parents[2]
# Runs the program where only ONNX Runtime and NumPy seem to be installed.
ALONE = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"{name} is not installed")

BLOCKED = {"torch", "torchvision", "pandas", "pydantic", "PIL", "yaml", "onnx", "matplotlib",
           "sklearn", "safetensors", "scipy", "platformdirs", "tqdm", "dvc", "dvclive"}
sys.meta_path.insert(0, Blocker())
sys.argv = ["classifier", "verify", sys.argv[1]]
import runpy
runpy.run_module("classifier", run_name="__main__")
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_project(tmp_path_factory.mktemp("project"))
    tiny_bundle(folder / "models")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        export.main()
    return folder


@pytest.fixture
def exported(project: Path, tmp_path: Path) -> Path:
    """A copy of the export, to be damaged."""
    for path in (project / "models/export").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


def verify(folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", ALONE, str(folder)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_sound_export_passes_with_only_onnx_runtime_and_numpy(exported: Path) -> None:
    done = verify(exported)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines if line.startswith("ok")] == [
        f"ok      {file}"
        for file in ("model.onnx", "model.pt2", "model.torchscript.pt", "model.int8.onnx")
    ] + [f"ok      {file}" for file in ("model.json", "decision.json", "tta.json")] + [
        f"ok      {file}" for file in ("golden.npy", "golden_tta.npy", "golden.json")
    ]
    assert "8 golden images" in lines[0]
    assert "All 10 files are as they were made." in lines[-1]


def test_damaged_file_fails_and_the_others_are_still_reported(exported: Path) -> None:
    path = exported / "model.pt2"
    path.write_bytes(path.read_bytes() + b"!")
    done = verify(exported)
    assert done.returncode == 1
    assert "FAILED  model.pt2" in done.stdout
    assert "ok      model.int8.onnx" in done.stdout
    assert done.stderr.startswith("error: 1 of 10 files failed (model.pt2)")
    assert "Traceback" not in done.stderr


def expect_otherwise(folder: Path) -> None:
    """Rewrite what is expected of the ONNX file, with the manifest to match."""
    golden = json.loads((folder / "golden.json").read_text("utf-8"))
    answers = golden["probabilities"]["model.onnx"]
    golden["probabilities"]["model.onnx"] = [[0.0, 0.0, 1.0] for _ in answers]
    rewrite(folder, "golden.json", json.dumps(golden).encode())


def test_file_that_answers_otherwise_here_fails(exported: Path) -> None:
    expect_otherwise(exported)
    done = verify(exported)
    assert done.returncode == 1
    assert "FAILED  model.onnx: 8 golden images, largest difference" in done.stdout
    assert "another label for" in done.stdout
    assert "error: 1 of 10 files failed (model.onnx)" in done.stderr


def test_file_that_onnx_runtime_cannot_run_fails_with_a_sentence(exported: Path) -> None:
    rewrite(exported, "model.onnx", b"no model")
    done = verify(exported)
    assert done.returncode == 1
    assert "cannot run it" in done.stdout
    assert "Traceback" not in done.stderr


def test_folder_without_an_export_is_reported(tmp_path: Path) -> None:
    done = verify(tmp_path)
    assert done.returncode == 1
    assert "manifest.json is missing" in done.stderr
