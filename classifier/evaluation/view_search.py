"""TTA policy search: which views are worth averaging, greedily on validation images; their cost.

After Molchanov et al., "Greedy policy search", arXiv 2002.09103, which adds the view that raises
the log-likelihood most, and Shanmugam et al., "Better aggregation in test-time augmentation", arXiv
2011.11156, by which views that help some images harm others.
"""

import time
from collections.abc import Sequence

import numpy as np
import torch

from classifier.data.stored_images import Images
from classifier.models.network import Classifier
from classifier.processing.softmax import Merge, merge_views
from classifier.processing.views import View

# A view is added if the log loss falls by more than this number of standard errors: the best of
# several views without effect is often one or two of them better by chance.
_CERTAINTY = 2.0


def greedy_views(
    logits: np.ndarray, labels: np.ndarray, *, temperature: float, merge: Merge, limit: int
) -> list[int]:
    """Return the indices of the views to merge, in the order in which they were added.

    Of a single image there is no standard error, so that none is added.

    Args:
        logits: `(views, n, classes)` of the validation split; the first view is always merged.
        labels: int `(n,)`.
        temperature: of the model.
        merge: see `merge_views`.
        limit: most views to merge.
    """
    chosen = [0]
    current = _log_losses(logits[chosen], labels, temperature, merge)
    while len(labels) > 1 and len(chosen) < min(limit, len(logits)):
        tried: dict[int, np.ndarray] = {}
        for view in range(len(logits)):
            if view not in chosen:
                tried[view] = _log_losses(logits[[*chosen, view]], labels, temperature, merge)
        best = min(tried, key=lambda view: float(tried[view].mean()))
        falls = current - tried[best]
        if falls.mean() <= _CERTAINTY * falls.std(ddof=1) / np.sqrt(len(falls)):
            break
        chosen.append(best)
        current = tried[best]
    return chosen


def _log_losses(
    logits: np.ndarray, labels: np.ndarray, temperature: float, merge: Merge
) -> np.ndarray:
    """Return the negative log-likelihood of each true class: float64 `(n,)`."""
    given = merge_views(logits, temperature, merge)[np.arange(len(labels)), labels]
    return -np.log(np.maximum(given, np.finfo(np.float64).tiny))


@torch.no_grad()
def milliseconds_per_image(
    model: Classifier, images: Images, rows: np.ndarray, views: Sequence[View]
) -> float:
    """Return the latency without any cache: the fastest of three batches of `rows`."""
    seconds = []
    device = model.mean.device
    chosen = images[rows]
    for _ in range(3):
        begun = time.perf_counter()
        for view in views:
            model(torch.from_numpy(view(chosen, rows)).to(device)).cpu()
        seconds.append(time.perf_counter() - begun)
    return round(1000 * min(seconds) / len(rows), 4)
