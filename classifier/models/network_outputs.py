"""Features and logits of images through the centre crop, which the outside score needs both."""

from typing import NamedTuple

import numpy as np
import torch

from classifier.data.dataset import Dataset
from classifier.data.stored_images import Images
from classifier.models.bundle import Bundle
from classifier.models.devices import compute_dtype
from classifier.models.extractor import FeatureExtractor
from classifier.processing.views import CENTRE, named_view


class NetworkOutputs(NamedTuple):
    """What the network gives for n images.

    Attributes:
        features: input of the head, float32 `(n, features)`.
        logits: float32 `(n, classes)`.
    """

    features: np.ndarray
    logits: np.ndarray


@torch.no_grad()
def network_outputs(
    bundle: Bundle,
    images: Images,
    rows: np.ndarray,
    *,
    batch_size: int,
    dtype: torch.dtype = torch.float32,
) -> NetworkOutputs:
    """Return features and logits of `images[rows]`, with a frozen backbone from cached features.

    Args:
        bundle: the trained model.
        images: uint8 `(N, S, S, 3)`.
        rows: int64 `(n,)`, n > 0.
        batch_size: images at once; memory, not results.
        dtype: number format in which a frozen backbone computes. That of an answer is float32.
    """
    model, spec = bundle.model.eval(), bundle.spec
    view = named_view(CENTRE, spec.stored_size, spec.input_size)
    device = model.mean.device
    if model.backbone_is_frozen:
        (features,) = FeatureExtractor(model, dtype).features(images, rows, [view])
        logits = model.head(torch.from_numpy(features).to(device)).float().cpu().numpy()
        return NetworkOutputs(features, logits)
    parts = []
    for start in range(0, len(rows), batch_size):
        chosen = rows[start : start + batch_size]
        features = model.features(torch.from_numpy(view(images[chosen], chosen)).to(device))
        parts.append((features.float().cpu(), model.head(features).float().cpu()))
    return NetworkOutputs(*(torch.cat(of).numpy() for of in zip(*parts, strict=True)))


def training_dtype(bundle: Bundle) -> torch.dtype:
    """Return the number format in which training saw the features of a frozen backbone.

    In it, the features of the training images are in the cache folder.
    """
    return compute_dtype(bundle.spec.params["precision"], bundle.model.mean.device)


def spread_rows(dataset: Dataset, most: int) -> np.ndarray:
    """Return training rows, evenly spread over all of them: int64 `(<= most,)`."""
    rows = dataset.rows("train")
    count = min(most, len(rows))
    return rows[np.linspace(0, len(rows) - 1, count).astype(int)]
