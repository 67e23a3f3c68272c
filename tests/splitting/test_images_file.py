import io

import numpy as np
import pytest

from classifier.splitting.decoding.images_file import ImagesFile, write_npy_header


def test_images_written_in_any_order_are_an_npy_file() -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 4, 3), dtype=np.uint8)
    file = io.BytesIO()
    stored = ImagesFile(file, 5, 4)
    for row in (3, 0, 4, 1, 2):
        stored.write(row, images[row])
    np.testing.assert_array_equal(stored.read(4), images[4])
    stored.keep([1, 4])
    file.seek(0)
    np.testing.assert_array_equal(np.load(file), images[[1, 4]])


@pytest.mark.parametrize("rows", [1, 10, 10**9])
def test_npy_header_has_the_length_and_content_that_numpy_reads(rows: int) -> None:
    """Seen with NumPy 2.4: a header is rewritten in place when rows are dropped."""
    file, other = io.BytesIO(), io.BytesIO()
    write_npy_header(file, (rows, 8, 8, 3))
    write_npy_header(other, (2, 8, 8, 3))
    assert len(file.getvalue()) == len(other.getvalue())
    file.seek(0)
    assert np.lib.format.read_magic(file) == (1, 0)
    assert np.lib.format.read_array_header_1_0(file) == ((rows, 8, 8, 3), False, np.uint8)
