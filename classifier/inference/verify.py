"""Replay the golden images of an export on this machine.

    python -m classifier.inference.verify models/export

ONNX Runtime and NumPy are all that it needs. Every file's hash is compared with the manifest's,
and every ONNX file must give the probabilities that it gave where it was made: of float models to
0.001, of eight-bit ones, whose kernels differ between processors, to 0.1. It prints a line for
each file, with the milliseconds that it takes here for an image, and ends with status 1 where
one fails. TorchScript, `.pt2` and `.pte` files are hashed but not opened.
"""

import argparse
from pathlib import Path

from classifier.core.errors import UserError
from classifier.core.processes import run_program
from classifier.inference.golden import read_golden
from classifier.inference.latency import measure_in_turn
from classifier.inference.manifest import read_exported, read_manifest
from classifier.inference.onnx_runtime import Predictor, load_exported


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m classifier.inference.verify",
        description="Replay the golden images of an export.",
    )
    parser.add_argument("folder", type=Path, help="such as models/export")
    folder = parser.parse_args().folder
    entries = read_manifest(folder)
    golden = read_golden(folder)
    failed: list[str] = []
    predictors: dict[str, Predictor] = {}
    for file in entries:
        try:
            if file.endswith(".onnx"):
                predictors[file] = load_exported(folder, file)
                found = golden.replay(file, predictors[file])
            else:
                read_exported(folder, file)
                found = "its hash is that of the manifest"
            print(f"ok      {file}: {found}")
        except UserError as error:
            failed.append(file)
            print(f"FAILED  {file}: {error}")
    for file, speed in measure_in_turn(predictors, golden.images).items():
        print(f"here    {file}: {speed.milliseconds_p50:.2f} ms for an image")
    if failed:
        raise UserError(
            f"{len(failed)} of {len(entries)} files failed ({', '.join(failed)}): do not use them "
            "on this machine."
        )
    print(f"All {len(entries)} files are as they were made.")


if __name__ == "__main__":
    run_program(main)
