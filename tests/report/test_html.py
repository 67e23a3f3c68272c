import io

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from classifier.report.html import figures, folded, image, page, paragraph, table


def png(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


@settings(max_examples=20)
@given(st.text())
def test_text_never_becomes_markup(text: str):
    wrapped = f"<b>{text}\"'"
    parts = [
        paragraph(wrapped),
        table(wrapped, [wrapped], [[wrapped]]),
        figures([(wrapped, wrapped, wrapped)]),
        folded(wrapped, ""),
        page(wrapped, "", [("Heading", "")], wrapped),
    ]
    assert not [part for part in parts if "<b>" in part]


def test_columns_of_numbers_are_set_to_the_right():
    html = table("t", ["name", "share", "kind"], [["a", "0.50 (0.1 to 0.9)", "x"], ["1", "", "2"]])
    assert html.count('<th scope="col" class=number>') == 1
    assert html.count("<td class=number>") == 2


def test_a_table_without_rows_is_a_sentence():
    assert table("Mistakes", ["a"], []) == "<p>Mistakes: none.</p>"


def test_only_large_images_are_stored_as_webp():
    small = np.zeros((10, 20, 3), np.uint8)
    large = np.random.default_rng(0).integers(0, 256, (400, 400, 3), dtype=np.uint8)
    assert 'width="20" height="10"' in image(png(small), "black")
    assert "data:image/png;base64," in image(png(small), "black")
    assert "data:image/webp;base64," in image(png(large), "noise")
    assert len(image(png(large), "noise")) < len(png(large))
