"""From the bytes of an image file to pixels: one function for training and for serving."""

import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from classifier.core.errors import UserError
from classifier.processing.decoded_size import decoded_bytes, webp_bytes
from classifier.processing.decoder_warnings import collect_warnings, note
from classifier.processing.decoders import (
    count_scans,
    note_other_images,
    open_image,
    orientation,
    webp_size,
    without_damaged_chunks,
)
from classifier.processing.pixel_modes import averageable, on_white
from classifier.processing.wide_values import FULL_RANGE

Resize = Literal["crop", "pad", "stretch"]
Box = tuple[float, float, float, float]

# About 256 MiB of RGB: a small file may promise any size, and decoding it must not fill the memory.
MAX_PIXELS = 89_000_000
# Of a file: more than any image of so many pixels needs.
MAX_BYTES = 1 << 29

# How to turn what is stored into what was seen, by EXIF orientation (1 needs nothing).
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Preprocessing:
    """How an image of any shape becomes a square of `stored_size` pixels.

    Attributes:
        stored_size: side of the square in pixels.
        resize: `crop` scales the short side and keeps the centre, `pad` scales the long side and
            fills up with black, `stretch` scales each side by itself.
        white_level: the value that becomes white (255) in grey images of more than 8 bits a value.
        max_pixels: of a file; larger ones are refused before they are decoded.
    """

    stored_size: int
    resize: Resize
    white_level: float = FULL_RANGE
    max_pixels: int = MAX_PIXELS


class DecodedImage(NamedTuple):
    """A preprocessed image.

    Attributes:
        pixels: uint8 `(S, S, 3)`, RGB.
        width: of the upright original, in pixels.
        height: of the upright original, in pixels.
        mode: how the file stores colours, by Pillow's names, such as `RGB`, `L` (grey) or `CMYK`.
        largest: the largest value in the file, where `white_level` says what is white; 0 elsewhere.
        warnings: what the decoder complained about, though it gave pixels.
    """

    pixels: np.ndarray
    width: int
    height: int
    mode: str
    largest: int = 0
    warnings: tuple[str, ...] = ()


def read_image(
    content: bytes | Path,
    preprocessing: Preprocessing,
    admit: Callable[[int], None] | None = None,
) -> DecodedImage:
    """Decode an image, turn it upright, make it RGB, and scale it to a square.

    Transparent parts become white. For values of more than 8 bits see `wide_values`. Of
    several images in a file, one counts, and a warning says so (`note_other_images`). A square RGB
    image of `stored_size` keeps its pixels as they are.

    Args:
        content: The path of a file, or its bytes.
        preprocessing: What the image becomes.
        admit: Called with the bytes of memory that decoding takes at most, before it begins; it may
            wait until there are as many, or raise UserError.

    Raises:
        UserError: with the reason, but not the file's name, where `content` is in none of FORMATS,
            has more than `preprocessing.max_pixels` pixels, is damaged, or is no regular file.
        OSError: where a path cannot be read.
    """
    data = _read_file(content) if isinstance(content, Path) else content
    with collect_warnings() as warnings:
        try:
            image = _read(data, preprocessing, admit)
        except UserError as error:
            repaired = without_damaged_chunks(data)
            if repaired == data:
                raise
            image = _read(repaired, preprocessing, admit)
            note(f"text or other data beside the pixels is left out ({error})")
    return image._replace(warnings=tuple(warnings))


def prepare_image(image: Image.Image, preprocessing: Preprocessing) -> DecodedImage:
    """Prepare an image that Pillow has opened as `read_image` prepares a file; raise as it does.

    Its EXIF orientation counts, as in a file. A JPEG image is decoded in full, and not to the size
    that is needed, so its pixels may differ a little from those of the file.
    """
    with collect_warnings() as warnings, _plain_errors(preprocessing.max_pixels):
        decoded = _decode(image, preprocessing, _ask_nobody, fast=False)
    return decoded._replace(warnings=tuple(warnings))


def center_window(size: int, input_size: int) -> slice:
    """Return the middle `input_size` of `size` pixels; an unequal margin is smaller in front."""
    assert 0 < input_size <= size
    first = (size - input_size) // 2
    return slice(first, first + input_size)


def center_crop(images: np.ndarray, input_size: int) -> np.ndarray:
    """Crop the centre of images `(..., S, S, 3)`: a view `(..., input_size, input_size, 3)`."""
    window = center_window(images.shape[-2], input_size)
    return images[..., window, window, :]


def model_input(content: bytes | Path, preprocessing: Preprocessing, input_size: int) -> np.ndarray:
    """Return the model input of an image file: uint8 `(input_size, input_size, 3)`, RGB.

    Raises as `read_image` does.
    """
    return center_crop(read_image(content, preprocessing).pixels, input_size)


def without_padding(image: DecodedImage, preprocessing: Preprocessing) -> np.ndarray:
    """Return the pixels of the square that show the image, not the black around it: `(H, W, 3)`."""
    (width, height), _ = _geometry(image.width, image.height, preprocessing)
    size = preprocessing.stored_size
    return image.pixels[center_window(size, height), center_window(size, width)]


def _read_file(path: Path) -> bytes:
    status = path.stat()
    # A pipe or a device may have no end.
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
        raise UserError("it is no regular file, but a pipe, a socket or a device.")
    if status.st_size > MAX_BYTES:
        raise UserError(f"it has {status.st_size:,} bytes; {MAX_BYTES:,} is the limit.")
    return path.read_bytes()


def _read(
    data: bytes, preprocessing: Preprocessing, admit: Callable[[int], None] | None
) -> DecodedImage:
    size = webp_size(data)
    if size is not None:
        _check_size(size, preprocessing.max_pixels)
        if admit is not None:
            admit(webp_bytes(*size))

    def ask(image: Image.Image, stored: tuple[int, int]) -> None:
        if admit is not None and size is None:
            scans = count_scans(data) if image.format == "JPEG" else 1
            admit(decoded_bytes(image, stored, scans))

    with _plain_errors(preprocessing.max_pixels), open_image(data) as image:
        decoded = _decode(image, preprocessing, ask, fast=True)
        note_other_images(image)
        return decoded


@contextmanager
def _plain_errors(max_pixels: int) -> Iterator[None]:
    """Turn whatever decoders raise into a UserError."""
    try:
        yield
    except UserError:
        raise
    except Image.DecompressionBombError:
        raise UserError(f"it has more than {max_pixels:,} pixels, the limit.") from None
    # On damaged files, decoders raise errors of a dozen classes, struct.error and IndexError too.
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise UserError(f"it is damaged or cut short ({reason}).") from error


def _ask_nobody(_image: Image.Image, _stored: tuple[int, int]) -> None:
    """Let an image be decoded that the caller holds already."""


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    """Raise UserError where the header, all that is read so far, gives too many pixels or none."""
    width, height = size
    if width * height > max_pixels:
        raise UserError(f"it has {width} x {height} pixels; {max_pixels:,} is the limit.")
    if width * height == 0:
        raise UserError("it has no pixels.")


def _decode(
    image: Image.Image,
    preprocessing: Preprocessing,
    ask: Callable[[Image.Image, tuple[int, int]], None],
    *,
    fast: bool,
) -> DecodedImage:
    _check_size(image.size, preprocessing.max_pixels)
    stored = image.size
    if image.format == "HEIF":
        # Only libheif's decoder knows the final size. Besides, `draft` would take a thumbnail.
        ask(image, stored)
        image.load()
        fast = False
    (width, height), mode = image.size, image.mode
    size, box = _geometry(width, height, preprocessing)
    # A JPEG decoder can leave out detail: cheaper, and invisible from twice the size upwards.
    drafted = image.draft(None, (2 * size[0], 2 * size[1])) if fast else None
    if drafted is not None:
        scale = width / drafted[1][2]
        box = (box[0] / scale, box[1] / scale, box[2] / scale, box[3] / scale)
    if image.format != "HEIF":
        ask(image, stored)
    pixels, largest = averageable(image, preprocessing.white_level)
    # Asked for only now, since loading a TIFF file turns it upright and drops the tag.
    turned = orientation(image)
    # Scaled before it gets a background: that of the whole image would take as much memory again.
    small = on_white(pixels.resize(size, Image.Resampling.BILINEAR, box))
    if turned in _UPRIGHT:
        small = small.transpose(_UPRIGHT[turned])
    if turned in (5, 6, 7, 8):
        width, height = height, width
    square = np.array(_fill_up(small, preprocessing.stored_size))
    return DecodedImage(square, width, height, mode, largest)


def _geometry(width: int, height: int, preprocessing: Preprocessing) -> tuple[tuple[int, int], Box]:
    """Return the size to scale to, and the part of the image that is scaled to it."""
    target = preprocessing.stored_size
    if preprocessing.resize == "pad":
        longest = max(width, height)
        size = (max(1, round(width * target / longest)), max(1, round(height * target / longest)))
        return size, (0, 0, width, height)
    if preprocessing.resize == "stretch":
        return (target, target), (0, 0, width, height)
    # Cropping before scaling: scaled first, an image of 1 x 10,000 would be huge in between.
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return (target, target), (left, top, left + side, top + side)


def _fill_up(image: Image.Image, size: int) -> Image.Image:
    """Place `image` in the middle of a black square of `size` pixels."""
    if image.size == (size, size):
        return image
    square = Image.new("RGB", (size, size))
    square.paste(image, ((size - image.width) // 2, (size - image.height) // 2))
    return square
