"""Batches of features of a frozen backbone, in place of images."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from classifier.core.random import stream
from classifier.data.augment_params import AugmentParams
from classifier.data.dataset import Dataset
from classifier.data.random_view import random_view
from classifier.data.transfer import to_device
from classifier.models.extractor import FeatureExtractor
from classifier.models.network import Classifier
from classifier.processing.views import expand_views, named_view
from classifier.training.batches import Batch, EpochSampler


class FeatureBatches:
    """Features of a frozen backbone for the training loop, of one view of each image per epoch.

    training: float32 `(views, n, features)`. The view of image i in an epoch is a function of
    (seed, epoch, i).
    """

    def __init__(
        self,
        training: Sequence[np.ndarray],
        validation: np.ndarray,
        training_targets: np.ndarray,
        validation_targets: np.ndarray,
        *,
        sampler: EpochSampler,
        device: torch.device,
    ) -> None:
        self._training = torch.from_numpy(np.stack(training)).to(device)
        self._validation = torch.from_numpy(validation).to(device)
        self._targets = torch.from_numpy(training_targets).to(device)
        self._validation_targets = torch.from_numpy(validation_targets).to(device)
        self._labels = training_targets
        self._ordering = sampler

    def all_training(self) -> Batch:
        """Return the features of all views of all training images: `(views * n, features)`."""
        views = len(self._training)
        return Batch(self._training.flatten(0, 1), self._targets.repeat(views))

    @property
    def centre_features(self) -> Tensor:
        """Features of the training images as they are, not augmented: float32 `(n, features)`."""
        return self._training[0]

    def training_order(self, epoch: int) -> list[np.ndarray]:
        """Return the places of the images of each batch of the epoch."""
        return self._ordering.places(self._labels, epoch)

    def training_batches(self, epoch: int, first: int = 0) -> Iterator[list[Batch]]:
        """Yield the batches of the epoch from number `first` on, each as one micro-batch."""
        draws = stream("feature view", self._ordering.seed, epoch)
        views = draws.integers(len(self._training), size=len(self._targets))
        for order in self.training_order(epoch)[first:]:
            rows, seen = (
                to_device(torch.from_numpy(part), self._targets.device)
                for part in (order, views[order])
            )
            yield [Batch(self._training[seen, rows], self._targets[rows])]

    def validation_batches(self) -> Iterator[Batch]:
        """Yield all validation images as one batch."""
        yield Batch(self._validation, self._validation_targets)


def feature_batches(
    dataset: Dataset,
    model: Classifier,
    augment: AugmentParams,
    *,
    views: int | list[str],
    input_size: int,
    dtype: torch.dtype,
    sampler: EpochSampler,
) -> FeatureBatches:
    """Return features of the training images, of the centre crop and of `views`.

    views: names of views, or a number of views that are augmented at random.
    Training sees features that were computed in `dtype`, validation sees them in float32, as
    evaluation computes them.
    """
    stored_size = dataset.preprocessing.stored_size
    identity = named_view("identity", stored_size, input_size)
    others = [named_view(name, stored_size, input_size) for name in _names(views)] or [
        random_view(
            augment,
            stored_size=stored_size,
            input_size=input_size,
            seed=sampler.seed,
            number=number,
            size=len(dataset.images),
        )
        for number in range(views if isinstance(views, int) else 0)
    ]
    train, val = dataset.rows("train"), dataset.rows("val")
    exact, fast = FeatureExtractor(model), FeatureExtractor(model, dtype)
    (validation,) = exact.features(dataset.images, val, [identity])
    return FeatureBatches(
        fast.features(dataset.images, train, [identity, *others]),
        validation,
        dataset.labels[train],
        dataset.labels[val],
        sampler=sampler,
        device=model.mean.device,
    )


def _names(views: int | list[str]) -> list[str]:
    return [] if isinstance(views, int) else expand_views(views)
