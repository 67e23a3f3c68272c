"""Replay the golden pictures of an export on this machine.

    python -m classifier.verify models/export

ONNX Runtime and NumPy are all that it needs. Every file's hash is compared with the manifest's,
and every ONNX file must give the probabilities that it gave where it was made: of float models to
0.001, of eight-bit ones, whose kernels differ between processors, to 0.1. It prints a line for
each file, with the milliseconds that it takes here for a picture, and ends with status 1 where
one fails. TorchScript, `.pt2` and `.pte` files are hashed but not opened.
"""

import argparse
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from classifier.errors import UserError, run_program
from classifier.golden import EXPECTED, PICTURES, compare_answers
from classifier.manifest import Entry, read_exported, read_manifest
from classifier.onnx_runtime import Predictor, load_onnx
from classifier.softmax import probabilities
from classifier.speed import measure_in_turn


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m classifier.verify", description="Replay the golden pictures of an export."
    )
    parser.add_argument("folder", type=Path, help="such as models/export")
    folder = parser.parse_args().folder
    entries = read_manifest(folder)
    golden = json.loads(read_exported(folder, EXPECTED))
    pictures = np.load(io.BytesIO(read_exported(folder, PICTURES)), allow_pickle=False)
    failed: list[str] = []
    predictors: dict[str, Predictor] = {}
    for file, entry in entries.items():
        try:
            content = read_exported(folder, file)
            found = "its hash is that of the manifest"
            if file.endswith(".onnx"):
                predictors[file] = _load(content)
                found = _replayed(predictors[file], file, entry, pictures, golden)
            print(f"ok      {file}: {found}")
        except UserError as error:
            failed.append(file)
            print(f"FAILED  {file}: {error}")
    for file, speed in measure_in_turn(predictors, pictures).items():
        print(f"here    {file}: {speed.milliseconds_p50:.2f} ms for a picture")
    if failed:
        raise UserError(
            f"{len(failed)} of {len(entries)} files failed ({', '.join(failed)}): do not use them "
            "on this machine."
        )
    print(f"All {len(entries)} files are as they were made.")


def _load(content: bytes) -> Predictor:
    """The file as a function; raises UserError where this ONNX Runtime cannot run it."""
    try:
        return load_onnx(content)
    # The classes of its errors have no base of their own and no public names.
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"ONNX Runtime {onnxruntime.__version__} cannot run it: {reason}"
        ) from error


def _replayed(
    predict: Predictor, file: str, entry: Entry, pictures: np.ndarray, golden: dict[str, Any]
) -> str:
    """How the file agrees with what is expected of it; raises UserError where it does not."""
    assert entry.tolerance is not None
    answers = probabilities(predict(pictures), golden["temperature"])
    expected = np.array(golden["probabilities"][file])
    replay = compare_answers(answers, expected, entry.tolerance)
    found = (
        f"{len(pictures)} golden pictures, largest difference of a probability "
        f"{replay.largest_difference:.2g} (allowed {replay.tolerance:g})"
    )
    if replay.passed:
        return found
    raise UserError(f"{found}, another class for {replay.other_classes} of them.")


if __name__ == "__main__":
    run_program(main)
