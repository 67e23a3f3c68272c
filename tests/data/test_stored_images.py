import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.core.errors import UserError
from classifier.core.shards import shard_names, shard_of, shards_of
from classifier.data.stored_images import StoredImages, digest_images, open_images

PATHS = [f"cat/{row:03d}.png" for row in range(40)]
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 3), dtype=np.uint8)
ROWS = st.lists(st.integers(0, 39), max_size=9).map(lambda rows: np.array(rows, np.int64))


def write_shards(folder: Path, shards: int) -> StoredImages:
    folder.mkdir(exist_ok=True)
    shard_of_row = shards_of(PATHS, shards)
    for number, name in enumerate(shard_names(shards, ".npy")):
        np.save(folder / name, IMAGES[shard_of_row == number])
    return open_images(folder, PATHS, shards, 4)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> list[StoredImages]:
    """The same images in one shard, in three, and in more than there are images."""
    folder = tmp_path_factory.mktemp("stored")
    return [write_shards(folder / str(shards), shards) for shards in (1, 3, 64)]


def test_shard_of_a_path_stays_the_same_for_ever() -> None:
    """Otherwise every image that was added to data on a disk would be looked for elsewhere."""
    assert [shard_of(path, 64) for path in ("cat/1.jpg", "Zürich/ä.png", "")] == [8, 10, 20]
    assert shard_names(64, ".zip")[::63] == ["images-00.zip", "images-63.zip"]
    assert shard_names(10, ".zip")[-1] == "images-9.zip"
    assert shard_names(1, ".npy") == ["images-0.npy"]


def test_digest_is_that_of_the_pixels_in_their_order(stored: list[StoredImages]) -> None:
    assert {images.digest for images in stored} == {digest_images(IMAGES)}
    assert digest_images(IMAGES[::-1]) != digest_images(IMAGES)


@given(ROWS)
def test_rows_are_those_of_the_array(stored: list[StoredImages], rows: np.ndarray) -> None:
    for images in stored:
        np.testing.assert_array_equal(images[rows], IMAGES[rows])
        np.testing.assert_array_equal(images.read(rows), IMAGES[rows])


def test_other_indices_are_those_of_the_array(stored: list[StoredImages]) -> None:
    for images in stored:
        np.testing.assert_array_equal(images[7], IMAGES[7])
        np.testing.assert_array_equal(images[3:17:2], IMAGES[3:17:2])
        np.testing.assert_array_equal(
            images[IMAGES[:, 0, 0, 0] > 99], IMAGES[IMAGES[:, 0, 0, 0] > 99]
        )
        np.testing.assert_array_equal(np.asarray(images), IMAGES)
        assert (len(images), images.shape, images.nbytes) == (40, IMAGES.shape, IMAGES.nbytes)


def test_missing_shard_is_named(tmp_path: Path) -> None:
    write_shards(tmp_path, 3)
    (tmp_path / "images-2.npy").unlink()
    with pytest.raises(UserError, match=r"images-2\.npy is missing: run the split stage, or"):
        open_images(tmp_path, PATHS, 3, 4)


@pytest.mark.parametrize("change", [-1, 48])
def test_shard_of_another_length_is_named(tmp_path: Path, change: int) -> None:
    write_shards(tmp_path, 3)
    path = tmp_path / "images-1.npy"
    os.truncate(path, path.stat().st_size + change)
    with pytest.raises(UserError, match=r"images-1\.npy is damaged .*run the split stage again"):
        open_images(tmp_path, PATHS, 3, 4)


@pytest.mark.parametrize("shape", [(3, 4, 4, 3), (40, 5, 5, 3)])
def test_shard_of_other_images_is_named(tmp_path: Path, shape: tuple[int, ...]) -> None:
    write_shards(tmp_path, 1)
    np.save(tmp_path / "images-0.npy", np.zeros(shape, np.uint8))
    expected = rf"images-0\.npy holds {shape[0]} images of {shape[1]} .* needs 40 images of 4 x 4"
    with pytest.raises(UserError, match=expected):
        open_images(tmp_path, PATHS, 1, 4)


def test_shard_of_another_number_of_shards_is_refused(tmp_path: Path) -> None:
    write_shards(tmp_path, 4)
    with pytest.raises(UserError, match=r"images-3\.npy is none of the 3 shards"):
        open_images(tmp_path, PATHS, 3, 4)
