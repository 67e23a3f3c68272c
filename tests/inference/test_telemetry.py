import os
import subprocess
import sys
from pathlib import Path

from builders.colours import image_of, write_models


def test_no_runtime_keeps_records_for_its_maker(tmp_path: Path) -> None:
    """ONNX Runtime 1.31 leaves a file in the home folder as soon as it prepares such a report."""
    home, image = tmp_path / "home", tmp_path / "red.png"
    home.mkdir()
    image.write_bytes(image_of("red"))
    # Either variable would stop it, too.
    kept = ("CI", "ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")
    variables = {name: value for name, value in os.environ.items() if name not in kept}
    models = write_models(tmp_path / "models")
    command = [sys.executable, "-m", "classifier", "predict", "--models", str(models), str(image)]
    said = subprocess.run(
        command, env=variables | {"HOME": str(home)}, capture_output=True, text=True, check=True
    )
    assert said.stdout.startswith("100.0% red")
    assert [path for path in home.rglob("*") if path.is_file()] == []
