"""Golden files: image files that travel with an export, and what each must become.

They prove the way from a file to the model input: decoding, EXIF orientation, transparency and
scaling, also of a program in another language. `golden_files.npy` holds their pixels, uint8
`(n, stored_size, stored_size, 3)`, of which the model sees the centre; `golden_files.json` holds
the probabilities that `model.onnx` gave, and how much pixels and probabilities may differ. To read
them needs NumPy only, to decode them Pillow as well.
"""

import hashlib
import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from classifier.core.errors import UserError
from classifier.inference.golden import Golden, GoldenAnswers
from classifier.inference.manifest import parse_json, read_exported, read_manifest
from classifier.inference.onnx_runtime import Predictor

PIXELS, DESCRIBED = "golden_files.npy", "golden_files.json"
ALPHA, GREY, LARGE, ROTATED = (
    *("golden_alpha.png", "golden_grey.png"),
    *("golden_large.jpg", "golden_rotated.jpg"),
)
# What each proves, in the order of golden_files.npy.
ORIGINALS = {
    ALPHA: "PNG with transparency, which becomes white",
    GREY: "PNG of grey values alone",
    LARGE: "large JPEG, which must be scaled without aliasing",
    ROTATED: "JPEG that its EXIF orientation turns by a quarter",
}
# Of model.json: how a file becomes a square of pixels.
_PREPROCESSING = ("stored_size", "resize", "white_level")


class PixelTolerance(NamedTuple):
    """How much the results may differ, where another decoder of JPEG or another scaling is used.

    Attributes:
        mean: of the absolute differences of all values, 0 to 255.
        largest: of the absolute difference of a value, 0 to 255.
        probability: largest difference of a probability.
    """

    mean: float
    largest: int
    probability: float


TOLERANCE = PixelTolerance(mean=2.0, largest=16, probability=0.05)


class Original(NamedTuple):
    """What a golden file must become.

    Attributes:
        pixels: uint8 `(S, S, 3)`.
        answers: of `model.onnx`, for this image alone.
    """

    pixels: np.ndarray
    answers: GoldenAnswers


@dataclass(frozen=True)
class Originals:
    """The golden files of an export.

    Attributes:
        expected: by name of the file.
        tolerance: of pixels and probabilities.
        preprocessing: arguments of `Preprocessing`.
        golden: the golden images of the same export, whose rules decide.
    """

    expected: dict[str, Original]
    tolerance: PixelTolerance
    preprocessing: dict[str, Any]
    golden: Golden

    def replay(self, file: str, content: bytes, predict: Predictor | None = None) -> str:
        """Decode a golden file and compare the result with what is expected; return it in words.

        Args:
            file: its name.
            content: of the file.
            predict: runs `model.onnx`; None compares the pixels alone.

        Raises:
            ImportError: where Pillow is not installed.
            UserError: where the pixels or the answer differ too much.
        """
        # Pillow is not installed wherever an export is verified.
        from classifier.processing.images import (  # noqa: PLC0415
            Preprocessing,
            center_crop,
            read_image,
        )

        expected = self.expected[file]
        pixels = read_image(content, Preprocessing(**self.preprocessing)).pixels
        differences = np.abs(pixels.astype(np.int16) - expected.pixels)
        mean, largest = float(differences.mean()), int(differences.max())
        found = f"decoded, values differ by {mean:.2g} on average and {largest} at most"
        passed = mean <= self.tolerance.mean and largest <= self.tolerance.largest
        if predict is not None:
            inputs = self.golden.inputs
            shown = center_crop(pixels[np.newaxis], inputs.images.shape[1])
            given = inputs.answer(np.ascontiguousarray(shown), predict)
            golden = replace(self.golden, tolerances={file: self.tolerance.probability})
            result = golden.compare(file, given, expected.answers)
            passed = passed and result.passed
            found += f", probabilities by {result.largest_difference:.2g}"
        if not passed:
            raise UserError(f"{found}: it is not decoded and scaled as where it was made.")
        return found


def originals_content(
    pixels: dict[str, np.ndarray], answers: GoldenAnswers, labels: list[str]
) -> dict[str, Any]:
    """Return what `golden_files.json` holds.

    Args:
        pixels: of each file, uint8 `(S, S, 3)`.
        answers: of `model.onnx` for all of them.
        labels: the answer to each.
    """
    files = [
        {
            "file": file,
            "proves": ORIGINALS[file],
            "pixels_sha256": hashlib.sha256(image.tobytes()).hexdigest(),
            "label": labels[row],
            "probabilities": np.round(answers.probabilities[row], 6).tolist(),
            "outside": None if answers.outside is None else round(float(answers.outside[row]), 6),
        }
        for row, (file, image) in enumerate(pixels.items())
    ]
    return {"tolerance": TOLERANCE._asdict(), "files": files}


def read_originals(folder: Path, golden: Golden) -> Originals | None:
    """Read the golden files of the export in `folder`; None where it has none, as older ones.

    golden: from `read_golden`, which has checked that it is of the model that is described there.

    Raises:
        UserError: as `read_exported` does; and where a file is damaged, or two do not fit together.
    """
    if DESCRIBED not in read_manifest(folder):
        return None
    contents = [read_exported(folder, file) for file in (DESCRIBED, "model.json", PIXELS)]
    try:
        content, described = map(parse_json, contents[:2])
        pixels = np.load(io.BytesIO(contents[2]), allow_pickle=False)
        files, side = content["files"], described["stored_size"]
        if pixels.shape != (len(files), side, side, 3) or pixels.dtype != np.uint8:
            raise ValueError(f"they are not images of {side} pixels")
        expected = {
            one["file"]: Original(image, _answers(one, golden))
            for one, image in zip(files, pixels, strict=True)
        }
        if not expected.keys() <= ORIGINALS.keys():
            raise ValueError("a name is unknown")
        tolerance = PixelTolerance(**content["tolerance"])
        if not all(0 <= given <= own for given, own in zip(tolerance, TOLERANCE, strict=True)):
            raise ValueError("their tolerance would prove nothing")
        preprocessing = {name: described[name] for name in _PREPROCESSING}
        originals = Originals(expected, tolerance, preprocessing, golden)
    # A header may promise any size.
    except (
        *(ValueError, KeyError, TypeError, AttributeError, IndexError),
        *(EOFError, MemoryError, OverflowError),
    ) as error:
        raise UserError(
            f"the golden files of {folder} are damaged ({error}): copy the folder again, or run "
            "the export stage."
        ) from None
    return originals


def _answers(one: dict[str, Any], golden: Golden) -> GoldenAnswers:
    probabilities = np.array([one["probabilities"]], np.float64)
    if probabilities.shape != (1, len(golden.inputs.classes)):
        raise ValueError("there is not a probability for each class")
    outside = None if one["outside"] is None else np.array([one["outside"]], np.float64)
    return GoldenAnswers(probabilities, outside)
