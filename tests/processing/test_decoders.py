import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from builders.images import encode, noise
from PIL import ExifTags, Image
from pillow_heif import HeifFile, from_pillow

from classifier.core.errors import UserError
from classifier.processing.images import Preprocessing, read_image

FILES = Path(__file__).parent / "files"
CROP_8, STRETCH_32 = Preprocessing(8, "crop"), Preprocessing(32, "stretch")
# The middles of the four quarters of an image of 32 x 32.
MIDDLES = np.s_[[6, 6, 26, 26], [6, 26, 6, 26]]


def quarters(width: int, height: int) -> np.ndarray:
    """An image of a red, a green, a blue and a black quarter, as people see it."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2, 0] = 255
    image[: height // 2, width // 2 :, 1] = 255
    image[height // 2 :, : width // 2, 2] = 255
    return image


def exif_bytes(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = orientation
    return tags.tobytes()


def heif(file: HeifFile, path: Path, **options: object) -> bytes:
    file.save(path, quality=90, **options)
    return path.read_bytes()


def assert_upright(content: bytes, width: int, height: int) -> None:
    image = read_image(content, STRETCH_32)
    expected = read_image(encode(quarters(width, height)), STRETCH_32).pixels
    assert (image.width, image.height) == (width, height)
    assert abs(image.pixels[MIDDLES].astype(int) - expected[MIDDLES]).max() <= 12


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_turned_photo_of_a_phone_is_turned_once(tmp_path: Path, orientation: int) -> None:
    stored = np.rot90(quarters(48, 64), {1: 0, 3: 2, 6: 1, 8: 3}[orientation])
    photo = from_pillow(Image.fromarray(np.ascontiguousarray(stored)))
    # The file holds both the HEIF property and the EXIF tag, as phones write them.
    content = heif(photo, tmp_path / "photo.heic", exif=exif_bytes(orientation))
    assert (b"irot" in content) == (orientation != 1)
    assert_upright(content, 48, 64)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_avif_is_turned_once(orientation: int) -> None:
    turns = {
        1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
        5: lambda a: a.transpose(1, 0, 2), 6: np.rot90,
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2), 8: lambda a: np.rot90(a, 3),
    }  # fmt: skip
    stored = np.ascontiguousarray(turns[orientation](quarters(48, 64)))
    assert_upright(encode(stored, "AVIF", exif=exif_bytes(orientation), quality=90), 48, 64)


def test_thumbnail_in_a_heif_file_is_not_taken_for_the_image(tmp_path: Path) -> None:
    photo = from_pillow(Image.fromarray(quarters(600, 600)))
    plain = heif(photo, tmp_path / "plain.heic")
    photo.info["thumbnails"] = [64]
    with_thumbnail = heif(photo, tmp_path / "thumbnail.heic")
    assert len(with_thumbnail) > len(plain)
    expected = read_image(plain, CROP_8).pixels
    np.testing.assert_array_equal(read_image(with_thumbnail, CROP_8).pixels, expected)


def test_primary_image_of_a_heif_file_counts(tmp_path: Path) -> None:
    photo = from_pillow(Image.new("RGB", (64, 64), (255, 0, 0)))
    photo.add_from_pillow(Image.new("RGB", (64, 64), (0, 0, 255)))
    content = heif(photo, tmp_path / "two.heic", primary_index=1)
    assert (abs(read_image(content, CROP_8).pixels.astype(int) - (0, 0, 255)) < 8).all()


def test_large_heif_is_refused_by_its_header() -> None:
    content = (FILES / "phone.heic").read_bytes()
    with pytest.raises(UserError, match="160 x 120 pixels; 10,000 is the limit"):
        read_image(content, Preprocessing(8, "crop", max_pixels=10_000))


def test_cut_heif_is_refused_with_the_reason() -> None:
    content = (FILES / "phone.heic").read_bytes()
    for length in (100, 500, 2000):
        with pytest.raises(UserError, match="damaged or cut short"):
            read_image(content[:length], CROP_8)


def test_heif_without_its_reader_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(UserError, match="pip install pillow-heif"):
        read_image((FILES / "phone.heic").read_bytes(), CROP_8)


def test_reader_of_heif_is_imported_for_heif_alone(tmp_path: Path) -> None:
    (tmp_path / "image.avif").write_bytes(encode(noise(16, 16), "AVIF"))
    program = (
        "import sys; from pathlib import Path\n"
        "from classifier.processing.images import Preprocessing, read_image\n"
        "read_image(Path(sys.argv[1]), Preprocessing(8, 'crop'))\n"
        "sys.exit('pillow_heif' in sys.modules)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "image.avif")]
    assert subprocess.run(command, check=False).returncode == 0


def test_reading_heif_registers_nothing_with_pillow() -> None:
    program = (
        "import sys; from pathlib import Path; from PIL import Image\n"
        "from classifier.processing.images import Preprocessing, read_image\n"
        "read_image(Path(sys.argv[1]), Preprocessing(8, 'crop'))\n"
        "Image.init(); sys.exit('HEIF' in Image.OPEN)"
    )
    command = [sys.executable, "-c", program, str(FILES / "phone.heic")]
    assert subprocess.run(command, check=False).returncode == 0


RUBBISH = b"Exif\0\0MM\0*\xff\xff\xff\xff rubbish"


@pytest.mark.parametrize("exif", [RUBBISH, b"no tags at all", b"Exif\0\0II*\0\x08\0\0\0\xff\xff"])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_rubbish_exif_does_not_matter_to_the_pixels(kind: str, exif: bytes) -> None:
    pixels = noise(16, 16)
    content = encode(pixels, kind, exif=exif)
    expected = read_image(encode(pixels, kind), CROP_8).pixels
    np.testing.assert_array_equal(read_image(content, CROP_8).pixels, expected)


def with_chunk(content: bytes, name: bytes, data: bytes, checksum: int | None = None) -> bytes:
    """A PNG file with another chunk after its header."""
    checksum = zlib.crc32(name + data) if checksum is None else checksum
    chunk = struct.pack(">L", len(data)) + name + data + struct.pack(">L", checksum)
    return content[:33] + chunk + content[33:]


@pytest.mark.parametrize("name", [b"tEXt", b"zTXt", b"iCCP", b"eXIf", b"tRNS", b"prVt"])
def test_png_chunk_with_a_wrong_checksum_is_left_out_with_a_warning(name: bytes) -> None:
    content = encode(noise(16, 16))
    image = read_image(with_chunk(content, name, b"Title\0a boat", 1), CROP_8)
    expected = read_image(content, CROP_8)
    np.testing.assert_array_equal(image.pixels, expected.pixels)
    assert "left out" in image.warnings[0]
    assert expected.warnings == ()


def test_png_whose_pixels_have_a_wrong_checksum_is_refused() -> None:
    content = encode(noise(16, 16))
    place = content.index(b"IDAT") + 20
    broken = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
    with pytest.raises(UserError, match="damaged"):
        read_image(broken, CROP_8)


def test_transparency_stays_where_a_text_is_damaged() -> None:
    image = Image.new("RGB", (8, 8), (10, 200, 30))
    content = with_chunk(encode(image, transparency=(10, 200, 30)), b"tEXt", b"x\0y", 1)
    assert (read_image(content, CROP_8).pixels == 255).all()


def test_pipe_and_huge_file_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(UserError, match="no regular file"):
        read_image(tmp_path / "pipe.jpg", CROP_8)
    with (tmp_path / "film.jpg").open("wb") as file:
        file.truncate(6 << 30)
    with pytest.raises(UserError, match=r"6,442,450,944 bytes; 536,870,912 is the limit"):
        read_image(tmp_path / "film.jpg", CROP_8)
