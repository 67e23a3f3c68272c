import numpy as np
import pytest
from PIL import Image, ImageChops, ImageEnhance

from classifier.core.errors import UserError
from classifier.splitting.near_duplicates import SIDE, grey_thumbnail, near_pairs


def scene(seed: int, side: int = 96) -> Image.Image:
    """An image with structure of every size, as photos have."""
    generator = np.random.default_rng(seed)
    pixels = np.zeros((side, side, 3))
    for cells in (3, 6, 12, 24):
        patches = generator.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
        grown = Image.fromarray(patches).resize((side, side), Image.Resampling.BILINEAR)
        pixels += np.asarray(grown) / 4
    return Image.fromarray(pixels.astype(np.uint8))


def thumbnails_of(*images: Image.Image) -> np.ndarray:
    return np.stack([grey_thumbnail(np.asarray(image)) for image in images])


def variants(image: Image.Image) -> dict[str, Image.Image]:
    side = image.width
    return {
        "darker": ImageEnhance.Brightness(image).enhance(0.6),
        "paler": ImageEnhance.Contrast(image).enhance(0.5),
        "grey": image.convert("L").convert("RGB"),
        "smaller": image.resize((40, 40)),
        "moved": ImageChops.offset(image, 3, 3),
        "cropped": image.crop((2, 2, side - 1, side - 1)).resize(image.size),
    }


@pytest.mark.parametrize("change", list(variants(scene(0))))
def test_changed_copies_are_found_among_others(change: str) -> None:
    others = [scene(seed) for seed in range(1, 40)]
    pairs, similarity = near_pairs(
        thumbnails_of(scene(0), *others, variants(scene(0))[change]), 0.75
    )
    assert pairs.tolist() == [[0, 40]]
    assert 0.75 <= similarity[0] <= 1


def test_images_that_share_a_horizon_alone_are_different() -> None:
    generator = np.random.default_rng(0)
    seas = []
    for height in (40, 42, 44):
        pixels = generator.normal(120, 6, (96, 96, 3))
        pixels[:height] += 70
        seas.append(Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)))
    assert len(near_pairs(thumbnails_of(*seas), 0.75)[0]) == 0


def test_plain_images_are_in_no_pair() -> None:
    plain = [Image.new("RGB", (20, 20), (shade, shade, shade)) for shade in (0, 128, 128, 255)]
    assert len(near_pairs(thumbnails_of(*plain), 0.5)[0]) == 0


def test_pairs_ascend_and_do_not_depend_on_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    images = [scene(seed) for seed in range(6)] * 3
    whole, similarity = near_pairs(thumbnails_of(*images), 0.75)
    assert len(whole) == 18
    assert whole.tolist() == sorted(whole.tolist())
    for name in ("_ROWS_AT_ONCE", "_COLUMNS_AT_ONCE", "_PAIRS_AT_ONCE"):
        monkeypatch.setattr(f"classifier.splitting.near_duplicates.{name}", 4)
    parts, again = near_pairs(thumbnails_of(*images), 0.75)
    np.testing.assert_array_equal(whole, parts)
    np.testing.assert_allclose(similarity, again, atol=2e-4)


def test_no_images_have_no_pairs() -> None:
    assert len(near_pairs(np.empty((0, SIDE, SIDE), np.uint8), 0.75)[0]) == 0


def test_images_that_all_look_alike_are_refused() -> None:
    images = [scene(0)] * 100
    with pytest.raises(UserError, match=r"too many images look alike.+_similarity: null"):
        near_pairs(thumbnails_of(*images), 0.75)
