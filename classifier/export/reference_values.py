"""Write what the model gave on the test split, with which recorded answers are compared."""

from typing import Any

import numpy as np

from classifier.export.reference import Reference
from classifier.inference.measures import MEASURES, brightness
from classifier.metrics.confusion import confusion_counts
from classifier.processing.softmax import probabilities

MOST_VALUES = 1000
_AT_ONCE = 1024


def reference_content(reference: Reference) -> dict[str, Any]:
    """Return what `reference.json` holds.

    images: number of test images. confusion: how many of each class (rows) were taken for each
    (columns). values: of each measure, in ascending order; of many images, MOST_VALUES quantiles.
    """
    dataset, spec = reference.dataset, reference.bundle.spec
    rows = dataset.rows("test")
    outputs = reference.expected
    given = probabilities(outputs.logits, spec.temperature)
    parts = [dataset.images[rows[at : at + _AT_ONCE]] for at in range(0, len(rows), _AT_ONCE)]
    table = dataset.manifest.iloc[rows]
    values = {
        "confidence": given.max(axis=1),
        "outside": outputs.outside,
        "brightness": np.concatenate([brightness(part) for part in parts]),
        "width": table["width"].to_numpy(np.float64),
        "height": table["height"].to_numpy(np.float64),
    }
    assert tuple(values) == MEASURES
    confusion = confusion_counts(given.argmax(axis=1), reference.labels("test"), len(spec.classes))
    return {
        "classes": spec.classes,
        "images": len(rows),
        "confusion": confusion.tolist(),
        "values": {name: _quantiles(part) for name, part in values.items() if part is not None},
    }


def _quantiles(values: np.ndarray) -> list[float]:
    ordered = np.sort(values.astype(np.float64))
    if len(ordered) > MOST_VALUES:
        places = (np.arange(MOST_VALUES) + 0.5) * len(ordered) / MOST_VALUES
        ordered = ordered[places.astype(int)]
    return np.round(ordered, 6).tolist()
