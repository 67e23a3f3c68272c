import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image, ImageCms

from classifier.plotting.figures import (
    BLUE,
    GREEN,
    ORANGE,
    image_sheet,
    new_figure,
    shorten,
    write_png,
)


def figure_with_a_line() -> Figure:
    figure = new_figure(2, 1)
    figure.subplots().plot([1, 2, 3])
    return figure


def test_png_has_the_figures_size_and_names_no_program(tmp_path: Path) -> None:
    write_png(figure_with_a_line(), tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (220, 110)
        assert "Software" not in image.info


def test_same_figure_gives_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_png(figure_with_a_line(), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@settings(max_examples=50)
@given(text=st.text(st.characters(max_codepoint=0x2FF), max_size=40), length=st.integers(1, 30))
def test_shortened_text_fits_and_keeps_both_ends(text: str, length: int) -> None:
    short = shorten(text, length)
    if len(text) <= length:
        assert short == text
    else:
        head, tail = short.split("…")
        assert len(short) == length
        assert text.startswith(head)
        assert text.endswith(tail)
        assert 0 <= len(head) - len(tail) <= 1


def test_sheet_shows_every_image_with_its_caption() -> None:
    images = [np.full((4, 4, 3), value, np.uint8) for value in (0, 100, 200)]
    shown = [axes for axes in image_sheet(images, ["a", "b", "c"], columns=2).axes if axes.images]
    assert [axes.get_title() for axes in shown] == ["a", "b", "c"]
    for axes, image in zip(shown, images, strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), image)


@pytest.mark.parametrize("name", [40 * "W", 40 * "船", 40 * "i", "SAILBOAT_HARBOUR_NORTH"])
def test_captions_of_neighbours_do_not_touch(tmp_path: Path, name: str) -> None:
    images = [np.zeros((4, 4, 3), np.uint8)] * 3
    figure = image_sheet(images, [name] * 3, columns=3, files=[name] * 3)
    write_png(figure, tmp_path / "a.png")
    for below in (False, True):
        texts = [axes.texts[0] if below else axes.title for axes in figure.axes]
        extents = [text.get_window_extent() for text in texts]
        for left, right in itertools.pairwise(extents):
            assert left.x1 + 3 < right.x0


# What people without red or green cones see (Machado, Oliveira and Fernandes 2009).
PROTANOPIA = [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]
DEUTERANOPIA = [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]


@pytest.mark.parametrize("seen", [np.eye(3), PROTANOPIA, DEUTERANOPIA])
def test_colours_of_neighbours_differ_for_everybody(seen: list[list[float]]) -> None:
    pixels = np.array([to_rgb(colour) for colour in (BLUE, ORANGE, GREEN)])
    linear = ((pixels + 0.055) / 1.055) ** 2.4 @ np.array(seen).T
    shown = np.clip(linear, 0, 1) ** (1 / 2.4) * 255
    as_image = Image.fromarray(shown.round().astype(np.uint8)[None])
    lab = ImageCms.profileToProfile(
        as_image, ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB"
    )
    assert lab is not None
    # Lightness from 0 to 255, and two signed numbers.
    parts = np.asarray(lab)[0]
    colours = np.column_stack([parts[:, 0] / 2.55, parts[:, 1:].view(np.int8)])
    for one, other in itertools.combinations(colours, 2):
        assert np.linalg.norm(one - other) > 30


def test_wide_letters_count_twice() -> None:
    assert shorten("船" * 20, 9) == "船船…船"
    assert shorten("船" * 4, 9) == "船" * 4


def test_caption_with_dollars_is_no_formula(tmp_path: Path) -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    write_png(image_sheet([image], [r"$\frac{$"], columns=1), tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 0
