"""What moves during a training run, as one state that can be saved and restored."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from classifier.models.network import restore_weights
from classifier.training.checkpoint import StateFolder
from classifier.training.distributed import Processes

Row = dict[str, float]


@dataclass
class Progress:
    """Where a run stands; with the tensors of network and optimisers, all that a resume needs.

    epoch: the one under way, from 1. step: its batches that are done.
    totals: of these, summed loss, correct predictions, images: float64 `(3,)`.
    history: a row for each finished epoch.
    """

    epoch: int = 1
    step: int = 0
    totals: Tensor = field(default_factory=lambda: torch.zeros(3, dtype=torch.float64))
    history: list[Row] = field(default_factory=list)
    best_epoch: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)

    def finished(self, epochs: int, patience: int | None) -> bool:
        waited = self.epoch - 1 - self.best_epoch
        return self.epoch > epochs or waited >= (patience or epochs)

    @property
    def best(self) -> Row:
        """The history's row of the best epoch."""
        return self.history[self.best_epoch - 1]

    @property
    def val_losses(self) -> list[float]:
        return [row["val_loss"] for row in self.history]


@dataclass
class Clock:
    """Seconds of training, and of these, of waiting for images; not part of any result.

    last_epoch: seconds of the last whole epoch, validation included.
    """

    training: float = 0.0
    waiting: float = 0.0
    images: int = 0
    epochs: int = 0
    last_epoch: float = 0.0

    @contextmanager
    def waits(self) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.waiting += time.perf_counter() - started

    def figures(self) -> dict[str, float]:
        """For timing.json; empty where all was done before."""
        if not self.epochs:
            return {}
        return {
            "seconds_per_epoch": round(self.training / self.epochs, 3),
            "images_per_second": round(self.images / self.training, 1),
            "waiting_share": round(self.waiting / self.training, 4),
        }


@dataclass(frozen=True)
class Run:
    """A training run under way.

    network: what is trained. replica: the same, or what shares its gradients among processes.
    average: moving averages of the network's state by name; empty where none are kept.
    grad_accumulation_steps: parts of a batch whose gradients are added up in a process.
    """

    network: nn.Module
    replica: nn.Module
    optimizers: list[torch.optim.Optimizer]
    average: dict[str, Tensor]
    states: StateFolder
    processes: Processes
    grad_accumulation_steps: int
    progress: Progress = field(default_factory=Progress)
    clock: Clock = field(default_factory=Clock)

    @property
    def weights(self) -> dict[str, Tensor]:
        """The network's state as it is judged and kept: averaged where averages are kept."""
        return self.average or self.network.state_dict()

    def save(self) -> None:
        """Write the state; all processes have to call this together."""
        totals = self.processes.sum(self.progress.totals)
        if not self.processes.first:
            return
        state: dict[str, Any] = {
            "network": self.network.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "average": self.average,
            "progress": vars(self.progress) | {"totals": totals},
            "division": self._division(),
        }
        self.states.save(self.progress.epoch, self.progress.step, state)

    def restore(self) -> None:
        """Go on where the last whole state left the run, if there is one."""
        state = self.processes.share(self.states.load() if self.processes.first else None)
        if state is None:
            return
        restore_weights(self.network, state["network"])
        for optimizer, kept in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        for name, tensor in state["average"].items():
            self.average[name].copy_(tensor)
        for name, value in state["progress"].items():
            setattr(self.progress, name, value)
        if not self.processes.first:
            self.progress.totals.zero_()
        print(f"Going on at epoch {self.progress.epoch}, step {self.progress.step}.")
        if state["division"] != self._division():
            print(
                "Batches were divided otherwise before (processes, accumulation, threads: "
                f"{state['division']}, now {self._division()}): the result will not be exactly "
                "that of a run from the start."
            )

    def _division(self) -> list[int]:
        return [self.processes.count, self.grad_accumulation_steps, torch.get_num_threads()]


def update_average(average: dict[str, Tensor], network: nn.Module, decay: float) -> None:
    """Move every average towards the network's state by `1 - decay` of the difference."""
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                average[name].lerp_(tensor, 1 - decay)
            else:
                average[name].copy_(tensor)
