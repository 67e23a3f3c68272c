"""Versions of the installed libraries that results depend on."""

from importlib.metadata import PackageNotFoundError, version

# Those of which a result may depend on the release; tests compare versions.yaml with this.
LIBRARIES = ("torch", "torchvision", "numpy", "pillow", "scikit-learn", "onnx", "onnxruntime")


def installed_versions(*libraries: str) -> dict[str, str | None]:
    """Return the installed version of each library, by its name; None where it is missing."""
    return {name: _installed(name) for name in libraries}


def _installed(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None
