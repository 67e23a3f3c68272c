"""Versions of the libraries that results depend on, as locked and as installed.

versions.yaml holds the locked ones, so that DVC can treat them as parameters: a stage names in
dvc.yaml those that matter to it, is rerun when one changes, and refuses to run with another.
"""

import re
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from classifier.core.code import ROOT
from classifier.core.files import write_bytes

VERSIONS, LOCK = "versions.yaml", "requirements.lock"
# Libraries whose new releases may change a result.
LIBRARIES = (
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "pillow",
    "pillow-heif",
    "faiss-cpu",
    "scipy",
    "scikit-learn",
    "pandas",
    "matplotlib",
    "jinja2",
    "safetensors",
    "dvclive",
    "onnx",
    "onnx-ir",
    "onnxscript",
    "onnxruntime",
    "executorch",
)
# Libraries that a stage can do without, unless an image or a parameter needs them.
OPTIONAL = frozenset({"pillow-heif", "faiss-cpu", "executorch"})
_HEADER = """\
# Written by `make lock` from requirements.lock: the libraries whose releases may change a
# result. Each stage names those that it depends on in dvc.yaml.
"""


def installed_versions(*libraries: str) -> dict[str, str | None]:
    """Return the installed version of each library, by its name; None where it is missing."""
    return {name: _installed(name) for name in libraries}


def locked_versions(lock: str) -> dict[str, str]:
    """Return the version of each of `LIBRARIES` in the text of a lock file.

    Raises:
        ValueError: A library is missing, or has several versions, each for some Pythons.
    """
    found: dict[str, str] = {}
    for name in LIBRARIES:
        versions = re.findall(rf"^{name}==([^\s;]+)", lock, flags=re.M)
        if len(versions) != 1:
            raise ValueError(f"{LOCK} must hold one version of {name}, but holds {versions}")
        found[name] = versions[0]
    return found


def write_versions(root: Path) -> None:
    """Write versions.yaml from the requirements.lock in the same folder."""
    locked = locked_versions((root / LOCK).read_text("utf-8"))
    # Quoted, since YAML reads 1.20 as a number.
    lines = [f'{name}: "{number}"\n' for name, number in locked.items()]
    write_bytes(root / VERSIONS, "".join([_HEADER, *lines]).encode())


def _installed(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    write_versions(ROOT)
