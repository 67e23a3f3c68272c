"""From stored images to logits, seen through one view or several."""

from collections.abc import Sequence

import numpy as np
import torch

from classifier.models.extractor import FeatureExtractor
from classifier.models.network import Classifier
from classifier.processing.views import View


@torch.no_grad()
def predict_logits(
    model: Classifier,
    images: np.ndarray,
    rows: np.ndarray,
    views: Sequence[View],
    *,
    batch_size: int,
) -> np.ndarray:
    """Logits of `images[rows]` through each view: float32 `(views, rows, classes)`.

    images: uint8 `(N, S, S, 3)`, read a batch at a time. rows: int64 `(n,)`.
    Computed in float32 on the model's device, in evaluation mode; of a frozen backbone, from
    features that are cached.
    """
    model.eval()
    if model.backbone_is_frozen:
        return _predict_from_features(model, images, rows, views)
    device = model.mean.device
    batches = []
    for start in range(0, len(rows), batch_size):
        chosen = rows[start : start + batch_size]
        batch = images[chosen]
        seen = [
            model(torch.from_numpy(view(batch, chosen)).to(device)).float().cpu() for view in views
        ]
        batches.append(torch.stack(seen))
    return torch.cat(batches, dim=1).numpy()


def _predict_from_features(
    model: Classifier, images: np.ndarray, rows: np.ndarray, views: Sequence[View]
) -> np.ndarray:
    features = np.stack(FeatureExtractor(model).features(images, rows, views))
    return model.head(torch.from_numpy(features).to(model.mean.device)).cpu().numpy()
