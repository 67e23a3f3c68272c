"""Make golden files: image files from golden images, with all that makes decoding hard.

The same golden images give the same bytes with one version of Pillow, which writes the JPEG files.
"""

import io

import numpy as np
from PIL import ExifTags, Image

from classifier.core.files import json_bytes
from classifier.inference.golden import GoldenInputs
from classifier.inference.golden_originals import (
    ALPHA,
    DESCRIBED,
    GREY,
    LARGE,
    PIXELS,
    ROTATED,
    originals_content,
)
from classifier.inference.onnx_runtime import Predictor
from classifier.processing.images import center_crop, read_image
from classifier.processing.spec import BundleSpec

_QUARTER_TURN = 6  # an EXIF orientation: what is stored must be turned clockwise
_RING_CONTRAST = 24
_SMOOTH = Image.Resampling.BILINEAR


def write_originals(
    stored: np.ndarray, spec: BundleSpec, inputs: GoldenInputs, predict: Predictor
) -> dict[str, bytes]:
    """Return the golden files of an export and what describes them, by name.

    Args:
        stored: golden images, uint8 `(n, S, S, 3)`.
        spec: of the trained model.
        inputs: the golden images of the export.
        predict: runs `model.onnx`.
    """
    files = original_files(stored)
    pixels = {
        file: read_image(content, spec.preprocessing).pixels for file, content in files.items()
    }
    squares = np.stack(list(pixels.values()))
    answers = inputs.answer(np.ascontiguousarray(center_crop(squares, spec.input_size)), predict)
    content = originals_content(pixels, answers, inputs.labels(answers))
    return files | {PIXELS: npy_bytes(squares), DESCRIBED: json_bytes(content)}


def original_files(stored: np.ndarray) -> dict[str, bytes]:
    """Return image files by name: golden images scaled up, uint8 `(n, S, S, 3)`, with rings.

    The rings become finer outwards, down to a pixel: scaled without antialiasing, they turn into
    other patterns.
    """
    sizes = {ALPHA: (160, 200), GREY: (200, 150), LARGE: (2400, 1600), ROTATED: (160, 240)}
    images = {
        file: _with_rings(Image.fromarray(stored[row % len(stored)]).resize(size, _SMOOTH))
        for row, (file, size) in enumerate(sizes.items())
    }
    turned = images[ROTATED].transpose(Image.Transpose.ROTATE_90)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = _QUARTER_TURN
    return {
        ALPHA: _encoded(_fading(images[ALPHA]), "PNG"),
        GREY: _encoded(images[GREY].convert("L"), "PNG"),
        LARGE: _encoded(images[LARGE], "JPEG", quality=80),
        ROTATED: _encoded(turned, "JPEG", quality=90, exif=exif),
    }


def npy_bytes(array: np.ndarray) -> bytes:
    """Return the array as a file of NumPy."""
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return buffer.getvalue()


def _with_rings(image: Image.Image) -> Image.Image:
    """Draw a disc of rings in the middle, in integers, which are the same on every machine."""
    pixels = np.array(image)
    height, width = pixels.shape[:2]
    radius = min(width, height) // 6
    top, left = height // 2 - radius, width // 2 - radius
    square = pixels[top : top + 2 * radius, left : left + 2 * radius]
    y, x = np.ogrid[-radius:radius, -radius:radius]
    distance = x**2 + y**2
    sign = np.where(distance // (2 * radius) % 2, 1, -1)
    change = np.where(distance < radius**2, _RING_CONTRAST * sign, 0)
    square[:] = np.clip(square + change[:, :, np.newaxis], 0, 255)
    return Image.fromarray(pixels)


def _fading(image: Image.Image) -> Image.Image:
    """Add transparency, from none on the left to full on the right."""
    alpha = 255 - 255 * np.arange(image.width) // (image.width - 1)
    faded = image.copy()
    faded.putalpha(Image.fromarray(np.tile(alpha.astype(np.uint8), (image.height, 1))))
    return faded


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
