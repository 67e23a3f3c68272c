"""One step of training: a batch, in parts, forwards and backwards."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from classifier.core.errors import UserError
from classifier.core.random import stream, stream_seed
from classifier.models.devices import compute_dtype
from classifier.training.adversarial import attack
from classifier.training.batches import Batch
from classifier.training.distributed import unsynchronized
from classifier.training.mixing import mix
from classifier.training.optimization import rate_factor
from classifier.training.params import TrainParams
from classifier.training.state import Run, update_average


class Loss:
    """Cross-entropy, smoothed and weighted as asked, as a sum over images.

    weights: float `(classes,)`, or None for equal ones.
    """

    def __init__(self, weights: Tensor | None = None, smoothing: float = 0.0) -> None:
        self.weights, self._smoothing = weights, smoothing

    def sum(self, logits: Tensor, targets: Tensor) -> Tensor:
        return cross_entropy(
            logits.float(), targets, self.weights, reduction="sum", label_smoothing=self._smoothing
        )

    def weight(self, targets: Tensor) -> Tensor | int:
        """What the sum is divided by for a mean."""
        return len(targets) if self.weights is None else self.weights[targets].sum()


def train_step(
    run: Run,
    parts: list[Batch],
    loss: Loss,
    params: TrainParams,
    device: torch.device,
    steps: int,
    *,
    factor: float | None = None,
) -> Tensor:
    """One step of the optimisers; this process's share of the batch's mean loss before it.

    parts: of the batch, those of this process. steps: those of an epoch.
    factor: of each learning rate's peak; None asks the schedule.
    Raises UserError where a GPU's memory is too small.
    """
    progress = run.progress
    if factor is None:
        done = progress.epoch - 1 + (progress.step + 0.5) / steps
        factor = rate_factor(params, done, progress.val_losses)
    for optimizer in run.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        optimizer.zero_grad()
    with _memory_advice(params):
        mean = _add_up_gradients(run, parts, loss, params, device)
    if params.optimizer.max_grad_norm is not None:
        nn.utils.clip_grad_norm_(run.network.parameters(), params.optimizer.max_grad_norm)
    for optimizer in run.optimizers:
        optimizer.step()
    if params.ema_decay is not None:
        update_average(run.average, run.network, params.ema_decay)
    progress.step += 1
    run.clock.images += run.processes.count * sum(len(part.targets) for part in parts)
    return mean


def _add_up_gradients(
    run: Run, parts: list[Batch], loss: Loss, params: TrainParams, device: torch.device
) -> Tensor:
    """Of the batch's mean loss over all processes; returns this process's share of that loss."""
    progress, processes = run.progress, run.processes
    whole = [sum(loss.weight(part.targets) for part in parts), sum(len(p.targets) for p in parts)]
    weight, size = processes.sum(torch.tensor(whole, device=device, dtype=torch.float64))
    mean = torch.zeros((), device=device)
    for number, part in enumerate(parts):
        # Dropout and mixing are functions of these seeds, so that a resumed run needs no generator.
        place = processes.rank * len(parts) + number
        seeds = [params.seed, progress.epoch, progress.step, place]
        torch.manual_seed(stream_seed("dropout", *seeds))
        is_last = number == len(parts) - 1
        with nullcontext() if is_last else unsynchronized(run.replica):
            shown = _attacked(run.network, part, params, device, seeds)
            logits, summed = _forward(run.replica, shown, loss, params, device, seeds)
            # Gradients are averaged over processes, where their sum is wanted.
            (summed / weight * processes.count).backward()
        mean += summed.detach() / weight
        correct = (logits.argmax(dim=1) == part.targets).sum()
        images = correct.new_tensor(len(part.targets))
        progress.totals += torch.stack([summed.detach() / weight * size, correct, images])
    return mean


def _attacked(
    network: nn.Module, part: Batch, params: TrainParams, device: torch.device, seeds: list[int]
) -> Batch:
    """A part of a batch, where asked with its images changed to mislead the network as it is."""
    if not params.adversarial_strength:
        return part
    draws = stream("adversarial", *seeds).uniform(-1, 1, tuple(part.inputs.shape))
    start = torch.from_numpy(draws.astype(np.float32)).to(device)
    # Not to move the statistics of batch norm.
    network.eval()
    with autocast(params, device):
        moved = attack(
            network,
            part.inputs,
            part.targets,
            strength=params.adversarial_strength,
            start=start,
        )
    network.train()
    return part._replace(inputs=moved)


def _forward(
    network: nn.Module,
    part: Batch,
    loss: Loss,
    params: TrainParams,
    device: torch.device,
    seeds: list[int],
) -> tuple[Tensor, Tensor]:
    """The logits of a part of a batch, and its summed loss."""
    inputs, others, share = part.inputs, part.targets, 1.0
    if params.mix.is_on:
        inputs, others, share = mix(inputs, part.targets, params.mix, seeds)
    with autocast(params, device):
        logits = network(inputs)
    summed = loss.sum(logits, part.targets)
    if share < 1:
        summed = share * summed + (1 - share) * loss.sum(logits, others)
    return logits, summed


def autocast(params: TrainParams, device: torch.device) -> torch.autocast:
    """The number format in which `params` have the network compute."""
    dtype = compute_dtype(params.precision, device)
    return torch.autocast(device.type, dtype, enabled=dtype is not torch.float32)


@contextmanager
def _memory_advice(params: TrainParams) -> Iterator[None]:
    """Turn a GPU's lack of memory into a sentence; the last state that was saved stays."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise UserError(
            f"The GPU's memory is too small for train.batch_size {params.batch_size} in "
            f"{params.grad_accumulation_steps} micro-batch(es): set "
            f"train.grad_accumulation_steps: {2 * params.grad_accumulation_steps}, "
            "which needs about half of the memory, and run the same command again; it goes on from "
            "the last state that was saved."
        ) from None
