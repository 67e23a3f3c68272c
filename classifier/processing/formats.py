"""The image formats that are read, told from a file's first bytes or from its ending."""

import re

# The decoders that files reach, by Pillow's names; Pillow knows many more, of rarer formats and
# less tested.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "HEIF")
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
    | {".ppm", ".pgm", ".pbm", ".pnm", ".avif", ".heic", ".heif", ".hif"}
)
# `sniff` wants this many bytes of a file, or the whole of a shorter one.
SNIFF_BYTES = 64

# Camera raw files are TIFF files whose first image is often a small preview of the photo.
_CAMERA_RAW_SUFFIXES = (".dng", ".nef", ".nrw", ".cr2", ".arw", ".srf", ".sr2", ".pef", ".srw")
_BEGINNINGS = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",  # BigTIFF
    b"MM\0+": "TIFF",
}
_BMP_HEADER_SIZES = frozenset({12, 16, 40, 52, 56, 64, 108, 124})
# Two letters are too few to tell an image from a text: a number or a comment must follow.
_PPM = re.compile(rb"P[1-6]\s*(\s\d|#)")
# Brands of the box `ftyp`: ISO/IEC 23008-12 (HEIF), annexes B and E, and the AVIF specification.
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIF_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}
)


def sniff(first_bytes: bytes) -> str | None:
    """Return the format of an image file, one of FORMATS, by its content; None for other files.

    Args:
        first_bytes: The first SNIFF_BYTES bytes of the file; more are ignored.
    """
    start = first_bytes[:SNIFF_BYTES]
    for beginning, name in _BEGINNINGS.items():
        if start.startswith(beginning):
            return name
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WEBP"
    if start[:2] == b"BM" and int.from_bytes(start[14:18], "little") in _BMP_HEADER_SIZES:
        return "BMP"
    if start[4:8] == b"ftyp":
        return _sniff_brands(start)
    return "PPM" if _PPM.match(start) else None


def is_image(name: str, first_bytes: bytes) -> bool:
    """Return whether a file is an image, by its content; camera raw files are not.

    Args:
        name: Name or path of the file, for its ending.
        first_bytes: See `sniff`.
    """
    return sniff(first_bytes) is not None and not name.lower().endswith(_CAMERA_RAW_SUFFIXES)


def _sniff_brands(start: bytes) -> str | None:
    """Return AVIF or HEIF by the brands of the box `ftyp`; None for films and the like."""
    end = int.from_bytes(start[:4], "big")
    major = start[8:12]
    # The compatible brands decide where the major one only names the container (mif1, msf1).
    compatible = {start[place : place + 4] for place in range(16, min(end, len(start)) - 3, 4)}
    if major in _AVIF_BRANDS or (major in (b"mif1", b"msf1") and compatible & _AVIF_BRANDS):
        return "AVIF"
    return "HEIF" if major in _HEIF_BRANDS else None
