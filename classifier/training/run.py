"""Run training from data/split to the bundle: linear probing, all layers, temperature, files."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch

from classifier.core.cache import cache_folder
from classifier.core.errors import UserError
from classifier.core.text import counted
from classifier.data.dataset import load_dataset
from classifier.data.stored_images import Images
from classifier.metrics.temperature import fit_temperature
from classifier.models.bundle import save_bundle
from classifier.models.devices import choose_device, one_thread, prepare_pytorch
from classifier.models.prediction import predict_logits
from classifier.processing.spec import BundleSpec
from classifier.processing.views import named_view
from classifier.training.checkpoint import CheckpointFolder, run_key
from classifier.training.curriculum import digest_of
from classifier.training.distributed import (
    ProcessGroup,
    convert_sync_batch_norm,
    end_rank,
    launch,
    launched_by_torchrun,
    local_device,
    num_processes,
    process_group,
)
from classifier.training.feature_batches import FeatureBatches
from classifier.training.logistic import solve
from classifier.training.loop import fit
from classifier.training.mixing import MixParams
from classifier.training.params import RuntimeParams, TrainParams
from classifier.training.run_reporter import RunReporter
from classifier.training.setup import Setup, head_batches, learner, prepare
from classifier.training.state import Progress, TrainState, start_state

_SAME = 1e-6  # largest difference of logits that count as equal
DATA, MODELS, RESULTS = Path("data/split"), Path("models"), Path("results/train")


def run_training(params: TrainParams, runtime: RuntimeParams, program: str) -> None:
    """Train in this process, or in several processes that it starts.

    Args:
        params: Section `train`.
        runtime: Section `runtime`.
        program: Module that each of several processes runs, which calls this function again.

    Raises:
        UserError: The params do not fit the data or the machine, or the run was stopped.
    """
    started = time.perf_counter()
    # A head on cached features takes seconds in one process.
    head_only = params.model.freeze == "backbone"
    if launched_by_torchrun() and head_only:
        raise UserError(
            "train.model.freeze: backbone trains the head alone, in one process: "
            "start the stage without torchrun."
        )
    count = 1 if head_only else num_processes(runtime.num_processes)
    if count > 1 and not launched_by_torchrun():
        launch(program, count)
        return
    prepare_pytorch(runtime.deterministic)
    device = local_device(choose_device())
    with process_group(device) as group:
        train(params, runtime, device, group, started)
    if launched_by_torchrun():
        end_rank()


def train(
    params: TrainParams,
    runtime: RuntimeParams,
    device: torch.device,
    group: ProcessGroup,
    started: float,
    watch: Callable[[TrainState], None] | None = None,
) -> None:
    """Train as one of the ranks of `group`; the main process writes all files.

    Args:
        params: Section `train`.
        runtime: Section `runtime`.
        device: Where this rank computes.
        group: The processes that train together.
        started: `time.perf_counter()` when the program began.
        watch: Called after each epoch; an exception of it ends the run.
    """
    setup = prepare(params, load_dataset(DATA), device, group)
    key = _common_key(setup)
    reporter = RunReporter(setup, params, runtime, cache_folder("checkpoints") / key, RESULTS)
    minutes = runtime.checkpoint_minutes
    parts: list[Progress] = []
    if params.linear_probe_epochs:
        parts.append(train_head(setup, params, CheckpointFolder(_of_head(key)), minutes))
        reporter.earlier = parts[0].history
    if not setup.model.backbone_is_frozen:
        convert_sync_batch_norm(setup.model, group, device)
    network, batches = learner(setup, params)
    if group.is_main_process:
        reporter.begin(batches, cache_folder("tensorboard") / key)

    def after_epoch(state: TrainState) -> None:
        reporter.after_epoch(state)
        if watch is not None:
            watch(state)

    with one_thread() if setup.model.backbone_is_frozen else nullcontext():
        state = start_state(
            network,
            params.optimizer,
            ema_decay=params.ema_decay,
            grad_accumulation_steps=params.grad_accumulation_steps,
            checkpoints=CheckpointFolder(key),
            group=group,
            device=device,
        )
        if params.head == "logistic":
            assert isinstance(batches, FeatureBatches)
            solve(state, batches, setup.loss, params.monitor, after_epoch)
        else:
            fit(
                state,
                batches,
                setup.loss,
                params,
                device=device,
                checkpoint_minutes=minutes,
                after_epoch=after_epoch,
            )
    if group.is_main_process:
        _write_model(setup, params.batch_size, [*parts, state.progress])
        reporter.finish(state, started)
        for name in (key, _of_head(key)):
            CheckpointFolder(name).clear()


def train_head(
    setup: Setup, params: TrainParams, checkpoints: CheckpointFolder, checkpoint_minutes: float
) -> Progress:
    """Train the head on the features of the pretrained backbone; return how that went.

    A head that fits the backbone moves it less when all layers are trained, which keeps more of
    what it learned before: linear probing, then fine-tuning (Kumar et al., arXiv 2202.10054).
    """
    lr_scheduler = params.lr_scheduler.model_copy(update={"name": "constant", "warmup_epochs": 0.0})
    changes = {
        "epochs": params.linear_probe_epochs,
        "lr_scheduler": lr_scheduler,
        "mix": MixParams(mixup=0.0, cutmix=0.0),
        "adversarial_strength": 0.0,
    }
    alone = params.model_copy(update=changes)
    batches = head_batches(setup, params)
    with one_thread():
        # Every rank does the same work, which takes seconds.
        state = start_state(
            setup.model.head,
            params.optimizer,
            ema_decay=params.ema_decay,
            grad_accumulation_steps=params.grad_accumulation_steps,
            checkpoints=checkpoints,
            group=ProcessGroup(),
            device=setup.device,
        )
        fit(
            state,
            batches,
            setup.loss,
            alone,
            device=setup.device,
            checkpoint_minutes=checkpoint_minutes,
        )
    return state.progress


def _common_key(setup: Setup) -> str:
    """Return the run's key; raise UserError unless all ranks have the same one."""
    weights, group = setup.model.state_dict(), setup.group
    depends_on = {**setup.spec.params, "backbone": setup.spec.backbone.model_dump(mode="json")}
    curriculum = digest_of(setup.curriculum)
    key = run_key(depends_on, DATA, setup.dataset.images, weights, setup.device, curriculum)
    if group.any(group.broadcast(key) != key, setup.device):
        raise UserError(
            "The processes differ in their parameters, images, code, versions or devices: start "
            "all of them from the same commit, with the same data, on machines of one kind."
        )
    return key


def _write_model(setup: Setup, batch_size: int, parts: list[Progress]) -> None:
    """Write the calibrated model, and how its batches were divided where that changed."""
    mixed = [part.divisions for part in parts if len(part.divisions) > 1]
    spec = _calibrated(setup, batch_size)
    spec = spec.model_copy(update={"divisions": mixed[-1] if mixed else None})
    save_bundle(setup.model, spec, MODELS)


def _calibrated(setup: Setup, batch_size: int) -> BundleSpec:
    """Return the description with the temperature that fits the validation split.

    Guo et al., "On Calibration of Modern Neural Networks", arXiv 1706.04599.
    """
    spec, dataset = setup.spec, setup.dataset
    rows = dataset.rows("val")
    centre = named_view("identity", spec.stored_size, spec.input_size)
    (logits,) = predict_logits(setup.model, dataset.images, rows, [centre], batch_size=batch_size)
    check_alive(logits, dataset.images, rows)
    temperature = fit_temperature(logits, dataset.labels[rows])
    print(f"temperature {temperature:.4f}, fitted on {counted(len(rows), 'validation image')}")
    return spec.model_copy(update={"temperature": temperature})


def check_alive(logits: np.ndarray, images: Images, rows: np.ndarray) -> None:
    """Raise UserError if a trained network answers different images alike.

    Args:
        logits: `(n, classes)`.
        images: uint8 `(N, S, S, 3)`.
        rows: Which of the images the logits are of, int64 `(n,)`.
    """
    if float(np.ptp(logits, axis=0).max()) > _SAME:
        return
    if any(not np.array_equal(images[row], images[rows[0]]) for row in rows):
        raise UserError(
            "the trained network gives the same answer for every validation image: none of its "
            "features depends on the image. Raise train.input_size and split.stored_size, choose "
            "another backbone.name, or lower train.optimizer.lr."
        )


def _of_head(key: str) -> str:
    return f"{key}-head"
