"""Batches of images for the training loop, in an order that is a function of (seed, epoch)."""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from classifier.core.random import stream
from classifier.data.augment import augment, draw_table
from classifier.data.augment_params import AugmentParams
from classifier.data.dataset import Dataset
from classifier.data.transfer import to_device
from classifier.processing.images import center_window
from classifier.training.curriculum import Curriculum

Sampling = Literal["natural", "balanced"]
_READ_AHEAD = 3


class Batch(NamedTuple):
    """inputs: what the network takes, `(B, …)`; targets: class indices, int64 `(B,)`."""

    inputs: Tensor
    targets: Tensor


@dataclass(frozen=True)
class MicroBatches:
    """Which micro-batches of every batch this rank computes: `first` to `first + count` of `total`.

    A single process with gradient accumulation takes all of them, one after the other; of several
    processes each takes its own.
    """

    first: int = 0
    count: int = 1
    total: int = 1

    def of(self, rows: np.ndarray) -> list[np.ndarray]:
        """Return this rank's micro-batches of a batch with these rows."""
        return np.array_split(rows, self.total)[self.first : self.first + self.count]


class EpochSampler(NamedTuple):
    """The order of the images in an epoch, a function of these values and its number.

    sampling: `natural` has each image once; `balanced` draws with replacement, each class
    equally often on average. curriculum: the images that take part; None: all in every epoch.
    """

    seed: int
    batch_size: int
    sampling: Sampling = "natural"
    curriculum: Curriculum | None = None

    def places(self, labels: np.ndarray, epoch: int) -> list[np.ndarray]:
        """Return places in `labels`, shuffled and cut into batches of at most `batch_size`.

        The sizes of the batches differ by at most one: batch norm has no statistics of a last
        batch with a single image. (A `batch_size` of 2 could give one, and is refused.)
        """
        draws = stream("order", self.seed, epoch)
        taking_part = np.arange(len(labels))
        if self.curriculum is not None:
            taking_part = self.curriculum.places(epoch)
        size = len(taking_part)
        if self.sampling == "balanced":
            shown = labels[taking_part]
            chances = 1 / np.bincount(shown)[shown]
            order = draws.choice(size, size, p=chances / chances.sum())
        else:
            order = draws.permutation(size)
        return np.array_split(taking_part[order], -(-size // self.batch_size))


class ImageBatches:
    """The images of a data set, augmented anew in every epoch.

    On a GPU the images stay in its memory as uint8 where they take at most half of what is free;
    elsewhere a thread reads the next batches from the memory map in advance.
    side: side of training images in an epoch; None: `input_size` in all of them.
    """

    def __init__(
        self,
        dataset: Dataset,
        params: AugmentParams,
        *,
        input_size: int,
        sampler: EpochSampler,
        device: torch.device,
        side: Callable[[int], int] | None = None,
        micro_batches: MicroBatches | None = None,
    ) -> None:
        self._dataset, self._params, self._input_size = dataset, params, input_size
        self._ordering, self._device = sampler, device
        self._side = side or (lambda _: input_size)
        self._micro_batches = micro_batches or MicroBatches()
        self._rows = {split: dataset.rows(split) for split in ("train", "val")}
        self._resident = self._to_device()

    def training_order(self, epoch: int) -> list[np.ndarray]:
        """Return the rows of each batch of the epoch."""
        rows = self._rows["train"]
        return [rows[places] for places in self._ordering.places(self._dataset.labels[rows], epoch)]

    def training_batches(self, epoch: int, first: int = 0) -> Iterator[list[Batch]]:
        """Yield this rank's micro-batches of the epoch's batches, from batch `first` on.

        Images are float32 `(B, side, side, 3)` in 0..255.
        """
        table = draw_table(
            self._params,
            seed=self._ordering.seed,
            epoch=epoch,
            size=len(self._dataset.images),
            stored_size=self._dataset.images.shape[1],
            input_size=self._input_size,
        )
        side = self._side(epoch)
        orders = [self._micro_batches.of(rows) for rows in self.training_order(epoch)[first:]]
        flat = [rows for divided in orders for rows in divided]
        waiting: list[Batch] = []
        for rows, stored in zip(flat, self._stream(flat), strict=True):
            drawn = table.rows(rows, self._device)
            images = augment(stored, drawn, self._params, self._input_size)
            waiting.append(Batch(_reduce(images, side), self._targets(rows)))
            if len(waiting) == self._micro_batches.count:
                yield waiting
                waiting = []

    def validation_batches(self) -> Iterator[Batch]:
        """Yield centre crops of validation images: uint8 `(B, input_size, input_size, 3)`.

        Each rank gets other batches.
        """
        window = center_window(self._dataset.images.shape[1], self._input_size)
        rows = self._rows["val"]
        orders = np.array_split(rows, -(-len(rows) // self._ordering.batch_size))
        mine = self._micro_batches
        orders = orders[mine.first // mine.count :: mine.total // mine.count]
        for chosen, stored in zip(orders, self._stream(orders), strict=True):
            yield Batch(stored[:, window, window], self._targets(chosen))

    def _to_device(self) -> Tensor | None:
        if self._device.type != "cuda":
            return None
        free, _ = torch.cuda.mem_get_info(self._device)
        if self._dataset.images.nbytes > free // 2:
            return None
        return torch.from_numpy(np.array(self._dataset.images)).to(self._device)

    def _stream(self, orders: list[np.ndarray]) -> Iterator[Tensor]:
        """Yield the stored images of each of `orders`, on the device."""
        resident = self._resident
        if resident is not None:
            for rows in orders:
                yield resident[to_device(torch.from_numpy(rows), self._device)]
            return
        for images in read_ahead(self._dataset.read, orders):
            yield to_device(torch.from_numpy(images), self._device)

    def _targets(self, rows: np.ndarray) -> Tensor:
        return to_device(torch.from_numpy(self._dataset.labels[rows]), self._device)


def read_ahead(
    read: Callable[[np.ndarray], np.ndarray], orders: list[np.ndarray]
) -> Iterator[np.ndarray]:
    """Yield `read` of each of `orders`, which another thread calls a few of them in advance."""
    with ThreadPoolExecutor(1) as thread:
        waiting = deque(thread.submit(read, rows) for rows in orders[:_READ_AHEAD])
        for rows in orders[_READ_AHEAD:]:
            yield waiting.popleft().result()
            waiting.append(thread.submit(read, rows))
        while waiting:
            yield waiting.popleft().result()


def _reduce(images: Tensor, side: int) -> Tensor:
    """Return images `(B, H, W, 3)` resized to this side."""
    if images.shape[1] == side:
        return images
    planes = images.permute(0, 3, 1, 2)
    smaller = interpolate(planes, (side, side), mode="bilinear", antialias=True)
    return smaller.permute(0, 2, 3, 1)
