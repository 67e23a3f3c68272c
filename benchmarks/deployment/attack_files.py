"""Images that cost a decoder far more than they cost whoever sends them, for `attacks.py`."""

import io
import random
import struct
import zlib

import numpy as np
from PIL import Image

_SCAN = b"\xff\xda"


def scans(side: int, count: int) -> bytes:
    """A progressive JPEG whose last scan comes again and again."""
    content = _save(Image.new("L", (side, side), 128), "JPEG", progressive=True, quality=10)
    last = content[content.rindex(_SCAN) : -2]
    return content[:-2] + last * count + b"\xff\xd9"


def text_ppm(side: int) -> bytes:
    """A PPM of a largest value that Pillow must scale in Python."""
    head = b"P6 %d %d 254\n" % (side, side)
    return head + bytes(side * side * 3)


def run_length_bmp(side: int) -> bytes:
    """A BMP whose runs of one pixel each Pillow decodes in Python."""
    row = b"\1\0" * side + b"\0\0"
    pixels = row * side + b"\0\1"
    offset = 14 + 40 + 1024
    head = struct.pack("<2sIHHI", b"BM", offset + len(pixels), 0, 0, offset)
    info = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, len(pixels), 0, 0, 256, 0)
    return head + info + bytes(1024) + pixels


def many_chunks(count: int) -> bytes:
    """A PNG with so many empty chunks of text."""
    content = _save(Image.new("L", (64, 64)), "PNG")
    chunk = struct.pack(">I", 0) + b"tEXt" + struct.pack(">I", zlib.crc32(b"tEXt"))
    return content[:33] + chunk * count + content[33:]


def promise(mode: str, side: int, kind: str) -> bytes:
    """A small file of very many pixels."""
    options = {"lossless": True, "method": 0} if kind == "WEBP" else {"compress_level": 1}
    return _save(Image.new(mode, (side, side)), kind, **options)


def mutated(content: bytes, source: random.Random) -> bytes:
    """The same with some bytes changed, and perhaps a stretch removed or its end cut off."""
    changed = bytearray(content)
    for _ in range(source.randrange(1, 12)):
        place = source.randrange(min(len(changed), source.choice((64, 4096))))
        changed[place] = source.choice((0, 1, 127, 128, 255, source.randrange(256)))
    if source.random() < 0.3:
        del changed[source.randrange(len(changed)) :]
    return bytes(changed)


def small_images() -> list[bytes]:
    """One in each of some formats."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 50, 4), np.uint8)
    image = Image.fromarray(pixels, "RGBA")
    kinds = (("RGB", "JPEG"), ("RGBA", "PNG"), ("P", "PNG"), ("RGBA", "WEBP"), ("RGB", "AVIF"))
    return [_save(image.convert(mode), kind) for mode, kind in kinds]


def _save(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
