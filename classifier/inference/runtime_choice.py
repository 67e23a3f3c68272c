"""Which runtime is faster for an exported file on this machine: measured once, and remembered."""

import hashlib
import importlib.metadata
import json
import os
from pathlib import Path
from typing import NamedTuple

from classifier.core.cpu import cpu_kind
from classifier.core.errors import UserError
from classifier.core.files import write_json
from classifier.inference.golden_reader import read_golden
from classifier.inference.latency import seconds_in_turn
from classifier.inference.manifest import read_exported, read_manifest
from classifier.inference.onnx_runtime import Predictor, load_onnx
from classifier.inference.openvino_runtime import load_openvino

_LIBRARIES = ("onnxruntime", "openvino")
# OpenVINO must be so many times as fast, since it takes longer to load.
_WORTH = 1.1


class RuntimeChoice(NamedTuple):
    """The faster runtime, `onnx` or `openvino`, and why, in words."""

    runtime: str
    reason: str


def choose_runtime(export: Path, file: str, threads: int) -> RuntimeChoice:
    """Return the runtime that is faster for one image on this machine.

    OpenVINO is chosen where it is installed, answers to the golden images as expected, and is
    faster. The measurement takes about two seconds. Its result is kept in the cache folder for this
    file, processor and number of threads, and these versions of both libraries; without a folder to
    keep it in, ONNX Runtime is chosen.

    Args:
        export: The export folder.
        file: Name of the ONNX file in it.
        threads: Of one call.

    Raises:
        UserError: A file is missing or damaged.
    """
    versions = {name: _version(name) for name in _LIBRARIES}
    if versions["openvino"] is None:
        return RuntimeChoice("onnx", "OpenVINO is not installed")
    # Only here, since an image of the server has no cache folder.
    from classifier.core.cache import cache_folder  # noqa: PLC0415

    depends_on = {
        "file": read_manifest(export)[file].sha256,
        "processor": cpu_kind(),
        "cores": os.cpu_count(),
        "threads": threads,
        "versions": versions,
    }
    key = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()[:32]
    try:
        path = cache_folder("runtimes") / f"{key}.json"
    except UserError:
        return RuntimeChoice("onnx", "there is no cache folder to remember a measurement in")
    try:
        return RuntimeChoice(**json.loads(path.read_text("utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        choice = _measure(export, file, threads)
        write_json(path, choice._asdict())
        return choice


def _measure(export: Path, file: str, threads: int) -> RuntimeChoice:
    content, golden = read_exported(export, file), read_golden(export)
    both: dict[str, Predictor] = {"onnx": load_onnx(content, threads)}
    try:
        both["openvino"] = load_openvino(content, threads)
        golden.replay(file, both["openvino"])
    except (UserError, RuntimeError) as error:
        return RuntimeChoice("onnx", f"OpenVINO does not answer as expected: {error}")
    seconds = seconds_in_turn(both, golden.inputs.images[:1])
    # The fastest calls are those that nothing else has slowed.
    fastest = {name: 1000 * min(of) for name, of in seconds.items()}
    faster = fastest["onnx"] > _WORTH * fastest["openvino"]
    return RuntimeChoice(
        "openvino" if faster else "onnx",
        f"one image takes {fastest['onnx']:.2f} ms with ONNX Runtime and "
        f"{fastest['openvino']:.2f} ms with OpenVINO",
    )


def _version(library: str) -> str | None:
    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return None
