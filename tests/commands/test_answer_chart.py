from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from classifier.commands.shared.answer_chart import answer_figure
from classifier.inference.answer import Answer
from classifier.inference.batch import ImageResult
from classifier.plotting.figures import write_png
from classifier.processing.images import DecodedImage


@pytest.mark.parametrize("letter", ["m", "i", "\u6c49"])
def test_long_name_of_the_answer_is_not_cut_off(tmp_path: Path, letter: str) -> None:
    answer = Answer([80 * letter, "other"], np.array([0.9, 0.1]))
    image = DecodedImage(np.zeros((8, 8, 3), np.uint8), 8, 8, "RGB")
    figure = answer_figure([ImageResult("a.png", answer, image)], 2)
    write_png(figure, tmp_path / "chart.png")
    width, _ = Image.open(tmp_path / "chart.png").size
    left, right = (axes.title.get_window_extent() for axes in figure.axes)
    assert right.x0 > left.x1
    assert right.x1 <= width
