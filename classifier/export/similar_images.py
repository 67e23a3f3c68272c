"""Choose the training images that travel with an export, and draw their thumbnails."""

import io
import math
from typing import NamedTuple

import numpy as np
from PIL import Image

from classifier.core.files import json_bytes
from classifier.data.dataset import Dataset
from classifier.models.bundle import Bundle
from classifier.models.network_outputs import network_outputs, spread_rows, training_dtype
from classifier.processing.images import center_crop
from classifier.processing.similar_images import SIMILAR, SIMILAR_SHEET, SimilarImages

# Of a thumbnail, in pixels.
_SIDE = 64
_QUALITY = 85


class ChosenImages(NamedTuple):
    """Training images that travel with an export.

    Attributes:
        directions: their features, each of length 1, float32 `(m, features)`.
        files: `similar.json` and `similar.jpg`, by name.
    """

    directions: np.ndarray
    files: dict[str, bytes]


def choose_similar(
    bundle: Bundle, dataset: Dataset, most: int, batch_size: int
) -> ChosenImages | None:
    """Return training images, evenly spread over all of them; None where `most` is 0.

    Args:
        bundle: the trained model.
        dataset: the data set that it belongs to.
        most: how many at most.
        batch_size: images at once; memory, not results.
    """
    if most == 0:
        return None
    rows = spread_rows(dataset, most)
    dtype = training_dtype(bundle)
    features, _ = network_outputs(bundle, dataset.images, rows, batch_size=batch_size, dtype=dtype)
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    columns = math.ceil(math.sqrt(len(rows)))
    named = SimilarImages(
        side=_SIDE,
        columns=columns,
        paths=dataset.manifest["path"].iloc[rows].tolist(),
        labels=dataset.labels[rows].tolist(),
    )
    files = {
        SIMILAR: json_bytes(named.model_dump()),
        SIMILAR_SHEET: _sheet(dataset, rows, bundle.spec.input_size, columns),
    }
    return ChosenImages(features / np.maximum(lengths, 1e-12), files)


def _sheet(dataset: Dataset, rows: np.ndarray, input_size: int, columns: int) -> bytes:
    """Return a JPEG file of what the model sees of the images, in rows of tiles."""
    sheet = Image.new("RGB", (columns * _SIDE, math.ceil(len(rows) / columns) * _SIDE))
    for place, row in enumerate(rows):
        (seen,) = center_crop(dataset.images[[row]], input_size)
        tile = Image.fromarray(np.ascontiguousarray(seen)).resize((_SIDE, _SIDE))
        sheet.paste(tile, (place % columns * _SIDE, place // columns * _SIDE))
    content = io.BytesIO()
    sheet.save(content, "JPEG", quality=_QUALITY)
    return content.getvalue()
