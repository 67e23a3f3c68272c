"""From a trained model and a data set to logits, through one view of each image or several."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from classifier.data.dataset import Dataset, Split, check_trained_on, load_dataset
from classifier.data.stored_images import Images
from classifier.models.bundle import Bundle, load_bundle
from classifier.models.extractor import FeatureExtractor
from classifier.models.network import Classifier
from classifier.processing.views import CENTRE, View, named_view


def load_trained(
    models: Path, split: Path, device: torch.device | None = None
) -> tuple[Bundle, Dataset]:
    """Load a model and the data set that it was trained on.

    Raises:
        UserError: where a file is missing, or where the two do not belong together.
    """
    bundle, dataset = load_bundle(models, device), load_dataset(split)
    check_trained_on(bundle.spec, dataset, models, split)
    return bundle, dataset


def predict_split(
    bundle: Bundle,
    dataset: Dataset,
    split: Split,
    *,
    batch_size: int,
    views: Sequence[View] | None = None,
    dtype: torch.dtype = torch.float32,
) -> np.ndarray:
    """Return the logits of a split, its rows in their order: float32 `(views, n, classes)`.

    Args:
        bundle: the trained model.
        dataset: the data set that it belongs to (`load_trained`).
        split: `train`, `val` or `test`.
        batch_size: images at once; memory, not results.
        views: views of each image; None is the centre crop alone.
        dtype: number format in which a frozen backbone computes. That of an answer is float32.
    """
    spec = bundle.spec
    shown = views or [named_view(CENTRE, spec.stored_size, spec.input_size)]
    rows = dataset.rows(split)
    return predict_logits(
        bundle.model, dataset.images, rows, shown, batch_size=batch_size, dtype=dtype
    )


@torch.no_grad()
def predict_logits(
    model: Classifier,
    images: Images,
    rows: np.ndarray,
    views: Sequence[View],
    *,
    batch_size: int,
    dtype: torch.dtype = torch.float32,
) -> np.ndarray:
    """Return the logits of `images[rows]` through each view: float32 `(views, rows, classes)`.

    images: uint8 `(N, S, S, 3)`, read a batch at a time. rows: int64 `(n,)`.
    They are computed on the model's device, in evaluation mode, and in float32. With a frozen
    backbone they come from cached features, for which it computes in `dtype`.
    """
    model.eval()
    if model.backbone_is_frozen:
        features = np.stack(FeatureExtractor(model, dtype).features(images, rows, views))
        return model.head(torch.from_numpy(features).to(model.mean.device)).cpu().numpy()
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
