import io
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from builders.images import encode, noise, packed_png
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from classifier.core.errors import UserError
from classifier.processing import images
from classifier.processing.images import (
    MAX_PIXELS,
    Preprocessing,
    Resize,
    center_crop,
    model_input,
    prepare_image,
    read_image,
)

RESIZES: tuple[Resize, ...] = ("crop", "pad", "stretch")
CROP_8 = Preprocessing(8, "crop")
PHONE = (Path(__file__).parent / "files/phone.heic").read_bytes()
LOSSLESS = {"PNG": {}, "WEBP": {"lossless": True}, "BMP": {}, "TIFF": {}, "PPM": {}}


def pixels_of(image: Image.Image | np.ndarray, kind: str = "PNG", **options: object) -> np.ndarray:
    return read_image(encode(image, kind, **options), CROP_8).pixels


def flat(value: object, mode: str) -> Image.Image:
    return Image.new(mode, (8, 8), value)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("kind", LOSSLESS)
def test_square_rgb_image_keeps_its_pixels(kind: str, resize: Resize) -> None:
    pixels = noise(8, 8)
    image = read_image(encode(pixels, kind, **LOSSLESS[kind]), Preprocessing(8, resize))
    np.testing.assert_array_equal(image.pixels, pixels)
    assert image.pixels.dtype == np.uint8
    assert (image.width, image.height) == (8, 8)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 70), st.integers(1, 70), st.integers(1, 40), st.sampled_from(RESIZES),
    st.sampled_from(["PNG", "JPEG"]),
)  # fmt: skip
def test_any_shape_becomes_a_square(
    width: int, height: int, size: int, resize: Resize, kind: str
) -> None:
    content = encode(np.full((height, width, 3), 200, np.uint8), kind)
    image = read_image(content, Preprocessing(size, resize))
    assert image.pixels.shape == (size, size, 3)
    assert (image.width, image.height) == (width, height)
    if resize != "pad":
        assert abs(image.pixels.astype(int) - 200).max() <= 2


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "JPEG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(kind: str, orientation: int) -> None:
    upright = np.zeros((48, 32, 3), np.uint8)  # quarters of four colours
    upright[:24, :16], upright[:24, 16:], upright[24:, 16:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    turns = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.transpose(1, 0, 2),
        6: np.rot90,  # a camera held clockwise stores the image turned counter-clockwise
        7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
        8: lambda a: np.rot90(a, 3),
    }
    stored = np.ascontiguousarray(turns[orientation](upright))
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encode(stored, kind, exif=tags, **options)
    image = read_image(content, Preprocessing(32, "stretch"))
    assert (image.width, image.height) == (32, 48)
    expected = read_image(encode(upright), Preprocessing(32, "stretch")).pixels
    middles = np.s_[[6, 6, 26, 26], [6, 26, 6, 26]]
    assert abs(image.pixels[middles].astype(int) - expected[middles]).max() <= 6


def test_grey_and_bilevel_become_rgb() -> None:
    grey = noise(8, 8)[..., 0]
    np.testing.assert_array_equal(pixels_of(grey), np.repeat(grey[..., None], 3, axis=2))
    assert (pixels_of(flat(1, "1")) == 255).all()


def test_palette_becomes_its_colours() -> None:
    palette = flat((10, 200, 30), "RGB").quantize(4)
    assert (pixels_of(palette) == (10, 200, 30)).all()
    assert (pixels_of(palette, "GIF") == (10, 200, 30)).all()


@pytest.mark.parametrize(
    ("image", "options", "expected"),
    [
        (flat((10, 200, 30, 255), "RGBA"), {}, (10, 200, 30)),
        (flat((10, 200, 30, 0), "RGBA"), {}, (255, 255, 255)),
        (flat((100, 0), "LA"), {}, (255, 255, 255)),
        (flat((100, 255), "LA"), {}, (100, 100, 100)),
        (flat((10, 200, 30), "RGB").quantize(4), {"transparency": 0}, (255, 255, 255)),
        (flat((10, 200, 30), "RGB"), {"transparency": (10, 200, 30)}, (255, 255, 255)),
        (flat((0, 0, 0, 128), "RGBA"), {}, (127, 127, 127)),
    ],
)
def test_transparent_parts_become_white(
    image: Image.Image, options: dict[str, object], expected: tuple[int, ...]
) -> None:
    assert (pixels_of(image, "PNG", **options) == expected).all()


@pytest.mark.parametrize(("bits", "row"), [(2, b"\x00\x55"), (4, b"\x00\x00\x11\x11")])
def test_transparent_value_of_few_bits_becomes_white(bits: int, row: bytes) -> None:
    content = packed_png((8, 8, bits, 0), [row] * 8, b"\0\1")
    assert read_image(content, CROP_8).pixels[0, [0, -1], 0].tolist() == [0, 255]


def test_cmyk_becomes_rgb() -> None:
    pixels = pixels_of(flat((0, 255, 255, 0), "CMYK"), "JPEG")
    assert abs(pixels.astype(int) - (255, 0, 0)).max() <= 4


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_first_frame_of_an_animation_counts(kind: str) -> None:
    frames = [flat(color, "RGB") for color in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encode(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert (read_image(content, CROP_8).pixels == (255, 0, 0)).all()


def test_crop_keeps_the_centre_pad_adds_black_stretch_keeps_all() -> None:
    wide = np.zeros((8, 24, 3), np.uint8)
    wide[:, :8, 0], wide[:, 8:16, 1], wide[:, 16:, 2] = 255, 255, 255
    content = encode(wide)
    input_size, pad, stretch = (
        read_image(content, Preprocessing(8, kind)).pixels for kind in RESIZES
    )
    np.testing.assert_array_equal(input_size[:, 1:-1], wide[:, 9:15])
    assert [(pad[row] > 0).any() for row in range(8)] == [False] * 2 + [True] * 3 + [False] * 3
    assert pad[3].argmax(axis=1).tolist() == stretch[3].argmax(axis=1).tolist()
    assert stretch[3].argmax(axis=1).tolist() == [0, 0, 0, 1, 1, 2, 2, 2]


def test_fine_detail_is_averaged_not_picked() -> None:
    board = np.indices((64, 64)).sum(axis=0) % 2 * 255
    content = encode(board.astype(np.uint8))
    inner = read_image(content, CROP_8).pixels[1:-1, 1:-1]
    assert abs(inner.astype(int) - 127).max() <= 3


def test_large_jpeg_is_scaled_by_its_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, columns = np.mgrid[0:900, 0:1300]
    smooth = np.stack([rows / 4, columns / 6, (rows + columns) / 9], axis=-1).astype(np.uint8)
    sizes = []
    decode = images.averageable
    monkeypatch.setattr(
        images, "averageable", lambda *args: sizes.append(args[0].size) or decode(*args)
    )
    for resize in RESIZES:
        fast, exact = (
            read_image(encode(smooth, kind), Preprocessing(50, resize)) for kind in ("JPEG", "PNG")
        )
        assert (fast.width, fast.height) == (1300, 900)
        assert abs(fast.pixels.astype(int) - exact.pixels)[2:-2, 2:-2].mean() < 2
    assert sizes == [(163, 113), (1300, 900)] * 3


def test_threads_get_the_same_pixels() -> None:
    content = encode(noise(300, 200), "JPEG")
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: read_image(content, CROP_8).pixels, range(40)))
    assert all(np.array_equal(result, results[0]) for result in results)


def png_header(width: int, height: int) -> bytes:
    """A PNG file that ends after having promised a size."""
    chunk = b"IHDR" + struct.pack(">2L5B", width, height, 8, 2, 0, 0, 0)
    end = struct.pack(">L", zlib.crc32(chunk))
    data = b"\0\0\0\0IDAT" + struct.pack(">L", zlib.crc32(b"IDAT"))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">L", 13) + chunk + end + data


@pytest.mark.parametrize("side", [9_434, 10_000, 20_000, 2_000_000])
def test_too_many_pixels_are_refused_by_the_header(side: int) -> None:
    with pytest.raises(UserError, match=f"{MAX_PIXELS:,}"):
        read_image(png_header(side, side), CROP_8)
    with pytest.raises(UserError, match="damaged"):  # this one is small enough to be decoded
        read_image(png_header(9_000, 9_000), CROP_8)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF"])
def test_cut_file_is_refused_with_the_reason(kind: str) -> None:
    content = encode(noise(60, 40), kind)
    for length in (len(content) // 4, len(content) // 2, len(content) * 3 // 4):
        with pytest.raises(UserError, match=r"damaged or cut short \(.+\)|no image in a known"):
            read_image(content[:length], CROP_8)


def test_empty_file_is_refused() -> None:
    with pytest.raises(UserError, match=r"^it is empty\.$"):
        read_image(b"", CROP_8)


@pytest.mark.parametrize("content", [b"hello", b"%PDF-1.7\n"])
def test_other_content_is_refused(content: bytes) -> None:
    with pytest.raises(UserError, match=r"no image in a known format \(JPEG, PNG"):
        read_image(content, CROP_8)


@pytest.mark.parametrize("kind", ["ICO", "TGA", "PCX", "ICNS", "JPEG2000"])
def test_formats_off_the_list_are_refused(kind: str) -> None:
    with pytest.raises(UserError, match="no image in a known format"):
        read_image(encode(noise(64, 64), kind), CROP_8)


def test_image_without_pixels_is_refused() -> None:
    with pytest.raises(UserError):
        read_image(b"P6 0 0 255\n", CROP_8)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["JPEG", "PNG", "WEBP", "GIF", "PPM", "BMP", "AVIF", "HEIF"]), st.data())
def test_damage_gives_a_image_or_a_plain_reason(kind: str, data: st.DataObject) -> None:
    content = bytearray(PHONE if kind == "HEIF" else encode(noise(12, 9), kind))
    places = st.integers(0, len(content) - 1)
    for place, value in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=4)):
        content[place] = value
    try:
        outcome = str(read_image(bytes(content), CROP_8).pixels.shape)
    except UserError as error:
        outcome = str(error)
    assert outcome == "(8, 8, 3)" or outcome.startswith("it ")
    assert " at 0x" not in outcome  # no memory addresses: the same words in every run


def test_missing_file_is_not_taken_for_a_bad_image(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_image(tmp_path / "none.png", CROP_8)


def test_center_crop_takes_the_middle_of_every_image() -> None:
    images = np.arange(2 * 3 * 5 * 5 * 3).reshape(2, 3, 5, 5, 3)
    np.testing.assert_array_equal(center_crop(images, 3), images[:, :, 1:4, 1:4])
    np.testing.assert_array_equal(center_crop(images, 2), images[:, :, 1:3, 1:3])
    np.testing.assert_array_equal(center_crop(images, 5), images)


def test_model_input_is_the_centre_of_the_stored_image(tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    path.write_bytes(encode(noise(40, 30), "JPEG"))
    for resize in RESIZES:
        preprocessing = Preprocessing(16, resize)
        stored = read_image(path.read_bytes(), preprocessing).pixels
        np.testing.assert_array_equal(model_input(path, preprocessing, 12), stored[2:14, 2:14])
        np.testing.assert_array_equal(model_input(path.read_bytes(), preprocessing, 16), stored)


def test_serving_loads_neither_torch_nor_pandas() -> None:
    heavy = "bool({'torch', 'pandas'} & {*sys.modules})"
    program = f"import sys, classifier.processing.images; sys.exit({heavy})"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_multi_image_jpeg_of_a_camera_is_read() -> None:
    first, second = flat((200, 0, 0), "RGB"), flat((0, 200, 0), "RGB")
    pixels = pixels_of(first, "MPO", save_all=True, append_images=[second])
    assert abs(pixels.astype(int) - (200, 0, 0)).max() <= 4


def test_detail_that_a_jpeg_decoder_leaves_out_is_invisible() -> None:
    pixels = np.mean(
        [
            np.asarray(Image.fromarray(noise(cells, cells)).resize((800, 800)))
            for cells in (5, 20, 80, 400)
        ],
        axis=0,
    )
    content = encode(pixels.astype(np.uint8), "JPEG", quality=95)
    wanted = Preprocessing(100, "crop")
    with Image.open(io.BytesIO(content)) as opened:
        whole = prepare_image(opened, wanted).pixels
    difference = np.abs(read_image(content, wanted).pixels.astype(int) - whole)
    assert 0 < difference.mean() < 1
    assert difference.max() <= 5
