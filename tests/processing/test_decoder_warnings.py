import io
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pillow_heif
import pytest
from builders.images import encode, noise
from PIL import Image

from classifier.processing.decoder_warnings import collect_warnings
from classifier.processing.images import Preprocessing, read_image

CROP_8 = Preprocessing(8, "crop")


def tiff_with_bad_tag() -> bytes:
    """A TIFF file of which Pillow complains: a tag that is longer than the file."""
    content = bytearray(encode(noise(8, 8), "TIFF", description="a long description of a boat"))
    place = content.index(b"\x0e\x01\x02\0")  # tag 270, of type text
    content[place + 4 : place + 8] = (10**6).to_bytes(4, "little")
    return bytes(content)


def damaged_deflate() -> bytes:
    """A TIFF file of which libtiff complains."""
    content = bytearray(encode(np.zeros((64, 64, 3), np.uint8), "TIFF", compression="tiff_deflate"))
    place = content.index(b"\x78\x9c") if b"\x78\x9c" in content else content.index(b"\x78")
    content[place + 8 : place + 12] = b"\xff\xff\xff\xff"
    return bytes(content)


def test_complaint_of_the_decoder_comes_with_the_image() -> None:
    image = read_image(tiff_with_bad_tag(), CROP_8)
    assert len(image.warnings) == 1
    assert "\n" not in image.warnings[0]
    assert read_image(encode(noise(8, 8), "TIFF"), CROP_8).warnings == ()


def test_every_image_has_its_own_complaints_in_threads() -> None:
    contents = [tiff_with_bad_tag() if i % 3 == 0 else encode(noise(8, 8)) for i in range(60)]
    with ThreadPoolExecutor(4) as pool:
        images = list(pool.map(lambda content: read_image(content, CROP_8), contents))
    assert [len(image.warnings) for image in images] == [int(i % 3 == 0) for i in range(60)]


def test_nothing_reaches_the_console(tmp_path: Path) -> None:
    (tmp_path / "tag.tif").write_bytes(tiff_with_bad_tag())
    (tmp_path / "deflate.tif").write_bytes(damaged_deflate())
    (tmp_path / "large.png").write_bytes(encode(Image.new("1", (9500, 9420))))
    program = (
        "import sys; from pathlib import Path\n"
        "from classifier.core.errors import UserError\n"
        "from classifier.processing.images import Preprocessing, read_image\n"
        "for path in sorted(Path(sys.argv[1]).iterdir()):\n"
        "    try:\n"
        "        read_image(path, Preprocessing(8, 'crop', max_pixels=90_000_000))\n"
        "    except UserError as error:\n"
        "        print(path.name, error)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.startswith("deflate.tif it is damaged")


def test_complaint_of_libtiff_comes_with_the_image() -> None:
    content = bytearray(encode(Image.new("1", (64, 64), 1), "TIFF", compression="group4"))
    content[12] = 0  # in the pixels
    assert read_image(bytes(content), CROP_8).warnings[0].startswith("libtiff: Fax4Decode: ")


def test_warnings_of_others_are_passed_on() -> None:
    read_image(encode(noise(8, 8)), CROP_8)
    with collect_warnings():
        pass
    with pytest.warns(UserWarning, match="a warning of a user"):
        warnings.warn("a warning of a user", stacklevel=1)


def heif(*images: Image.Image) -> bytes:
    file = pillow_heif.HeifFile()
    for image in images:
        file.add_from_pillow(image)
    buffer = io.BytesIO()
    file.save(buffer, primary_index=0)
    return buffer.getvalue()


def several(kind: str, **options: Any) -> bytes:
    first, *others = (Image.new("RGB", (9, 9), colour) for colour in ("red", "blue", "green"))
    if kind == "HEIF":
        return heif(first, *others)
    return encode(first, kind, save_all=True, append_images=others, **options)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (several("TIFF"), "it has several pages, of which the first is taken"),
        (several("HEIF"), "it has several images, of which the primary one is taken"),
        (several("GIF"), "it is an animation, of which the first frame is taken"),
        (several("WEBP"), "it is an animation, of which the first frame is taken"),
        (several("AVIF"), "it is an animation, of which the first frame is taken"),
        (several("PNG"), "it is an animation, of which the first frame is taken"),
        (
            several("PNG", default_image=True),
            "it is an animation, of which the still image beside the frames is taken",
        ),
    ],
    ids=["TIFF", "HEIF", "GIF", "WebP", "AVIF", "PNG", "PNG with a still image"],
)
def test_images_of_a_file_that_are_not_taken_are_told(content: bytes, told: str) -> None:
    image = read_image(content, CROP_8)
    assert image.warnings == (told,)
    assert image.pixels[4, 4].argmax() == 0  # red


@pytest.mark.parametrize("kind", ["TIFF", "GIF", "WEBP", "AVIF", "PNG", "HEIF"])
def test_file_of_one_image_has_no_warning(kind: str) -> None:
    image = Image.new("RGB", (9, 9), "red")
    content = heif(image) if kind == "HEIF" else encode(image, kind)
    assert read_image(content, CROP_8).warnings == ()


def test_animation_that_is_cut_after_its_first_frame_is_read() -> None:
    whole = several("GIF")
    first = len(encode(Image.new("RGB", (9, 9), "red"), "GIF"))
    for length in range(first, len(whole)):
        assert read_image(whole[:length], CROP_8).pixels[4, 4].argmax() == 0
