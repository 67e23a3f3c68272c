"""Files that browsers read otherwise than Pillow, in a real browser."""

import struct
import zlib

import numpy as np
import pytest
from builders.images import encode, noise
from builders.web.browser import needs_chromium
from builders.web.static_site import pixels_in_page
from PIL import Image
from playwright.sync_api import Error, Page

from classifier.processing.images import Preprocessing, read_image

pytestmark = needs_chromium
CONFIG = {"stored_size": 16, "resize": "crop", "max_pixels": 1000}
FRAMES = [Image.fromarray(noise(20, 20, seed)) for seed in (1, 2)]
XMP = b'<rdf:Description tiff:Orientation="6"/>'
TITLE = 0x010E


def exif(orientation: int | None) -> Image.Exif:
    data = Image.Exif()
    data[TITLE] = "a boat"
    if orientation is not None:
        data[0x0112] = orientation
    return data


def odd_exif(kind: int, count: int, magic: int) -> bytes:
    """EXIF data that turn an image by a quarter; usual are kind 3 (short), count 1 and magic 42."""
    entry = struct.pack(">HHL", 0x0112, kind, count)
    entry += struct.pack(">L", 6) if kind == 4 else struct.pack(">HH", 6, 6)
    return b"Exif\0\0MM" + struct.pack(">HLH", magic, 8, 1) + entry + bytes(4)


def smooth() -> Image.Image:
    """An image whose pixels differ little between decoders of JPEG."""
    return Image.fromarray(noise(4, 3)).resize((24, 18))


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">L", len(data)) + name + data + struct.pack(">L", zlib.crc32(name + data))


def png_with(name: bytes, data: bytes, before: bytes = b"IDAT") -> bytes:
    content = encode(FRAMES[0])
    place = content.index(before) - 4
    return content[:place] + chunk(name, data) + content[place:]


def exif_in_text() -> bytes:
    """A PNG file as ImageMagick 6 writes EXIF data."""
    data = exif(6).tobytes()
    text = f"Raw profile type exif\0\nexif\n{len(data):8d}\n{data.hex()}\n"
    return png_with(b"tEXt", text.encode())


def wide_and_transparent() -> bytes:
    """A PNG file of 16 bits a colour, all of whose pixels are of its transparent colour."""
    header = struct.pack(">2L5B", 4, 4, 16, 2, 0, 0, 0)
    pixels = (b"\0" + b"\x10\x20" * 12) * 4
    parts = [(b"IHDR", header), (b"tRNS", b"\x10\x20" * 3), (b"IDAT", zlib.compress(pixels))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in [*parts, (b"IEND", b"")])


def gif_on_larger_screen() -> bytes:
    content = bytearray(encode(FRAMES[0].convert("P"), "GIF"))
    content[6:10] = struct.pack("<HH", 25, 22)
    return bytes(content)


def webp_animation(width: int = 20) -> bytes:
    content = bytearray(
        encode(FRAMES[0], "WEBP", lossless=True, save_all=True, append_images=FRAMES[1:])
    )
    content[24:27] = (width - 1).to_bytes(3, "little")
    return bytes(content)


def png_animation(**options: bool) -> bytes:
    return encode(FRAMES[0], "PNG", save_all=True, append_images=FRAMES, **options)


READ = {
    "WebP": encode(FRAMES[0], "WEBP", lossless=True, exif=exif(1)),
    "WebP, orientation that is none": encode(FRAMES[0], "WEBP", lossless=True, exif=exif(9)),
    "WebP, XMP that EXIF overrules": encode(
        FRAMES[0], "WEBP", lossless=True, exif=exif(1), xmp=XMP
    ),
    "JPEG, XMP that EXIF overrules": encode(smooth(), "JPEG", quality=95, exif=exif(8), xmp=XMP),
    "JPEG that EXIF turns": encode(smooth(), "JPEG", quality=95, exif=odd_exif(3, 1, 42)),
    "AVIF, XMP that EXIF overrules": encode(
        smooth(), "AVIF", quality=100, subsampling="4:4:4", exif=exif(8), xmp=XMP
    ),
    "PNG animation": png_animation(),
    "WebP animation": webp_animation(),
    "GIF animation": encode(
        FRAMES[0].convert("P"), "GIF", save_all=True, append_images=FRAMES[1:], comment=b"a boat"
    ),
}
REFUSED = {
    "WebP that EXIF turns": (
        encode(FRAMES[0], "WEBP", lossless=True, exif=exif(6)),
        "EXIF data turn it, which some browsers ignore in WebP files: use classifier predict",
    ),
    "PNG that late EXIF turns": (
        png_with(b"eXIf", exif(6).tobytes().removeprefix(b"Exif\0\0"), before=b"IEND"),
        "EXIF data behind its pixels turn it",
    ),
    **{
        f"JPEG, orientation that is {what}": (
            encode(smooth(), "JPEG", exif=odd_exif(*written)),
            "Its EXIF orientation is written as browsers ignore it: use classifier predict",
        )
        for what, written in {
            "a long number": (4, 1, 42),
            "two numbers": (3, 2, 42),
            "in no TIFF data": (3, 1, 43),
        }.items()
    },
    "PNG, EXIF in a text": (exif_in_text(), "Its EXIF data are in a text"),
    "JPEG that XMP turns": (encode(smooth(), "JPEG", xmp=XMP), "XMP data turn it"),
    "JPEG that XMP turns, EXIF without": (
        encode(smooth(), "JPEG", xmp=XMP, exif=exif(None)),
        "XMP data turn it",
    ),
    "WebP that XMP turns": (encode(FRAMES[0], "WEBP", xmp=XMP), "XMP data turn it"),
    "AVIF that XMP turns": (encode(FRAMES[0], "AVIF", xmp=XMP), "XMP data turn it"),
    "image beside a PNG animation": (
        png_animation(default_image=True),
        "Its image is none of its animation, which browsers show",
    ),
    "GIF that is larger than its frame": (gif_on_larger_screen(), "Its first frame has another"),
    "WebP that is larger than its frame": (webp_animation(25), "Its first frame has another"),
    "transparent colour of 16 bits": (wide_and_transparent(), "Its transparent colour has 16 bits"),
    "AVIF animation": (
        encode(FRAMES[0], "AVIF", save_all=True, append_images=FRAMES[1:]),
        "It is an AVIF animation, whose colours some browsers change",
    ),
    "grey of 16 bits": (
        encode(Image.fromarray(np.full((9, 9), 4000, np.uint16))),
        "Its grey values have 16 bits, which browsers cut to 8",
    ),
    "text": (b"text", "It is no image in a known format."),
    "icon": (encode(FRAMES[0], "ICO"), "It is no image in a known format."),
    "beginning of a PNG file": (encode(FRAMES[0])[:40], "This browser cannot read it as an image."),
    "too large": (encode(noise(40, 30)), "It has 40 x 30 pixels; 1,000 is the limit."),
}


@pytest.mark.parametrize("content", READ.values(), ids=READ)
def test_what_browsers_read_alike_is_read(page: Page, content: bytes) -> None:
    expected = read_image(content, Preprocessing(16, "crop")).pixels
    difference = pixels_in_page(page, content, CONFIG) - expected.astype(int)
    assert np.abs(difference).max() <= 1


@pytest.mark.parametrize(("content", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_would_be_read_otherwise_is_refused(page: Page, content: bytes, sentence: str) -> None:
    with pytest.raises(Error, match=sentence):
        pixels_in_page(page, content, CONFIG)
