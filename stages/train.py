"""Train the classifier on `data/split`; write the bundle to `models` and the run's story."""

import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch

if __name__ == "__main__":  # `python stages/train.py` finds the packages of this project
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from classifier.core.cache import cache_folder
from classifier.core.config import load_section
from classifier.core.errors import UserError
from classifier.core.stage import run_stage
from classifier.data.dataset import Dataset, load_dataset
from classifier.metrics.temperature import fit_temperature
from classifier.models.bundle import save_bundle
from classifier.models.devices import choose_device, make_deterministic, one_thread
from classifier.models.network import Classifier
from classifier.models.prediction import predict_logits
from classifier.processing.spec import BundleSpec
from classifier.processing.views import named_view
from classifier.training.checkpoint import StateFolder, run_key
from classifier.training.distributed import (
    Processes,
    joined,
    launch,
    launched_by_torchrun,
    own_device,
    processes_to_start,
    share_batch_norm,
)
from classifier.training.loop import fit
from classifier.training.mixing import MixParams
from classifier.training.params import RuntimeParams, TrainParams
from classifier.training.run_reporter import Story
from classifier.training.setup import (
    describe,
    head_batches,
    prepare_learning,
    prepare_loss,
    prepare_model,
)
from classifier.training.state import Row, Run
from classifier.training.step import Loss

DATA, MODELS, RESULTS = Path("data/split"), Path("models"), Path("results/train")


def main() -> None:
    started = time.perf_counter()
    params = load_section("train", TrainParams)
    runtime = load_section("runtime", RuntimeParams)
    # A head on cached features takes seconds in one process.
    count = 1 if params.model.freeze == "backbone" else processes_to_start(runtime.num_processes)
    if launched_by_torchrun() and params.model.freeze == "backbone":
        raise UserError(
            "train.model.freeze: backbone trains the head alone, in one process: "
            "start the stage without torchrun."
        )
    if count > 1 and not launched_by_torchrun():
        launch("stages.train", count)
        return
    make_deterministic()
    device = own_device(choose_device())
    with joined(device) as processes:
        train(params, runtime, device, processes, started)


def train(
    params: TrainParams,
    runtime: RuntimeParams,
    device: torch.device,
    processes: Processes,
    started: float,
    watch: Callable[[Run], None] | None = None,
) -> None:
    """Train, as one of `processes`; the first of them writes everything.

    watch: called after each epoch; what it raises ends the run.
    """
    dataset = load_dataset(DATA)
    spec = describe(params, dataset)
    model = prepare_model(params, dataset, spec, device)
    loss = prepare_loss(params, dataset, device)
    key = run_key(spec.params, DATA, model.state_dict(), device)
    if processes.any(processes.share(key) != key, device):
        raise UserError(
            "The processes differ in their parameters, images, code, versions or devices: start "
            "all of them from the same commit, with the same data, on machines of one kind."
        )
    story = Story(model, params, runtime, spec, cache_folder("checkpoints") / key, RESULTS)
    if params.linear_probe_epochs:
        story.earlier = train_head(
            model, params, dataset, loss, device, key, runtime.checkpoint_minutes
        )
    if not model.backbone_is_frozen:
        share_batch_norm(model, processes, device)
    network, batches = prepare_learning(params, model, dataset, device, processes)
    if processes.first:
        story.begin(dataset, batches, cache_folder("tensorboard") / key)

    def after_epoch(run: Run) -> None:
        story.after_epoch(run)
        if watch is not None:
            watch(run)

    with one_thread() if model.backbone_is_frozen else nullcontext():
        run = fit(
            network,
            batches,
            params,
            loss=loss,
            device=device,
            states=StateFolder(key),
            checkpoint_minutes=runtime.checkpoint_minutes,
            after_epoch=after_epoch,
            processes=processes,
        )
    if processes.first:
        save_bundle(model, calibrated(spec, model, dataset, params.batch_size), MODELS)
        story.finish(run, started, device)
        for name in (key, _of_head(key)):
            StateFolder(name).clear()


def calibrated(
    spec: BundleSpec, model: Classifier, dataset: Dataset, batch_size: int
) -> BundleSpec:
    """`spec` with the temperature that fits the trained model's answers on the validation split."""
    rows = dataset.rows("val")
    centre = named_view("identity", spec.stored_size, spec.input_size)
    (logits,) = predict_logits(model, dataset.images, rows, [centre], batch_size=batch_size)
    temperature = fit_temperature(logits, dataset.labels[rows])
    print(f"temperature {temperature:.4f}, fitted on {len(rows)} validation images")
    return spec.model_copy(update={"temperature": temperature})


def train_head(
    model: Classifier,
    params: TrainParams,
    dataset: Dataset,
    loss: Loss,
    device: torch.device,
    key: str,
    checkpoint_minutes: float,
) -> list[Row]:
    """Train the head on the features of the pretrained backbone; its history.

    A head that fits the backbone moves it less when both go on together, which keeps more of what
    it learnt before: linear probing, then fine-tuning (Kumar et al., arXiv 2202.10054).
    """
    lr_scheduler = params.lr_scheduler.model_copy(update={"name": "constant", "warmup_epochs": 0.0})
    mixing = MixParams(mixup=0.0, cutmix=0.0)
    changes = {
        "epochs": params.linear_probe_epochs,
        "lr_scheduler": lr_scheduler,
        "mix": mixing,
        "adversarial_strength": 0.0,
    }
    alone = params.model_copy(update=changes)
    batches = head_batches(params, model, dataset, device)
    with one_thread():
        run = fit(
            model.head,
            batches,
            alone,
            loss=loss,
            device=device,
            states=StateFolder(_of_head(key)),
            checkpoint_minutes=checkpoint_minutes,
        )
    return run.progress.history


def _of_head(key: str) -> str:
    return f"{key}-head"


if __name__ == "__main__":
    run_stage("train", main)
