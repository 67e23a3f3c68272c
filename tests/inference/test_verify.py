import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from builders.colours import rewrite
from builders.images import encode
from builders.tiny import tiny_bundle, write_project
from PIL import Image

from classifier.commands.verify import main
from classifier.core.errors import UserError
from classifier.core.files import write_json
from classifier.inference.golden_originals import ORIGINALS
from classifier.inference.manifest import MANIFEST
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
    ] + [
        f"ok      {file}" for file in ("model.json", "decision.json", "tta.json", "reference.json")
    ] + [
        f"ok      {file}" for file in ("golden.npy", "golden_tta.npy", "golden.json", *ORIGINALS)
    ] + [f"ok      {file}" for file in ("golden_files.npy", "golden_files.json")]
    assert "8 golden images" in lines[0]
    assert "All 17 files are as they were made." in lines[-1]


def test_golden_files_are_not_decoded_without_pillow_and_that_is_said(exported: Path) -> None:
    lines = [line for line in verify(exported).stdout.splitlines() if "golden_alpha.png" in line]
    assert lines == [
        "ok      golden_alpha.png: its hash is that of the manifest; not decoded, since Pillow is "
        "not installed"
    ]


def test_golden_files_are_decoded_where_pillow_is(
    exported: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(exported)])
    lines = capsys.readouterr().out.splitlines()
    for file in ORIGINALS:
        (line,) = [line for line in lines if file in line]
        expected = "decoded, values differ by 0 on average and 0 at most, probabilities by"
        assert line.startswith(f"ok      {file}: {expected}")


def turned_by_nobody(content: bytes) -> bytes:
    return encode(Image.open(io.BytesIO(content)), "JPEG", quality=95)


def black_below(content: bytes) -> bytes:
    return encode(Image.open(io.BytesIO(content)).convert("RGB"))


def without_antialiasing(content: bytes) -> bytes:
    image = Image.open(io.BytesIO(content))
    return encode(image.resize((8, 8), Image.Resampling.NEAREST, (400, 0, 2000, 1600)))


@pytest.mark.parametrize(
    ("file", "mistake"),
    [
        ("golden_rotated.jpg", turned_by_nobody),
        ("golden_alpha.png", black_below),
        ("golden_large.jpg", without_antialiasing),
    ],
)
def test_decoding_that_goes_another_way_fails(
    exported: Path,
    capsys: pytest.CaptureFixture[str],
    file: str,
    mistake: Callable[[bytes], bytes],
) -> None:
    rewrite(exported, file, mistake((exported / file).read_bytes()))
    with pytest.raises(UserError, match=rf"^1 of 17 files failed \({file}\)"):
        main([str(exported)])
    assert f"FAILED  {file}: decoded, values differ by" in capsys.readouterr().out


def test_export_of_an_earlier_version_has_no_golden_files_and_passes(exported: Path) -> None:
    manifest = json.loads((exported / MANIFEST).read_bytes())
    for file in (*ORIGINALS, "golden_files.npy", "golden_files.json"):
        del manifest["files"][file]
    write_json(exported / MANIFEST, manifest)
    main([str(exported)])


def other_tolerance(described: dict[str, Any]) -> None:
    described["tolerance"]["mean"] = 255


def no_pixels(described: dict[str, Any]) -> None:
    described["files"] *= 2


def name_elsewhere(described: dict[str, Any]) -> None:
    described["files"][0]["file"] = "../secret"


def fewer_classes(described: dict[str, Any]) -> None:
    described["files"][0]["probabilities"] = [1.0]


def no_text(described: dict[str, Any]) -> None:
    described["files"] = 3


@pytest.mark.parametrize(
    "damage", [other_tolerance, no_pixels, name_elsewhere, fewer_classes, no_text]
)
def test_damaged_description_of_golden_files_is_a_sentence(
    exported: Path, damage: Callable[[dict[str, Any]], None]
) -> None:
    described = json.loads((exported / "golden_files.json").read_bytes())
    damage(described)
    rewrite(exported, "golden_files.json", json.dumps(described).encode())
    with pytest.raises(UserError, match=r"the golden files of .* are damaged"):
        main([str(exported)])


def test_damaged_file_fails_and_the_others_are_still_reported(exported: Path) -> None:
    path = exported / "model.pt2"
    path.write_bytes(path.read_bytes() + b"!")
    done = verify(exported)
    assert done.returncode == 1
    assert "FAILED  model.pt2" in done.stdout
    assert "ok      model.int8.onnx" in done.stdout
    assert done.stderr.startswith("error: 1 of 17 files failed (model.pt2)")
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
    assert "error: 1 of 17 files failed (model.onnx)" in done.stderr


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
