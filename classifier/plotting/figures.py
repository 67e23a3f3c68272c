"""Make figures of one look, write them as PNG, and draw sheets of images."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from classifier.core.files import replacing
from classifier.plotting.agg import Axes, Figure, FigureCanvasAgg
from classifier.plotting.fonts import use_fallback_fonts

_SMALLEST = 3.0  # points of a caption
# The first three differ for people who see no red or no green, too.
BLUE, ORANGE, GREEN, GREY = "#2a6fb0", "#e07b28", "#00735c", "#7f7f7f"


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of this size in inches; `write_png` fits its layout."""
    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def write_png(figure: Figure, path: Path) -> None:
    """Write the figure as PNG; the same figure gives the same bytes."""
    use_fallback_fonts(figure)
    _fit_captions(figure)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": None})


def shorten(text: str, length: int) -> str:
    """Return `text` in at most `length` characters, its middle replaced by an ellipsis.

    Characters that are twice as wide, as in Chinese, count twice.
    """
    length = fitting_length(text, length)
    if len(text) <= length:
        return text
    tail = (length - 1) // 2
    return f"{text[: length - 1 - tail]}…{text[len(text) - tail :]}"


def fitting_length(text: str, length: int) -> int:
    """Return how many characters like those of `text` are as wide as `length` Latin ones."""
    if text.isascii():
        return length
    width = len(text) + sum(unicodedata.east_asian_width(letter) in "FW" for letter in text)
    return length if width <= length else max(1, length * len(text) // width)


def draw_image(axes: Axes, image: np.ndarray, caption: str) -> None:
    """Draw `image`, uint8 `(H, W, 3)`, under its caption; pixels of small images stay sharp."""
    small = max(image.shape[:2]) < 64
    axes.imshow(image, interpolation="nearest" if small else "antialiased")
    # Matplotlib would read a dollar sign as the start of a formula.
    axes.set_title(shorten(caption, 30).replace("$", r"\$"), fontsize=8)
    axes.set_axis_off()


def image_sheet(
    images: Sequence[np.ndarray],
    captions: Sequence[str],
    columns: int,
    *,
    files: Sequence[str] = (),
    note: str = "",
) -> Figure:
    """Return a sheet of images with captions, row by row, and a note at the bottom.

    Args:
        images: Each uint8 `(H, W, 3)`.
        captions: One for each image.
        columns: Images in a row.
        files: Path of each image, whose last part is written below it; empty for none.
        note: A line of text; empty for none.
    """
    rows = -(-len(images) // columns)
    below = 0.25 if note else 0.0
    height = (1.9 if files else 1.75) * rows + below
    figure = new_figure(1.5 * columns, height)
    # All cells have the same size, so the slow constrained layout is not needed.
    figure.set_layout_engine(None)
    bottom = (0.035 + below) / height
    bottom += 0.15 / height if files else 0.0
    gap = 0.31 if files else 0.2
    figure.subplots_adjust(0.01, bottom, 0.99, 1 - 0.25 / height, wspace=0.06, hspace=gap)
    figure.text(0.01, 0.07 / height, note, fontsize=8)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axes in grid[len(images) :]:
        axes.set_axis_off()
    for axes, image, caption in zip(grid, images, captions, strict=False):
        draw_image(axes, image, caption)
    for axes, path in zip(grid, files, strict=False):
        name = shorten(path.rpartition("/")[2], 26).replace("$", r"\$")
        axes.text(0.5, -0.03, name, transform=axes.transAxes, fontsize=6, ha="center", va="top")
    return figure


def _fit_captions(figure: Figure) -> None:
    """Set the texts above and below an image that are wider than its cell in smaller letters."""
    for axes in figure.axes:
        if axes.axison:
            continue
        room = axes.get_position(original=True).width * figure.bbox.width
        for text in (axes.title, *axes.texts):
            # Step by step: widths are rounded to pixels, so that they do not follow the size.
            while text.get_window_extent().width > room and float(text.get_fontsize()) > _SMALLEST:
                text.set_fontsize(0.95 * float(text.get_fontsize()))
