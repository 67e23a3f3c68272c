import numpy as np
import pytest
from builders.colours import colours_onnx

from classifier.inference.occlusion import blend, occlusion_map
from classifier.inference.onnx_runtime import load_onnx

GREY = (128.0, 128.0, 128.0)


@pytest.mark.parametrize("side", [8, 12, 33])
def test_heat_is_where_the_class_comes_from(side: int):
    reddish = load_onnx(colours_onnx(side), 1)
    image = np.full((side, side, 3), 128, np.uint8)
    corner = slice(0, side // 2)
    image[corner, corner, 0] = 255
    image[side // 2 :, :, 2] = 255
    red, _, blue = (occlusion_map(reddish, image, index, GREY) for index in range(3))
    for heat in (red, blue):
        assert (heat.shape, heat.dtype) == ((side, side), np.float32)
        assert 0 <= heat.min() < 0.01
        assert heat.max() == 1
    assert red[0, 0] > 0.5
    assert red[-1].max() == red[:, -1].max() == 0
    assert blue[-1].min() > 0.5
    assert blue[0].max() == 0


def test_without_anything_that_speaks_for_the_class_nothing_is_warm():
    reddish = load_onnx(colours_onnx(12), 1)
    image = np.full((12, 12, 3), 128, np.uint8)
    assert occlusion_map(reddish, image, 1, GREY).max() == 0


def test_cold_places_are_grey_and_hot_ones_yellow():
    image = np.full((1, 1, 2, 3), (30, 60, 90), np.uint8)
    cold, hot = blend(image, np.array([[[0.0, 1.0]]]))[0, 0].astype(int)
    assert cold.tolist() == [60, 60, 60]
    red, green, blue = hot
    assert min(red, green) > blue + 60
