"""Features of a frozen backbone, computed once and kept in the cache folder.

A frozen backbone in evaluation mode is a pure function, so its features are kept under a key of
everything that they depend on: the pixels of the whole data set, the view, the weights, the number
format, the code and the hardware. A later run with another head or another split of the same
images, and every evaluation, finds them there.
"""

import hashlib
import io
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from classifier.core.cache import cache_folder, digest_tensors, read_checked, write_checked
from classifier.core.code import code_digest
from classifier.core.versions import installed_versions
from classifier.data.stored_images import Images, digest_images
from classifier.models.devices import device_name
from classifier.models.folding import fold_batch_norm
from classifier.models.network import Classifier
from classifier.models.weights.stored_backbone import StoredBackbone, build_stored
from classifier.processing.views import View

# The features of an image may depend in their last bits on how many are computed at once, so the
# number is fixed. On a processor, eight images of 224 x 224 stay in its caches.
_AT_ONCE = {"cpu": 8, "cuda": 256}


class FeatureExtractor:
    """The frozen backbone of `model`, whose features are cached on disk."""

    def __init__(self, model: Classifier, dtype: torch.dtype = torch.float32) -> None:
        self._model = model
        self._dtype = dtype
        self._network: nn.Module | None = None
        self._weights_digest = digest_tensors(
            {**model.backbone.state_dict(), "mean": model.mean, "std": model.std}
        )

    def features(self, images: Images, rows: np.ndarray, views: Sequence[View]) -> list[np.ndarray]:
        """Return features of `images[rows]` seen through each view: float32 `(n, features)`.

        images: uint8 `(N, S, S, 3)`. From the cache folder where they are there and whole; a file
        there holds those of all images of a data set through a view, as far as they were computed.
        """
        # The order counts too: what a random view shows of an image depends on its row.
        digest = digest_images(images)
        return [self._features(images, rows, view, digest) for view in views]

    def _features(self, images: Images, rows: np.ndarray, view: View, digest: str) -> np.ndarray:
        path = cache_folder("features") / f"{self._key(digest, view)}.npy"
        known, features = _read_features(path, len(images))
        missing = rows[~known[rows]]
        if len(missing):
            computed = self._compute(images, missing, view)
            if features is None:
                features = np.zeros((len(images), computed.shape[1]), np.float32)
            features[missing], known[missing] = computed, True
            buffer = io.BytesIO()
            np.save(buffer, known)
            np.save(buffer, features)
            write_checked(path, buffer.getvalue())
        assert features is not None  # rows are never empty
        return features[rows]

    def _key(self, digest: str, view: View) -> str:
        depends_on = {
            "images": digest,
            "view": repr(view),
            "weights": self._weights_digest,
            "architecture": self._model.architecture,
            "dtype": str(self._dtype),
            "code": code_digest(__name__, type(view).__module__),
            "versions": installed_versions("torch", "torchvision", "timm", "numpy", "pillow"),
            "device": device_name(self._model.mean.device),
        }
        return hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()[:32]

    def _compute(self, images: Images, rows: np.ndarray, view: View) -> np.ndarray:
        device = self._model.mean.device
        if self._network is None:
            shown = torch.from_numpy(view(images[rows[:1]], rows[:1])).to(device)
            example = self._model.normalize(shown)
            self._network = _for_inference(self._model.backbone, self._dtype, example)
        network = self._network
        at_once = _AT_ONCE[device.type]

        @torch.no_grad()
        def features_from(start: int) -> Tensor:
            chosen = np.resize(rows[start : start + at_once], at_once)
            shown = torch.from_numpy(view(images[chosen], chosen)).to(device)
            normalized = self._model.normalize(shown).to(self._dtype)
            return network(normalized).float().cpu()

        starts = range(0, len(rows), at_once)
        # Several threads with a batch each are faster than a batch shared by several threads.
        count = torch.get_num_threads() if device.type == "cpu" else 1
        with ThreadPoolExecutor(count, initializer=_compute_alone) as threads:
            parts = threads.map(features_from, starts)
            label = f"features of {view.name}"
            shown = tqdm(parts, total=len(starts), desc=label, leave=False, disable=None)
            return torch.cat(list(shown))[: len(rows)].numpy()


def _compute_alone() -> None:
    """Keep PyTorch from starting threads of its own in this thread."""
    torch.set_num_threads(1)


def _for_inference(backbone: nn.Module, dtype: torch.dtype, example: Tensor) -> nn.Module:
    """Return a copy for evaluation with batch norm folded, in this number format.

    example: images as the backbone takes them.
    """
    network = build_stored(backbone) if isinstance(backbone, StoredBackbone) else backbone
    return fold_batch_norm(network, example).to(dtype).to(memory_format=torch.channels_last)


def _read_features(path: Path, size: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Return which of `size` images the file knows, bool `(size,)`, and `(size, features)`."""
    stored = read_checked(path)
    if stored is None:
        return np.zeros(size, bool), None
    buffer = io.BytesIO(stored)
    return np.load(buffer), np.load(buffer)
