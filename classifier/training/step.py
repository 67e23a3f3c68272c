"""Take one step of training: forward and backward passes of the micro-batches of a batch."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from classifier.core.errors import UserError
from classifier.core.random import stream, stream_seed
from classifier.data.transfer import to_device
from classifier.models.devices import Precision, compute_dtype, explain_missing_kernel
from classifier.training.adversarial import attack
from classifier.training.batches import Batch
from classifier.training.distributed import ProcessGroup, no_sync
from classifier.training.mixing import MixParams, mix
from classifier.training.optimization import OptimizationParams
from classifier.training.state import TrainState, update_ema

_WITHOUT_KERNEL = (
    "set runtime.deterministic: warn, and a second run differs in its last digits, or choose "
    "another backbone"
)


class StepParams(OptimizationParams):
    """The part of section `train` that a step depends on."""

    seed: int = Field(ge=0, lt=2**32)
    batch_size: int = Field(ge=3)
    grad_accumulation_steps: int = Field(ge=1)
    precision: Precision
    ema_decay: float | None = Field(gt=0, lt=1)
    mix: MixParams
    adversarial_strength: float = Field(ge=0, le=255)


class Loss:
    """Cross-entropy with label smoothing and class weights, as a sum over images.

    weights: float `(classes,)`, or None for equal ones. smoothing: 0..1.
    """

    def __init__(self, weights: Tensor | None = None, smoothing: float = 0.0) -> None:
        self.weights, self.smoothing = weights, smoothing

    def sum(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the summed loss of logits `(B, classes)` and class indices `(B,)`."""
        return cross_entropy(
            logits.float(), targets, self.weights, reduction="sum", label_smoothing=self.smoothing
        )

    def weight(self, targets: Tensor) -> Tensor | int:
        """Return the divisor of the sum for a weighted mean."""
        return len(targets) if self.weights is None else self.weights[targets].sum()


def train_step(
    state: TrainState,
    micro_batches: list[Batch],
    loss: Loss,
    params: StepParams,
    device: torch.device,
    factor: float,
) -> Tensor:
    """Take one step of the optimisers; return this rank's part of the mean loss before it.

    Args:
        state: Network, optimisers and progress, which are updated.
        micro_batches: This rank's micro-batches of the batch.
        loss: The training loss.
        params: What a step depends on.
        device: Where the network is.
        factor: Factor of the initial learning rate of each parameter group.

    Raises:
        UserError: The memory of a GPU is too small.
    """
    for optimizer in state.optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        optimizer.zero_grad()
    with _memory_advice(params), explain_missing_kernel(_WITHOUT_KERNEL):
        mean = _accumulate_gradients(state, micro_batches, loss, params, device)
    if params.optimizer.max_grad_norm is not None:
        nn.utils.clip_grad_norm_(state.network.parameters(), params.optimizer.max_grad_norm)
    for optimizer in state.optimizers:
        optimizer.step()
    if params.ema_decay is not None:
        update_ema(state.ema, state.network, params.ema_decay)
    state.progress.step += 1
    images = sum(len(batch.targets) for batch in micro_batches)
    state.clock.images += state.group.world_size * images
    return mean


def _accumulate_gradients(
    state: TrainState,
    micro_batches: list[Batch],
    loss: Loss,
    params: StepParams,
    device: torch.device,
) -> Tensor:
    """Accumulate gradients of the global mean loss; return this rank's part of it."""
    progress, group = state.progress, state.group
    weights = sum(loss.weight(batch.targets) for batch in micro_batches)
    images = sum(len(batch.targets) for batch in micro_batches)
    weight, size = _sums(weights, images, group, device)
    mean = torch.zeros((), device=device)
    for number, batch in enumerate(micro_batches):
        # Dropout and mixing are functions of these seeds, so that a resumed run needs no generator.
        place = group.rank * len(micro_batches) + number
        seeds = [params.seed, progress.epoch, progress.step, place]
        torch.manual_seed(stream_seed("dropout", *seeds))
        is_last = number == len(micro_batches) - 1
        with nullcontext() if is_last else no_sync(state.replica):
            shown = _attacked(state.network, batch, params, device, seeds)
            logits, summed = _forward(state.replica, shown, loss, params, device, seeds)
            # DDP averages gradients over ranks, where their sum is wanted.
            (summed / weight * group.world_size).backward()
        mean += summed.detach() / weight
        correct = (logits.argmax(dim=1) == batch.targets).sum()
        count = torch.full_like(correct, len(batch.targets))
        progress.totals += torch.stack([summed.detach() / weight * size, correct, count])
    return mean


def _sums(
    weights: Tensor | int, images: int, group: ProcessGroup, device: torch.device
) -> tuple[Tensor | int, Tensor | int]:
    """Return the weights and the number of images of a batch, summed over all ranks."""
    if group.world_size == 1:
        return weights, images
    sums = torch.empty(2, device=device, dtype=torch.float64)
    sums[0], sums[1] = weights, images
    weight, size = group.sum(sums)
    return weight, size


def _attacked(
    network: nn.Module, batch: Batch, params: StepParams, device: torch.device, seeds: list[int]
) -> Batch:
    """Return the micro-batch, with adversarial images where `adversarial_strength` is set."""
    if not params.adversarial_strength:
        return batch
    draws = stream("adversarial", *seeds).uniform(-1, 1, tuple(batch.inputs.shape))
    start = to_device(torch.from_numpy(draws.astype(np.float32)), device)
    # The statistics of batch norm must not change.
    network.eval()
    with autocast(params.precision, device):
        moved = attack(
            network,
            batch.inputs,
            batch.targets,
            strength=params.adversarial_strength,
            start=start,
        )
    network.train()
    return batch._replace(inputs=moved)


def _forward(
    network: nn.Module,
    batch: Batch,
    loss: Loss,
    params: StepParams,
    device: torch.device,
    seeds: list[int],
) -> tuple[Tensor, Tensor]:
    """Return the logits of a micro-batch, and its summed loss."""
    inputs, others, share = batch.inputs, batch.targets, 1.0
    if params.mix.is_on:
        inputs, others, share = mix(inputs, batch.targets, params.mix, seeds)
    with autocast(params.precision, device):
        logits = network(inputs)
    summed = loss.sum(logits, batch.targets)
    if share < 1:
        summed = share * summed + (1 - share) * loss.sum(logits, others)
    return logits, summed


def autocast(precision: Precision, device: torch.device) -> torch.autocast:
    """Return the context of mixed precision in which the network computes."""
    dtype = compute_dtype(precision, device)
    return torch.autocast(device.type, dtype, enabled=dtype is not torch.float32)


@contextmanager
def _memory_advice(params: StepParams) -> Iterator[None]:
    """Turn a GPU's lack of memory into a sentence; the last checkpoint stays."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise UserError(
            f"The GPU's memory is too small for train.batch_size {params.batch_size} in "
            f"{params.grad_accumulation_steps} micro-batch(es): set "
            f"train.grad_accumulation_steps: {2 * params.grad_accumulation_steps}, "
            "which needs about half of the memory, and run the same command again; it goes on from "
            "the last checkpoint."
        ) from None
