"""The modes of pixels: decode to one whose neighbours may be averaged, and from it to RGB."""

from PIL import Image

from classifier.processing.wide_values import (
    EightBit,
    grey_to_eight_bits,
    is_wide_colour,
    is_wide_grey,
    largest_colour,
    stated_white_level,
    stored_layout,
)

# Weights of red, green and blue in a grey value: ITU-R BT.601, as Pillow makes images grey.
LUMINANCE = (0.299, 0.587, 0.114)
# By stored layout, what a grey value of 2 or 4 bits is multiplied by to become one of 8.
_GREY_STEPS = {"L;2": 85, "L;4": 17}


def averageable(image: Image.Image, white_level: float) -> EightBit:
    """Decode the pixels; return them in a mode whose neighbours may be averaged.

    That is L, LA, RGB or RGBA; besides, return the largest of values wider than 8 bits.
    """
    stated, wide_colour = stated_white_level(image), is_wide_colour(image)
    _scale_transparency(image)
    image.load()
    if is_wide_grey(image):
        grey, largest = grey_to_eight_bits(image, stated or white_level)
        return EightBit(grey, 0 if stated else largest)
    largest = largest_colour(image, white_level) if wide_colour else 0
    if image.has_transparency_data and image.mode not in ("LA", "RGBA"):
        return EightBit(image.convert("RGBA"), largest)
    if image.mode not in ("L", "LA", "RGB", "RGBA"):
        return EightBit(image.convert("L" if image.mode == "1" else "RGB"), largest)
    return EightBit(image, largest)


def _scale_transparency(image: Image.Image) -> None:
    """Give the transparent value of a PNG file the scale that Pillow gives its pixels.

    Pillow 13.0 compares it with them as it stands in the file. Of 16 bits a colour, the upper 8 are
    compared, since Pillow reads no more.
    """
    value, (_, layout) = image.info.get("transparency"), stored_layout(image)
    if isinstance(value, int) and layout in _GREY_STEPS:
        image.info["transparency"] = value * _GREY_STEPS[layout]
    elif isinstance(value, tuple) and layout.endswith(";16B"):
        image.info["transparency"] = tuple(part >> 8 for part in value)


def on_white(image: Image.Image) -> Image.Image:
    """Return an image as RGB; its transparent parts become white."""
    if image.mode not in ("LA", "RGBA"):
        return image.convert("RGB")
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
