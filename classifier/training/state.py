"""Training state: everything that a checkpoint saves and restores."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from classifier.models.weights.stored_backbone import restore_weights
from classifier.training.checkpoint import CheckpointFolder
from classifier.training.distributed import ProcessGroup, wrap_ddp
from classifier.training.optimization import OptimizerParams, build_optimizers

HistoryRow = dict[str, float]


@dataclass
class Progress:
    """How far a run has come; with the weights and the optimisers, all that a resume needs.

    epoch: the current one, from 1. step: number of its batches that are done.
    totals: summed loss, correct predictions and images of these batches: float64 `(3,)`.
    history: a row for each finished epoch.
    divisions: how batches were divided, each time another way: see `TrainState.division`.
    """

    epoch: int = 1
    step: int = 0
    totals: Tensor = field(default_factory=lambda: torch.zeros(3, dtype=torch.float64))
    history: list[HistoryRow] = field(default_factory=list)
    best_epoch: int = 0
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    divisions: list[list[int]] = field(default_factory=list)

    def finished(self, epochs: int, patience: int | None) -> bool:
        """Return whether all epochs are done, or `patience` of them brought no new best."""
        waited = self.epoch - 1 - self.best_epoch
        return self.epoch > epochs or waited >= (patience or epochs)

    @property
    def best(self) -> HistoryRow:
        """The row of the best epoch."""
        return self.history[self.best_epoch - 1]

    @property
    def val_losses(self) -> list[float]:
        """Validation loss of each finished epoch."""
        return [row["val_loss"] for row in self.history]


@dataclass
class Clock:
    """Seconds of training, and of waiting for images in it; not part of any result.

    last_epoch: seconds of the last complete epoch, validation included.
    """

    training: float = 0.0
    waiting: float = 0.0
    images: int = 0
    epochs: int = 0
    last_epoch: float = 0.0

    @contextmanager
    def waits(self) -> Iterator[None]:
        """Count the time inside as waiting for images."""
        started = time.perf_counter()
        yield
        self.waiting += time.perf_counter() - started

    def figures(self) -> dict[str, float]:
        """Return figures for timing.json; none where no epoch was trained in this process."""
        if not self.epochs:
            return {}
        return {
            "seconds_per_epoch": round(self.training / self.epochs, 3),
            "images_per_second": round(self.images / self.training, 1),
            "waiting_share": round(self.waiting / self.training, 4),
        }


@dataclass(frozen=True)
class TrainState:
    """A training run in progress.

    network: what is trained. replica: the same, or its DDP wrapper.
    ema: exponential moving average of the network's state by name; empty where it is off.
    checkpoints: where the state is saved. group: the processes that train together.
    grad_accumulation_steps: micro-batches per step and rank.
    """

    network: nn.Module
    replica: nn.Module
    optimizers: list[torch.optim.Optimizer]
    ema: dict[str, Tensor]
    checkpoints: CheckpointFolder
    group: ProcessGroup
    grad_accumulation_steps: int
    progress: Progress = field(default_factory=Progress)
    clock: Clock = field(default_factory=Clock)

    @property
    def weights(self) -> dict[str, Tensor]:
        """The state of the network that is validated and kept: the EMA where it is on."""
        return self.ema or self.network.state_dict()

    def save(self) -> None:
        """Write a checkpoint; all ranks have to call this together."""
        totals = self.group.sum(self.progress.totals)
        if not self.group.is_main_process:
            return
        stored: dict[str, Any] = {
            "network": self.network.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "ema": self.ema,
            "progress": vars(self.progress) | {"totals": totals},
        }
        self.checkpoints.save(self.progress.epoch, self.progress.step, stored)

    def restore(self) -> None:
        """Continue from the last complete checkpoint, if there is one."""
        is_main = self.group.is_main_process
        stored = self.group.broadcast(self.checkpoints.load() if is_main else None)
        if stored is None:
            return
        restore_weights(self.network, stored["network"])
        for optimizer, kept in zip(self.optimizers, stored["optimizers"], strict=True):
            optimizer.load_state_dict(kept)
        for name, tensor in stored["ema"].items():
            self.ema[name].copy_(tensor)
        for name, value in stored["progress"].items():
            setattr(self.progress, name, value)
        if not is_main:
            self.progress.totals.zero_()
        print(f"Going on at epoch {self.progress.epoch}, step {self.progress.step}.")

    @property
    def division(self) -> list[int]:
        """How batches are divided now: number of processes, micro-batches of each, and threads."""
        return [self.group.world_size, self.grad_accumulation_steps, torch.get_num_threads()]

    def note_division(self) -> None:
        """Remember how batches are divided, and say so where it was otherwise before."""
        divisions = self.progress.divisions
        if self.division not in divisions:
            divisions.append(self.division)
        if len(divisions) > 1:
            print(
                "Batches of this run are not always divided alike (processes, "
                f"grad_accumulation_steps, threads: {', then '.join(map(str, divisions))}): the "
                "result will not be exactly that of a run from the start, and model.json will say "
                "so."
            )


def start_state(
    network: nn.Module,
    optimizer: OptimizerParams,
    *,
    ema_decay: float | None,
    grad_accumulation_steps: int,
    checkpoints: CheckpointFolder,
    group: ProcessGroup,
    device: torch.device,
) -> TrainState:
    """Return the state before the first step, or that of the last checkpoint."""
    averaged = network.state_dict() if ema_decay else {}
    state = TrainState(
        network,
        wrap_ddp(network, group, device),
        build_optimizers(optimizer, network),
        {name: tensor.clone() for name, tensor in averaged.items()},
        checkpoints,
        group,
        grad_accumulation_steps,
    )
    state.restore()
    state.note_division()
    return state


def update_ema(ema: dict[str, Tensor], network: nn.Module, decay: float) -> None:
    """Move the EMA towards the network's state by `1 - decay` of the difference."""
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                ema[name].lerp_(tensor, 1 - decay)
            else:
                ema[name].copy_(tensor)
