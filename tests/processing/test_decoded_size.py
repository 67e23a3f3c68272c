"""Whether decoding takes no more memory than is estimated from the header."""

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders.images import encode
from PIL import Image
from pillow_heif import from_pillow

from classifier.core.errors import UserError
from classifier.processing.decoders import MAX_CHUNKS, count_scans, webp_size
from classifier.processing.images import Preprocessing, read_image

SIDE = 2000
SQUARE = Preprocessing(64, "crop")
# Decodes a small image first, so that what is loaded once does not count.
PROGRAM = """
import re, sys
from pathlib import Path
from classifier.processing.images import Preprocessing, read_image

def kilobytes(name):
    return int(re.search(name + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

small, large = (Path(name).read_bytes() for name in sys.argv[1:])
estimates = []
read_image(small, Preprocessing(64, "crop"))
Path("/proc/self/clear_refs").write_text("5")
before = kilobytes("VmRSS")
read_image(large, Preprocessing(64, "crop"), estimates.append)
print(1024 * (kilobytes("VmHWM") - before), max(estimates))
"""


def image(mode: str, side: int = SIDE) -> Image.Image:
    rows, columns = np.mgrid[0:side, 0:side]
    bands = np.stack([rows % 251, columns % 241, (rows + columns) % 239, rows % 256], axis=-1)
    return Image.fromarray(bands.astype(np.uint8), "RGBA").convert(mode)


def heif(mode: str, side: int) -> bytes:
    buffer = io.BytesIO()
    from_pillow(image(mode, side)).save(buffer, quality=50)
    return buffer.getvalue()


CASES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "progressive JPEG": ("RGB", "JPEG", {"progressive": True, "subsampling": 0}),
    "PNG with alpha": ("RGBA", "PNG", {"compress_level": 1}),
    "grey PNG with alpha": ("LA", "PNG", {"compress_level": 1}),
    "PNG with a transparent colour": ("RGB", "PNG", {"transparency": (1, 2, 3)}),
    "WebP with alpha": ("RGBA", "WEBP", {"lossless": True, "method": 0, "quality": 0}),
    "AVIF with alpha": ("RGBA", "AVIF", {"speed": 10}),
    "HEIC": ("RGBA", "HEIC", {}),
    "TIFF of floats": ("F", "TIFF", {}),
    "TIFF of 32-bit integers": ("I", "TIFF", {}),
    "TIFF of 16 bits": ("I;16", "TIFF", {}),
    "PNG of 16 bits": ("I;16", "PNG", {"compress_level": 1}),
    "PNG of 16 bits with a transparent value": ("I;16", "PNG", {"transparency": 7}),
}


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="Linux counts pages")
@pytest.mark.parametrize("case", CASES)
def test_decoding_takes_no_more_memory_than_estimated(case: str, tmp_path: Path) -> None:
    mode, kind, options = CASES[case]
    for name, side in (("small", 32), ("large", SIDE)):
        made = heif(mode, side) if kind == "HEIC" else encode(image(mode, side), kind, **options)
        (tmp_path / name).write_bytes(made)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, "small", "large"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"},
    )
    peak, estimate = map(int, done.stdout.split())
    assert peak <= estimate
    # An estimate that is far too high would refuse honest images.
    assert estimate <= 3 * peak + (16 << 20)


@pytest.mark.parametrize("options", [{"lossless": True}, {"lossless": False}])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_size_of_a_webp_file_is_read_without_its_decoder(mode: str, options: Any) -> None:
    content = encode(Image.new(mode, (301, 77), (9, 8, 7, 5)[: len(mode)]), "WEBP", **options)
    assert webp_size(content) == (301, 77)
    assert webp_size(content[:14]) in (None, (0, 0), (1, 1))


def test_webp_file_that_promises_too_much_is_refused_before_memory_is_reserved() -> None:
    content = encode(Image.new("RGBA", (900, 900)), "WEBP")
    with pytest.raises(UserError, match="900 x 900 pixels; 1,000 is the limit"):
        read_image(content, Preprocessing(8, "crop", max_pixels=1_000))


def progressive(scans: int) -> bytes:
    """A JPEG file whose last scan is there several times."""
    content = encode(image("L", 16), "JPEG", progressive=True)
    last = content.rindex(b"\xff\xda")
    return (
        content[:last] + content[last:-2] * (scans - content.count(b"\xff\xda") + 1) + b"\xff\xd9"
    )


def test_jpeg_file_of_many_scans_is_refused() -> None:
    assert read_image(progressive(100), SQUARE).width == 16
    with pytest.raises(UserError, match="it has 101 scans; 100 is the limit"):
        read_image(progressive(101), SQUARE)


def test_thumbnail_of_many_scans_is_no_harm() -> None:
    content = encode(image("L", 16), "JPEG")
    thumbnail = b"\xff\xe1" + (2 + 4000).to_bytes(2, "big") + b"\xff\xda" * 2000
    assert read_image(content[:2] + thumbnail + content[2:], SQUARE).width == 16


def test_video_behind_a_photo_is_no_harm() -> None:
    video = b"\x00\x00\x00\x18ftypmp42" + b"\xff\xda" * 2000
    content = encode(image("L", 16), "JPEG", progressive=True)
    assert read_image(content + video, SQUARE).width == 16


@pytest.mark.parametrize("between", [b"", b"\xff\x01", b"\xff" * 9, b"\xff\xfe\x00\x04\xff\xd9"])
def test_scans_are_counted_whatever_stands_between_them(between: bytes) -> None:
    content = progressive(40)
    first, *others = content.split(b"\xff\xda")
    assert count_scans((between + b"\xff\xda").join([first, *others])) == len(others) == 40


def test_png_file_of_many_chunks_is_refused() -> None:
    content = encode(image("L", 16))
    empty = bytes(4) + b"teSt" + bytes(4)
    with pytest.raises(UserError, match="it has 50,001 chunks; 50,000 is the limit"):
        read_image(content[:33] + empty * MAX_CHUNKS + content[33:], SQUARE)


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_scaling_before_the_background_is_added_changes_no_pixel(mode: str) -> None:
    whole = image("RGBA", 64).convert(mode)
    white = Image.new("RGBA", whole.size, "white")
    composed = Image.alpha_composite(white, whole.convert("RGBA")).convert("RGB")
    expected = composed.resize((8, 8), Image.Resampling.BILINEAR)
    pixels = read_image(encode(whole), Preprocessing(8, "crop")).pixels.astype(int)
    # Each way rounds in places of its own.
    assert abs(pixels - np.asarray(expected)).max() <= 2
