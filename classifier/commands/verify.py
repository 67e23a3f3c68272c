"""Replay the golden images of an export on this machine.

    classifier verify models/export

ONNX Runtime and NumPy are all that it needs. It compares the hash of every file with the manifest,
and the probabilities and labels of every ONNX file with those that it gave where it was made. A
probability may differ by 0.001 in float models and by 0.1 in eight-bit ones, whose kernels differ
between processors. Where Pillow is installed, it also decodes the golden files and compares pixels
and probabilities. It prints a line for each file and the latency of each ONNX file here, and ends
with status 1 where one fails. Other formats are hashed but not opened.
"""

from statistics import median

from classifier.commands.shared.options import file_path
from classifier.commands.shared.parser import CommandParser
from classifier.core.errors import UserError
from classifier.inference.golden_originals import Originals, read_originals
from classifier.inference.golden_reader import read_golden
from classifier.inference.latency import seconds_in_turn
from classifier.inference.manifest import export_folder, read_exported, read_manifest
from classifier.inference.onnx_runtime import ONNX_FILE, Predictor, load_exported


def main(arguments: list[str]) -> None:
    """Check every file of an export and print a line for each."""
    parser = CommandParser(
        prog="classifier verify", description="Replay the golden images of an export here."
    )
    parser.add_argument(
        "folder", type=file_path, metavar="FOLDER", help="folder of the model, or of an export"
    )
    folder = export_folder(parser.parse_args(arguments).folder)
    entries = read_manifest(folder)
    golden = read_golden(folder)
    originals = read_originals(folder, golden)
    failed: list[str] = []
    predictors: dict[str, Predictor] = {}
    for file in entries:
        try:
            if file.endswith(".onnx"):
                predictors[file] = load_exported(folder, file)
                found = golden.replay(file, predictors[file])
            else:
                content = read_exported(folder, file)
                _check_schema(file, content)
                found = "its hash is that of the manifest"
                if originals is not None and file in originals.expected:
                    found = _replay(originals, file, content, predictors.get(ONNX_FILE))
            print(f"ok      {file}: {found}")
        except UserError as error:
            failed.append(file)
            print(f"FAILED  {file}: {error}")
    for file, seconds in seconds_in_turn(predictors, golden.inputs.images[:1]).items():
        print(f"here    {file}: latency {1000 * median(seconds):.2f} ms for one image")
    if failed:
        raise UserError(
            f"{len(failed)} of {len(entries)} files failed ({', '.join(failed)}): do not use them "
            "on this machine."
        )
    print(f"All {len(entries)} files are as they were made.")


def _check_schema(file: str, content: bytes) -> None:
    """Raise UserError where `predict` would refuse what the file holds."""
    try:
        from classifier.processing.decision import (  # noqa: PLC0415
            TTA_POLICY,
            Decision,
            TtaPolicy,
        )
        from classifier.processing.similar_images import SIMILAR, SimilarImages  # noqa: PLC0415
        from classifier.processing.softmax import DECISION  # noqa: PLC0415
        from classifier.processing.spec import DESCRIPTION, BundleSpec  # noqa: PLC0415
        from classifier.processing.travelling import parse_travelling  # noqa: PLC0415
    except ModuleNotFoundError:
        # pydantic and Pillow are not installed wherever an export is verified.
        return
    schemas = {
        DESCRIPTION: BundleSpec,
        DECISION: Decision,
        TTA_POLICY: TtaPolicy,
        SIMILAR: SimilarImages,
    }
    if file in schemas:
        parse_travelling(content, schemas[file], file, "export")


def _replay(originals: Originals, file: str, content: bytes, predict: Predictor | None) -> str:
    try:
        return originals.replay(file, content, predict)
    except ModuleNotFoundError:
        return "its hash is that of the manifest; not decoded, since Pillow is not installed"
