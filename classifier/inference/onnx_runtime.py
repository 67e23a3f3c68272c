"""Run an ONNX file, on the CPU if nothing else is said. Needs ONNX Runtime and NumPy only."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime

from classifier.core.errors import UserError, first_line
from classifier.inference.manifest import read_exported

INPUT, LOGITS, OUTSIDE, SIMILARITY = "images", "logits", "outside", "similarity"
ONNX_FILE, INT8_FILE = "model.onnx", "model.int8.onnx"


class Outputs(NamedTuple):
    """What a network gives for N images.

    Attributes:
        logits: float32 `(N, classes)`.
        outside: outside scores, float32 `(N,)`: the higher, the less an image looks like those of
            any class. None where the network was exported without (`evaluate.outside_share`).
        similarity: to each of m training images, float32 `(N, m)`: the cosine of the features.
            None where the network was exported without (`export.similar_images`).
    """

    logits: np.ndarray
    outside: np.ndarray | None = None
    similarity: np.ndarray | None = None

    @classmethod
    def of(cls, arrays: Iterable[np.ndarray]) -> "Outputs":
        """Return the outputs of a network that names none, in their order, logits first."""
        logits, *others = arrays
        names = {1: OUTSIDE, 2: SIMILARITY}
        return cls(logits, **{names[other.ndim]: other for other in others})


# Name and settings of what computes.
Provider = tuple[str, dict[str, str]]
_CPU: Provider = ("CPUExecutionProvider", {})
# Images uint8 `(N, input_size, input_size, 3)` → what the network gives for them.
Predictor = Callable[[np.ndarray], Outputs]


def load_onnx(content: bytes, threads: int = 0, provider: Provider = _CPU) -> Predictor:
    """Load a file as a function.

    Args:
        content: of the file.
        threads: of one call; 0 for one per core.
        provider: what computes, by ONNX Runtime's name, and its settings.

    Raises:
        UserError: where this ONNX Runtime cannot run it there; so does the function.
    """
    everything = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    with _as_sentence():
        session = _session(content, threads, everything, provider)
    if session.get_providers()[0] != provider[0]:
        raise UserError(
            f"ONNX Runtime {onnxruntime.__version__} cannot use its {provider[0]} here, and says "
            "above why: choose --runtime onnx."
        )
    names = [output.name for output in session.get_outputs()]
    check_outputs(names)

    def predict(images: np.ndarray) -> Outputs:
        with _as_sentence():
            given = session.run(names, {INPUT: images})
        return Outputs(**dict(zip(names, map(np.asarray, given), strict=True)))

    return predict


def check_outputs(names: Sequence[str]) -> None:
    """Raise UserError where the outputs are not those of an exported network."""
    if not {LOGITS} <= {*names} <= {*Outputs._fields}:
        expected = f"{LOGITS}, and at most {OUTSIDE} and {SIMILARITY}"
        raise UserError(f"its outputs are {', '.join(names)} instead of {expected}.")


def load_exported(folder: Path, file: str, threads: int = 0) -> Predictor:
    """Load an ONNX file of an export as a function.

    Raises:
        UserError: where the file is not what the manifest says, or this ONNX Runtime cannot run it.
    """
    return load_onnx(read_exported(folder, file), threads)


@contextmanager
def _as_sentence() -> Iterator[None]:
    """Turn an error of ONNX Runtime into a UserError."""
    try:
        yield
    # The classes of its errors have no base of their own and no public names.
    except Exception as error:
        reason = first_line(error)
        raise UserError(
            f"ONNX Runtime {onnxruntime.__version__} cannot run it: {reason}"
        ) from error


def plain_session(content: bytes, threads: int) -> onnxruntime.InferenceSession:
    """Return a session that computes every node of the file by itself, with nothing fused."""
    return _session(content, threads, onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL)


def _session(
    content: bytes,
    threads: int,
    optimization: onnxruntime.GraphOptimizationLevel,
    provider: Provider = _CPU,
) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.graph_optimization_level = optimization
    # Threads that go on waiting actively would slow whatever runs between two calls.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    providers = [_CPU] if provider == _CPU else [provider, _CPU]
    return onnxruntime.InferenceSession(content, options, providers=providers)
