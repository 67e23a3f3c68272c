"""Convert images of more than 8 bits a value to 8 bits, by the white level."""

from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image

from classifier.core.errors import UserError
from classifier.processing.decoder_warnings import note

FULL_RANGE = 65535.0  # of 16 bits
_WHITE_IS_ZERO = 0


class EightBit(NamedTuple):
    """An image of 8 bits a value, and the largest value that the file holds; 0 if not wide."""

    image: Image.Image
    largest: int


def stated_white_level(image: Image.Image) -> float | None:
    """Return the value that means white where the file says it, as few do.

    Call it before `image.load()`, which forgets how the file stores its values.
    """
    codec, rawmode = stored_layout(image)
    # libheif and Pillow scale the values of such files to the full range.
    if image.format == "HEIF" or (image.format == "PPM" and codec.startswith("ppm")):
        return FULL_RANGE
    return 4095.0 if rawmode == "I;12" else None


def is_wide_colour(image: Image.Image) -> bool:
    """Return whether the file has 16 bits a colour; call it before `image.load()`."""
    return not is_wide_grey(image) and ";16" in stored_layout(image)[1]


def is_wide_grey(image: Image.Image) -> bool:
    """Return whether the image is grey with more than 8 bits a value."""
    return image.mode == "F" or image.mode.startswith("I")


def grey_to_eight_bits(image: Image.Image, white_level: float) -> EightBit:
    """Convert a loaded wide grey image: `value * 255 / white_level`, rounded and clipped.

    32-bit integers up to 255 are 8-bit values in a large box. Floats range over 0..1 unless one
    is greater, then over 0..255. Negative values and NaN count as 0, with a warning. Where the file
    names a transparent value, the image has an alpha band, and the largest value is a visible one.
    """
    grey = np.asarray(image)
    hidden = grey == image.info["transparency"] if "transparency" in image.info else None
    if image.mode == "F":
        return EightBit(Image.fromarray(_floats(grey)), 0)
    _note_negative(grey)
    largest = int(grey.max() if hidden is None else grey[~hidden].max(initial=0))
    if largest <= 255 and grey.dtype.itemsize == 4 and _is_32_bit(image):
        return EightBit(Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)), 0)
    if grey.dtype.kind == "u" and grey.dtype.itemsize == 2:
        pixels = _scaled(np.arange(65536), white_level)[grey]  # a table needs less memory
    else:
        pixels = _scaled(grey, white_level)
    # Pillow inverts such files of 8 bits only.
    if _tiff_tag(image, ExifTags.Base.PhotometricInterpretation) == _WHITE_IS_ZERO:
        pixels = 255 - pixels
    eight_bit = Image.fromarray(pixels)
    if hidden is not None:
        eight_bit.putalpha(Image.fromarray(np.where(hidden, np.uint8(0), np.uint8(255))))
    return EightBit(eight_bit, max(largest, 0))


def largest_colour(image: Image.Image, white_level: float) -> int:
    """Return about the largest value of a loaded image with 16 bits a colour.

    Pillow keeps the upper 8 bits alone, which is right for the full range.

    Raises:
        UserError: The white level says that the values fill fewer bits.
    """
    if white_level < FULL_RANGE:
        raise UserError(
            "it has 16 bits a colour, of which only the upper 8 are read, so with "
            f"split.white_level {white_level:g} it would be nearly black: save it with 8 bits."
        )
    bands = zip(image.getbands(), np.atleast_2d(image.getextrema()), strict=True)
    return int(max(high for band, (_, high) in bands if band != "A")) * 256 + 255


def _scaled(values: np.ndarray, white_level: float) -> np.ndarray:
    scaled = values.astype(np.float32)
    scaled *= np.float32(255 / white_level)
    return _rounded(scaled)


def _rounded(values: np.ndarray) -> np.ndarray:
    """Return floats as uint8, rounded and clipped.

    It overwrites `values`, as each copy of a large image takes memory, see `decoded_size`.
    """
    np.rint(values, out=values)
    np.clip(values, 0, 255, out=values)
    return values.astype(np.uint8)


def _note_negative(grey: np.ndarray) -> None:
    if (lowest := grey.min()) < 0:
        note(f"its values go down to {lowest:g}; all below 0 count as 0")


def _floats(grey: np.ndarray) -> np.ndarray:
    if np.isnan(grey).any():
        note("some of its values are NaN, no numbers; they count as 0")
    numbers = np.nan_to_num(grey, nan=0.0)
    _note_negative(numbers)
    np.maximum(numbers, 0, out=numbers)
    largest = numbers.max()
    if largest <= 1:
        numbers *= 255
    elif largest > 255:
        note(f"its floating-point values reach {largest:g}; all above 255 are white")
    return _rounded(numbers)


def _is_32_bit(image: Image.Image) -> bool:
    return _tiff_tag(image, ExifTags.Base.BitsPerSample) == (32,)


def _tiff_tag(image: Image.Image, tag: int) -> object:
    """Return the value of a tag of a TIFF file; None for other files."""
    return getattr(image, "tag_v2", {}).get(tag)


def stored_layout(image: Image.Image) -> tuple[str, str]:
    """Return the names of the decoder and of the stored layout; empty where there are none.

    Call it before `image.load()`.
    """
    tile = getattr(image, "tile", [])
    if not tile:
        return "", ""
    arguments = tile[0].args
    rawmode = arguments if isinstance(arguments, str) else (arguments or ("",))[0]
    return tile[0].codec_name, str(rawmode)
