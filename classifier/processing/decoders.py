"""Open image files, and read what stands beside their pixels."""

import io
import re
import struct
import zlib
from contextlib import suppress

from PIL import ExifTags, Image

from classifier.core.errors import UserError
from classifier.processing.decoder_warnings import collect_libtiff_errors, note
from classifier.processing.formats import FORMATS, sniff

# A progressive photo has about ten scans, and each goes over all of its pixels.
MAX_SCANS = 100
# Pillow handles each chunk of a PNG file by itself; encoders write at least some kilobytes in one.
MAX_CHUNKS = 50_000
# A marker of JPEG: no fill byte, no 0xFF of compressed pixels, none that restarts their decoder.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9
_ALONE = 0x01  # a marker that no length follows
_PNG = b"\x89PNG\r\n\x1a\n"
_PIXEL_CHUNKS = (b"tRNS", b"eXIf")  # the ancillary chunks of PNG that are used

_FRAME = "it is an animation, of which the first frame is taken"
_STILL = "it is an animation, of which the still image beside the frames is taken"
# By format: of the images in a file, the one that counts.
_TAKEN = {
    "TIFF": "it has several pages, of which the first is taken",
    "HEIF": "it has several images, of which the primary one is taken",
    **dict.fromkeys(("GIF", "PNG", "WEBP", "AVIF"), _FRAME),
}


def open_image(data: bytes) -> Image.Image:
    """Open an image file, whose pixels are not decoded yet.

    Raises:
        UserError: It is empty or in none of FORMATS, its header is damaged, its reader is missing,
            or it has more parts than an image needs, each of which would take time.
    """
    if not data:
        raise UserError("it is empty.")
    kind = sniff(data)
    if kind is None:
        raise UserError(f"it is no image in a known format ({', '.join(FORMATS)}).")
    if kind == "HEIF":
        return _open_heif(data)
    if kind == "TIFF":
        collect_libtiff_errors()
    elif kind == "JPEG":
        _check_parts(count_scans(data), MAX_SCANS, "scans")
    elif kind == "PNG":
        _check_parts(_count_chunks(data), MAX_CHUNKS, "chunks")
    try:
        return Image.open(io.BytesIO(data), formats=(kind,))
    except Image.UnidentifiedImageError:
        raise UserError(
            f"it is damaged or cut short (Pillow cannot read its {kind} header)."
        ) from None


def count_scans(data: bytes) -> int:
    """Return the number of scans of the image that a JPEG file begins with.

    What is inside of a segment, such as a thumbnail, and what follows the end of the image, such as
    the video of a motion photo, does not count. Source: ITU-T T.81, annex B.
    """
    scans, place = 0, 2
    while found := _MARKER.search(data, place):
        marker, place = found[0][1], found.end()
        if marker == _END_OF_IMAGE:
            break
        scans += marker == _START_OF_SCAN
        if marker != _ALONE:
            place += int.from_bytes(data[place : place + 2], "big")
    return scans


def webp_size(data: bytes) -> tuple[int, int] | None:
    """Return width and height of a WebP file; None for other files, and for damaged ones.

    Pillow reserves memory for all pixels when it opens such a file, so they are counted before.
    Source: RFC 9649, sections 2.5 to 2.7.
    """
    if sniff(data) != "WEBP":
        return None
    kind, head = data[12:16], data[20:30]
    if kind == b"VP8X":
        width, height = (int.from_bytes(head[at : at + 3], "little") for at in (4, 7))
        return width + 1, height + 1
    if kind == b"VP8L":
        bits = int.from_bytes(head[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        width, height = (int.from_bytes(head[at : at + 2], "little") for at in (6, 8))
        return width & 0x3FFF, height & 0x3FFF
    return None


def note_other_images(image: Image.Image) -> None:
    """Note that there are more images in the file of a loaded one, and which of them it is.

    Previews and gain maps in JPEG files show the same, so nothing is said about them.
    """
    if image.format not in _TAKEN:
        return
    # Of a GIF file that is damaged after its first frame, Pillow raises.
    with suppress(Exception):
        if getattr(image, "is_animated", False):
            still = getattr(image, "default_image", False)  # of PNG, besides the frames
            note(_STILL if still else _TAKEN[image.format])


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
    if not data.startswith(_PNG) or _count_chunks(data) > MAX_CHUNKS:
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


def _check_parts(count: int, limit: int, name: str) -> None:
    if count > limit:
        raise UserError(f"it has {count:,} {name}; {limit:,} is the limit.")


def _count_chunks(data: bytes) -> int:
    """Return the number of chunks of a PNG file, but at most one more than the limit."""
    count, place = 0, len(_PNG)
    while place < len(data) and count <= MAX_CHUNKS:
        place += 12 + int.from_bytes(data[place : place + 4], "big")
        count += 1
    return count


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
