"""Search for an eight-bit model that is good enough to publish.

The methods of `export.int8.methods` are tried in their order until one loses no more accuracy than
`export.int8.max_accuracy_drop` allows. The validation split decides, because the test split has to
measure the published file without having chosen it.

Whether eight bits are faster depends on the processor, and no two measurements are equal. So the
speed is printed, and it decides only where `export.int8.min_speedup` is set.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import onnx
from onnxruntime.quantization.calibrate import TensorsData

from classifier.core.errors import UserError
from classifier.core.text import counted
from classifier.export.failure import why_not_written
from classifier.export.params import Int8Params
from classifier.export.quantization import (
    Calibration,
    calibrate,
    layers,
    prepare,
    quantize,
    scan_layers,
)
from classifier.inference.onnx_runtime import Predictor, load_onnx

# The scan asks which layers matter more than others: a few images tell.
_SCAN_IMAGES = 16


class Attempt(NamedTuple):
    """An eight-bit file, and how much validation accuracy it loses.

    Attributes:
        calibration: how the ranges of activations were found.
        excluded: names of the layers that stay in float.
        accuracy: on the validation split.
        drop: validation accuracy of the float file minus `accuracy`.
        content: of the file.
    """

    calibration: Calibration
    excluded: list[str]
    accuracy: float
    drop: float
    content: bytes

    @property
    def name(self) -> str:
        """The calibration, and how many layers are excluded, in words."""
        if not self.excluded:
            return self.calibration
        return f"{self.calibration} without {counted(len(self.excluded), 'sensitive layer')}"


class Search(NamedTuple):
    """All attempts in their order, the one to publish (or None), and why, in a sentence."""

    attempts: list[Attempt]
    chosen: Attempt | None
    reason: str


class Int8Search:
    """Quantises one ONNX file in several ways and measures each.

    Args:
        content: the ONNX file in float.
        images: of the training split, to calibrate with, uint8 `(n, input_size, input_size, 3)`.
        accuracy: measures a function of images on the validation split.
        threads: of ONNX Runtime.
    """

    def __init__(
        self,
        content: bytes,
        images: np.ndarray,
        accuracy: Callable[[Predictor], float],
        threads: int,
    ) -> None:
        self._model: onnx.ModelProto = prepare(content)
        self._images, self._accuracy, self._threads = images, accuracy, threads
        self._expected = accuracy(load_onnx(content, threads))
        self._ranges: dict[Calibration, TensorsData] = {}
        self._attempts: list[Attempt] = []
        self._failed: list[str] = []

    def run(self, params: Int8Params, speedup: Callable[[bytes], float]) -> Search:
        """Try the methods until a file passes.

        Args:
            params: section `export.int8`.
            speedup: measures how many times as fast a file is as the ONNX file in float.
        """
        for method in params.methods:
            try:
                tried = self._excluding(params) if method == "exclude" else self._calibrated(method)
            except (UserError, OSError, MemoryError, AssertionError):
                raise
            except Exception as error:  # onnx and ONNX Runtime raise errors of their own kinds
                self._failed.append(f"{method} failed ({why_not_written(error)})")
                continue
            if tried.drop <= params.max_accuracy_drop:
                return self._decide(tried, params, speedup(tried.content))
        failed = "; ".join(self._failed)
        if not self._attempts:
            reason = failed or "export.int8.methods names no method"
            return Search([], None, f"No int8 file: {reason}.")
        best = min(self._attempts, key=lambda attempt: attempt.drop)
        return Search(
            self._attempts,
            None,
            f"No int8 file: the best of {counted(len(self._attempts), 'attempt')} ({best.name}) "
            f"loses {best.drop:.4f} of the validation accuracy; export.int8.max_accuracy_drop "
            f"allows {params.max_accuracy_drop:g}{'; ' if failed else ''}{failed}.",
        )

    def _decide(self, passed: Attempt, params: Int8Params, speedup: float) -> Search:
        before = [f"{attempt.name} lost {attempt.drop:.4f}" for attempt in self._attempts[:-1]]
        before += self._failed
        tried = f" after {', '.join(before)}" if before else ""
        lost = f"changes the validation accuracy by {0 - passed.drop:+.4f}"
        speed = f"is {speedup:.2f} times as fast as ONNX in float here, for one image"
        # Other ranges would not change the graph, and with it the time that it takes.
        if params.min_speedup is not None and speedup < params.min_speedup:
            reason = f"No int8 file: {passed.name} {lost}{tried}, but {speed}; "
            reason += f"export.int8.min_speedup asks for {params.min_speedup:g}."
            return Search(self._attempts, None, reason)
        reason = f"Int8 by {passed.name} is published{tried}: it {lost} and {speed}."
        return Search(self._attempts, passed, reason)

    def _calibrated(self, calibration: Calibration) -> Attempt:
        self._ranges[calibration] = calibrate(self._model, self._images, calibration, self._threads)
        return self._attempt(calibration, [])

    def _excluding(self, params: Int8Params) -> Attempt:
        """Leave 1, 2, 4, … of the most sensitive layers in float, up to half, until one passes."""
        best = min(self._attempts, key=lambda attempt: attempt.drop, default=None)
        tried = best or self._calibrated("minmax")
        calibration, count = tried.calibration, len(layers(self._model))
        images = self._images[:_SCAN_IMAGES]
        scan = scan_layers(self._model, self._ranges[calibration], images, self._threads)
        excluded = 1
        while tried.drop > params.max_accuracy_drop and excluded <= count / 2:
            tried = self._attempt(calibration, [entry.layer for entry in scan[:excluded]])
            excluded *= 2
        return tried

    def _attempt(self, calibration: Calibration, excluded: list[str]) -> Attempt:
        content = quantize(self._model, self._ranges[calibration], exclude=excluded)
        accuracy = self._accuracy(load_onnx(content, self._threads))
        # Rounded, since 0.9 - 0.89 is a little more than the 0.01 that may be allowed.
        drop = round(self._expected - accuracy, 9)
        self._attempts.append(Attempt(calibration, excluded, accuracy, drop, content))
        return self._attempts[-1]
