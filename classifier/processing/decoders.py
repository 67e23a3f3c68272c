"""Open image files, and read what stands beside their pixels."""

import io
import struct
import zlib

from PIL import ExifTags, Image

from classifier.core.errors import UserError
from classifier.processing.decoder_warnings import collect_libtiff_errors, note
from classifier.processing.formats import FORMATS, sniff

_PNG = b"\x89PNG\r\n\x1a\n"
_PIXEL_CHUNKS = (b"tRNS", b"eXIf")  # the ancillary chunks of PNG that are used


def open_image(data: bytes) -> Image.Image:
    """Open an image file, whose pixels are not decoded yet.

    Raises:
        UserError: It is in none of FORMATS, its header is damaged, or its reader is missing.
    """
    kind = sniff(data)
    if kind is None:
        raise UserError(f"it is no image in a known format ({', '.join(FORMATS)}).")
    if kind == "HEIF":
        return _open_heif(data)
    if kind == "TIFF":
        collect_libtiff_errors()
    try:
        return Image.open(io.BytesIO(data), formats=(kind,))
    except Image.UnidentifiedImageError:
        raise UserError(
            f"it is damaged or cut short (Pillow cannot read its {kind} header)."
        ) from None


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8, of a loaded image; 1 where its tags are rubbish."""
    if image.format == "HEIF":
        return 1  # libheif has turned it, and the tag, which most phones write too, must not count
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    # Rubbish leads to errors of several classes, as pixels do.
    except Exception as error:
        note(f"its EXIF data cannot be read ({str(error) or type(error).__name__})")
        return 1
    return value if value in range(1, 9) else 1


def without_damaged_chunks(data: bytes) -> bytes:
    """Return a PNG file without the chunks that its pixels do not need, or that are damaged.

    Texts, colour profiles and the like go; transparency and EXIF stay if their checksum is right.
    Of another file, or of one that is cut short, return what was given.
    """
    if not data.startswith(_PNG):
        return data
    kept, place = [_PNG], len(_PNG)
    while place + 12 <= len(data):
        (length,) = struct.unpack_from(">L", data, place)
        end = place + 12 + length
        name, chunk = data[place + 4 : place + 8], data[place:end]
        ancillary = bool(name[0] & 0x20)
        if end > len(data):
            return data
        if not ancillary or (name in _PIXEL_CHUNKS and _has_checksum(chunk)):
            kept.append(chunk)
        place = end
    return b"".join(kept)


def _has_checksum(chunk: bytes) -> bool:
    return zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")


def _open_heif(data: bytes) -> Image.Image:
    """Open a HEIC or HEIF file, as phones write them."""
    try:
        # Most people have no such files, and importing it takes longer than a small image.
        from pillow_heif import HeifImageFile  # noqa: PLC0415
    except ImportError:
        raise UserError(
            "HEIC and HEIF files need the package pillow-heif: install it "
            "(`pip install pillow-heif`), or convert the image to JPEG."
        ) from None
    # The class itself, since registering it with Pillow would change what other programs read.
    return HeifImageFile(io.BytesIO(data))
