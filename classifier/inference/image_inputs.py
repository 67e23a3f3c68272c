"""Take an image in the forms that a program may hold it in."""

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from classifier.core.errors import UserError
from classifier.processing.images import DecodedImage, Preprocessing, prepare_image, read_image

ImageInput = str | Path | bytes | BinaryIO | Image.Image | np.ndarray


def decode_input(image: ImageInput, preprocessing: Preprocessing) -> DecodedImage:
    """Decode an image that is given as a path, as bytes, as a file object, or as pixels.

    Args:
        image: A path; the bytes of an image file, or a file that is open in binary mode, read from
            where it stands; a PIL image, whose EXIF orientation counts as in a file; or an array
            of uint8, `(H, W, 3)` in RGB or `(H, W)` in grey.
        preprocessing: How an image becomes a square.

    Raises:
        UserError: It is something else, or no image that can be read.
        OSError: There is no such file.
    """
    if isinstance(image, str | Path):
        return read_image(Path(image), preprocessing)
    if isinstance(image, bytes | bytearray | memoryview):
        return read_image(bytes(image), preprocessing)
    if isinstance(image, Image.Image):
        return prepare_image(image, preprocessing)
    if isinstance(image, np.ndarray):
        return prepare_image(_from_array(image), preprocessing)
    if callable(read := getattr(image, "read", None)):
        return read_image(_bytes_of(read()), preprocessing)
    raise UserError(
        "predict takes a path, the bytes of a file, an open file, a PIL image, an array (uint8, "
        f"height x width x 3 or height x width), or a list of these, not {_named(image)}."
    )


def _bytes_of(content: object) -> bytes:
    if isinstance(content, bytes):
        return content
    raise UserError("the file is not open in binary mode: use open(path, 'rb').")


def _from_array(array: np.ndarray) -> Image.Image:
    """Return an array as an image, without a copy where it is contiguous."""
    colour = array.ndim == 3 and array.shape[2] == 3
    if array.dtype != np.uint8 or not (colour or array.ndim == 2):
        form = " x ".join(map(str, array.shape)) or "no dimensions"
        several = "; for several images, give a list of arrays" if array.ndim == 4 else ""
        raise UserError(
            "predict takes an array of uint8, height x width x 3 or height x width, not one of "
            f"{array.dtype}, {form}{several}."
        )
    if array.size == 0:
        raise UserError("the array has no pixels.")
    return Image.fromarray(np.ascontiguousarray(array))


def _named(thing: Any) -> str:
    """Return the name of a thing's type with its article, such as `a dict`."""
    if thing is None:
        return "None"
    name = type(thing).__name__
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
