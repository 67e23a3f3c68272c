from pathlib import Path

import numpy as np
import pytest
from builders.images import encode, noise
from PIL import Image

from classifier.processing.formats import FORMATS, IMAGE_SUFFIXES, SNIFF_BYTES, is_image, sniff

FILES = Path(__file__).parent / "files"
SAVED = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF")


@pytest.mark.parametrize("kind", SAVED)
def test_format_is_recognised_by_the_first_bytes(kind: str) -> None:
    assert sniff(encode(noise(9, 7), kind)[:SNIFF_BYTES]) == kind


@pytest.mark.parametrize("big_endian", [False, True])
def test_both_byte_orders_of_tiff_and_big_tiff_are_known(big_endian: bool) -> None:
    image = Image.fromarray(noise(3, 3)[..., 0].astype(">u2" if big_endian else "<u2"))
    for big_tiff in (False, True):
        assert sniff(encode(image, "TIFF", big_tiff=big_tiff)) == "TIFF"


def test_bilevel_and_grey_netpbm_files_are_known() -> None:
    assert sniff(encode(Image.new("1", (4, 4)), "PPM")) == "PPM"
    assert sniff(b"P2\n# a comment\n2 2 255\n1 2 3 4\n") == "PPM"


def test_photo_of_a_phone_is_known() -> None:
    assert sniff((FILES / "phone.heic").read_bytes()) == "HEIF"


@pytest.mark.parametrize(
    ("brands", "kind"),
    [
        (b"heic\0\0\0\0mif1heic", "HEIF"),
        (b"mif1\0\0\0\0mif1heic", "HEIF"),
        (b"mif1\0\0\0\0mif1avif", "AVIF"),
        (b"avif\0\0\0\0mif1miaf", "AVIF"),
        (b"isom\0\0\0\0mp41avif", None),
        (b"M4V \0\0\0\0mp42isom", None),
    ],
)
def test_brands_tell_avif_from_heif_and_from_films(brands: bytes, kind: str | None) -> None:
    assert sniff((8 + len(brands)).to_bytes(4, "big") + b"ftyp" + brands) == kind


@pytest.mark.parametrize(
    "content",
    [b"", b"BM", b"BMW is a brand of cars, says this text", b"P1 is a good plan", b"P5", b"hello",
     b"%PDF-1.7\n", b"RIFF\x10\0\0\0WAVEfmt ", b"\xff\xd8", b"II", b"\0\0\0\x10ftyp"],
)  # fmt: skip
def test_other_files_are_no_images(content: bytes) -> None:
    assert sniff(content) is None


def test_camera_raw_file_is_no_image_though_it_is_tiff() -> None:
    content = encode(noise(4, 4), "TIFF")
    assert sniff(content) == "TIFF"
    assert not is_image("DSC_0001.NEF", content)
    assert is_image("photo", content)


def test_text_named_png_is_no_image_and_a_jpeg_without_ending_is() -> None:
    assert not is_image("cat.png", b"not a picture")
    assert is_image("cat", encode(np.zeros((4, 4, 3), np.uint8), "JPEG"))


def test_suffixes_are_those_of_the_formats() -> None:
    known = Image.registered_extensions()
    phones = {".heic", ".heif", ".hif"}  # registered by pillow-heif alone
    assert {known.get(suffix) for suffix in IMAGE_SUFFIXES - {".pnm"} - phones} == {*SAVED}
    assert {*SAVED, "HEIF"} == set(FORMATS)
