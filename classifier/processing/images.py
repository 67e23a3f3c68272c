"""From the bytes of an image file to pixels: one function for training and for serving."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from PIL import ExifTags, Image

from classifier.core.errors import UserError
from classifier.processing.formats import FORMATS, sniff

Resize = Literal["crop", "pad", "stretch"]
Box = tuple[float, float, float, float]

# About 256 MiB of RGB: a small file may promise any size, and decoding it must not fill the memory.
MAX_PIXELS = 89_000_000

# How to turn what is stored into what was seen, by EXIF orientation (1 needs nothing).
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class Preprocessing:
    """How an image of any shape becomes a square of `stored_size` pixels.

    Attributes:
        stored_size: side of the square in pixels.
        resize: `crop` scales the short side and keeps the centre, `pad` scales the long side and
            fills up with black, `stretch` scales each side by itself.
    """

    stored_size: int
    resize: Resize


class DecodedImage(NamedTuple):
    """A preprocessed image.

    Attributes:
        pixels: uint8 `(S, S, 3)`, RGB.
        width: of the upright original, in pixels.
        height: of the upright original, in pixels.
        mode: how the file stores colours, by Pillow's names, such as `RGB`, `L` (grey) or `CMYK`.
    """

    pixels: np.ndarray
    width: int
    height: int
    mode: str


def read_image(
    content: bytes | Path, preprocessing: Preprocessing, max_pixels: int = MAX_PIXELS
) -> DecodedImage:
    """Decode an image, turn it upright (EXIF), make it RGB, and scale it to a square.

    Transparent parts become white. 16-bit values are divided by 256; for 32-bit integers and
    floats see `_eight_bits`. Of an animation, the first frame counts. A square RGB image of
    `stored_size` keeps its pixels as they are.

    Raises:
        UserError: with the reason, but not the file's name, where `content` is in none of FORMATS,
            has more than `max_pixels` pixels, or is damaged.
        OSError: where a path cannot be read.
    """
    data = content.read_bytes() if isinstance(content, Path) else content
    try:
        with _open(data) as image:
            _check_size(image, max_pixels)
            return _decode(image, preprocessing)
    except UserError:
        raise
    except Image.DecompressionBombError:
        raise UserError(f"it has more than {max_pixels:,} pixels, the limit.") from None
    # On damaged files, decoders raise errors of a dozen classes, struct.error and IndexError too.
    except Exception as error:
        reason = str(error) or type(error).__name__
        raise UserError(f"it is damaged or cut short ({reason}).") from error


def center_window(size: int, input_size: int) -> slice:
    """Return the middle `input_size` of `size` pixels; an unequal margin is smaller in front."""
    assert 0 < input_size <= size
    first = (size - input_size) // 2
    return slice(first, first + input_size)


def center_crop(images: np.ndarray, input_size: int) -> np.ndarray:
    """Crop the centre of images `(..., S, S, 3)`: a view `(..., input_size, input_size, 3)`."""
    window = center_window(images.shape[-2], input_size)
    return images[..., window, window, :]


def model_input(content: bytes | Path, preprocessing: Preprocessing, input_size: int) -> np.ndarray:
    """Return the model input of an image file: uint8 `(input_size, input_size, 3)`, RGB.

    Raises as `read_image` does.
    """
    return center_crop(read_image(content, preprocessing).pixels, input_size)


def without_padding(image: DecodedImage, preprocessing: Preprocessing) -> np.ndarray:
    """Return the pixels of the square that show the image, not the black around it: `(H, W, 3)`."""
    (width, height), _ = _geometry(image.width, image.height, preprocessing)
    size = preprocessing.stored_size
    return image.pixels[center_window(size, height), center_window(size, width)]


def _open(data: bytes) -> Image.Image:
    """Open an image file, whose pixels are not decoded yet."""
    kind = sniff(data)
    if kind is None:
        raise UserError(f"it is no image in a known format ({', '.join(FORMATS)}).")
    if kind == "HEIF":
        return _open_heif(data)
    try:
        return Image.open(io.BytesIO(data), formats=(kind,))
    except Image.UnidentifiedImageError:
        raise UserError(
            f"it is damaged or cut short (no {kind} header that can be read)."
        ) from None


def _open_heif(data: bytes) -> Image.Image:
    """Open a HEIC or HEIF file, as phones write them; raise UserError without the reader."""
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


def _check_size(image: Image.Image, max_pixels: int) -> None:
    """Raise UserError where the header, all that is read so far, gives too many pixels or none."""
    width, height = image.size
    if width * height > max_pixels:
        raise UserError(f"it has {width} x {height} pixels; {max_pixels:,} is the limit.")
    if width * height == 0:
        raise UserError("it has no pixels.")


def _decode(image: Image.Image, preprocessing: Preprocessing) -> DecodedImage:
    (width, height), mode = image.size, image.mode
    size, box = _geometry(width, height, preprocessing)
    # A JPEG decoder can leave out detail: cheaper, and invisible from twice the size upwards.
    drafted = image.draft(None, (2 * size[0], 2 * size[1]))
    if drafted is not None:
        scale = width / drafted[1][2]
        box = (box[0] / scale, box[1] / scale, box[2] / scale, box[3] / scale)
    image.load()
    # Asked for only now, since loading a TIFF file turns it upright and drops the tag.
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    small = _to_rgb(image).resize(size, Image.Resampling.BILINEAR, box)
    if orientation in _UPRIGHT:
        small = small.transpose(_UPRIGHT[orientation])
    if orientation in (5, 6, 7, 8):
        width, height = height, width
    pixels = np.array(_fill_up(small, preprocessing.stored_size))
    return DecodedImage(pixels, width, height, mode)


def _geometry(width: int, height: int, preprocessing: Preprocessing) -> tuple[tuple[int, int], Box]:
    """Return the size to scale to, and the part of the image that is scaled to it."""
    target = preprocessing.stored_size
    if preprocessing.resize == "pad":
        longest = max(width, height)
        size = (max(1, round(width * target / longest)), max(1, round(height * target / longest)))
        return size, (0, 0, width, height)
    if preprocessing.resize == "stretch":
        return (target, target), (0, 0, width, height)
    # Cropping before scaling: scaled first, an image of 1 x 10,000 would be huge in between.
    side = min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    return (target, target), (left, top, left + side, top + side)


def _fill_up(image: Image.Image, size: int) -> Image.Image:
    """Place `image` in the middle of a black square of `size` pixels."""
    if image.size == (size, size):
        return image
    square = Image.new("RGB", (size, size))
    square.paste(image, ((size - image.width) // 2, (size - image.height) // 2))
    return square


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        return Image.fromarray(_eight_bits(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _eight_bits(grey: np.ndarray) -> np.ndarray:
    """Convert wide grey values `(H, W)` to uint8, by rules that depend on the file's type.

    Integers are taken as 16-bit values, which is what files of such images hold, even where
    they are stored in 32. Floats range over 0..1 unless one is greater, then over 0..255.
    """
    if np.issubdtype(grey.dtype, np.integer):
        return (np.clip(grey, 0, 65535) // 256).astype(np.uint8)
    grey = np.nan_to_num(grey, nan=0.0)
    if grey.max() <= 1:
        grey = grey * 255
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)
