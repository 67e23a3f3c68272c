"""Estimate from the header of an image file how much memory its decoding takes."""

from PIL import Image

# Bytes of a pixel in Pillow's memory, by mode; RGB is among the others.
_STORED = {"1": 1, "L": 1, "P": 1, "I;16": 2, "I;16B": 2, "I;16L": 2, "I;16N": 2}
_STORED_OTHERS = 4
# Bytes of a pixel that the decoder of a format holds besides, until the image is complete. Measured
# with Pillow 13.0 and pillow-heif 1.8 on images of 4 and 25 megapixels and rounded up.
_DECODER = {"WEBP": 16, "AVIF": 14, "HEIF": 12, "GIF": 4, "TIFF": 4}
# Bytes of a pixel for a mode that can be averaged, and for the copy of RGBA that is scaled; these
# come after the decoder's.
_CONVERTED = {"L": 0, "RGB": 0, "1": 1, "F": 16, "I": 16}
_CONVERTED_OTHERS, _CONVERTED_TRANSPARENT, _CONVERTED_TRANSPARENT_WIDE = 4, 8, 14
_JPEG_COEFFICIENT = 2  # bytes
# Of an image of any size: buffers of the decoder, tables, the square that is returned.
_FIXED = 8 << 20


def webp_bytes(width: int, height: int) -> int:
    """Return how many bytes of memory the decoding of a WebP file takes at most, see below."""
    return width * height * (_STORED_OTHERS + _DECODER["WEBP"]) + _FIXED


def decoded_bytes(image: Image.Image, stored: tuple[int, int], scans: int) -> int:
    """Return how many bytes of memory decoding takes at most, besides those of the file.

    Args:
        image: As `Image.open` gives it, before its pixels are loaded; of a JPEG file, after
            `draft` has chosen how much detail is decoded.
        stored: Width and height in the file.
        scans: Of a JPEG file, see `count_scans`.
    """
    converted = _CONVERTED.get(image.mode, _CONVERTED_OTHERS)
    if "transparency" in image.info:
        wide = image.mode.startswith("I")
        converted = _CONVERTED_TRANSPARENT_WIDE if wide else _CONVERTED_TRANSPARENT
    besides = max(_DECODER.get(image.format or "", 0), converted)
    a_pixel = _STORED.get(image.mode, _STORED_OTHERS) + besides
    needed = image.width * image.height * a_pixel + _FIXED
    if image.format == "JPEG" and scans > 1:
        # The coefficients of the whole image are kept, whatever is left out.
        needed += stored[0] * stored[1] * len(image.getbands()) * _JPEG_COEFFICIENT
    return needed
