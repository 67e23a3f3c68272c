"""Batches of pictures for the training loop, in an order that (seed, epoch) sets."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from classifier.augment import AugmentParams, augment, draw_table
from classifier.dataset import Dataset
from classifier.images import center_window


class Batch(NamedTuple):
    """inputs: what the network takes, `(B, …)`; targets: class indices, int64 `(B,)`."""

    inputs: Tensor
    targets: Tensor


def epoch_order(rows: np.ndarray, *, seed: int, epoch: int, batch_size: int) -> list[np.ndarray]:
    """`rows` shuffled for this epoch and cut into batches of at most `batch_size`.

    The batches' sizes differ by one at most: a last batch of a single picture would leave batch
    norm without statistics. (It could be one with a
    `batch_size` of 2, which is therefore refused.)
    """
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, epoch, 1])))
    return np.array_split(generator.permutation(rows), -(-len(rows) // batch_size))


class PictureBatches:
    """The pictures of a data set, augmented anew in every epoch.

    On a GPU the pictures are kept in its memory as uint8 where they take at most half of what is
    free; elsewhere they are read from the memory map batch by batch.
    """

    def __init__(
        self,
        dataset: Dataset,
        params: AugmentParams,
        *,
        crop: int,
        seed: int,
        batch_size: int,
        device: torch.device,
    ) -> None:
        self._dataset, self._params, self._crop = dataset, params, crop
        self._seed, self._batch_size, self._device = seed, batch_size, device
        self._rows = {split: dataset.rows(split) for split in ("train", "val")}
        self._resident = self._to_device()

    def training_order(self, epoch: int) -> list[np.ndarray]:
        """The rows of each of the epoch's batches."""
        return epoch_order(
            self._rows["train"], seed=self._seed, epoch=epoch, batch_size=self._batch_size
        )

    def training_batches(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """The epoch's batches from number `first` on: pictures float32 `(B, crop, crop, 3)`."""
        table = draw_table(
            self._params,
            seed=self._seed,
            epoch=epoch,
            size=len(self._dataset.images),
            image_size=self._dataset.images.shape[1],
            crop=self._crop,
        )
        for rows in self.training_order(epoch)[first:]:
            drawn = table.rows(rows, self._device)
            pictures = augment(self._pictures(rows), drawn, self._params, self._crop)
            yield Batch(pictures, self._targets(rows))

    def validation_batches(self) -> Iterator[Batch]:
        """The validation pictures' centre crops: uint8 `(B, crop, crop, 3)`."""
        window = center_window(self._dataset.images.shape[1], self._crop)
        rows = self._rows["val"]
        for start in range(0, len(rows), self._batch_size):
            chosen = rows[start : start + self._batch_size]
            yield Batch(self._pictures(chosen)[:, window, window], self._targets(chosen))

    def _to_device(self) -> Tensor | None:
        if self._device.type != "cuda":
            return None
        free, _ = torch.cuda.mem_get_info(self._device)
        if self._dataset.images.nbytes > free // 2:
            return None
        return torch.from_numpy(np.array(self._dataset.images)).to(self._device)

    def _pictures(self, rows: np.ndarray) -> Tensor:
        if self._resident is not None:
            return self._resident[torch.from_numpy(rows).to(self._device)]
        return torch.from_numpy(self._dataset.images[rows]).to(self._device)

    def _targets(self, rows: np.ndarray) -> Tensor:
        return torch.from_numpy(self._dataset.labels[rows]).to(self._device)
