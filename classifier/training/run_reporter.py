"""Report a training run while it goes on and when it is over: history, metrics, checkpoints."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch

from classifier.core.files import write_csv, write_json
from classifier.core.timing import write_timing
from classifier.data.augmentation_samples import augmentation_samples
from classifier.data.dataset import Dataset
from classifier.models.bundle import save_bundle
from classifier.models.devices import device_name
from classifier.models.network import Classifier
from classifier.processing.spec import BundleSpec
from classifier.training.loggers import LiveLog, TensorBoardLog
from classifier.training.loop import Batches
from classifier.training.params import RuntimeParams, TrainParams
from classifier.training.state import Row, Run

_SAMPLES = 16


class Story:
    """Tells of a training run while it goes on and when it is over.

    checkpoints: the folder for bundles of single epochs. results: of the stage's small files.
    earlier: the history of the head alone, before all layers joined in.
    """

    def __init__(
        self,
        model: Classifier,
        params: TrainParams,
        runtime: RuntimeParams,
        spec: BundleSpec,
        checkpoints: Path,
        results: Path,
    ) -> None:
        self._model, self._params, self._spec = model, params, spec
        self._runtime = runtime
        self._checkpoints, self._results = checkpoints, results
        self.earlier: list[Row] = []
        self._live = LiveLog(results / "live")
        self._watch: Callable[[Run], None] | None = None

    def begin(self, dataset: Dataset, batches: Batches, events: Path) -> None:
        """Open TensorBoard's log in the folder `events` if `runtime.tensorboard` asks for it.

        It begins with augmentations of the first training image.
        """
        if not self._runtime.tensorboard:
            return
        samples = augmentation_samples(
            dataset.images[dataset.rows("train")[0]],
            self._params.augment,
            input_size=self._spec.input_size,
            seed=self._params.seed,
            count=_SAMPLES,
        )
        log, images = TensorBoardLog(events), next(batches.validation_batches()).inputs
        self._watch = lambda run: log.update(run, images, samples)
        print(f"tensorboard --logdir {events}")

    def after_epoch(self, run: Run) -> None:
        """A line on the terminal, the history's file, and a checkpoint where one is due."""
        history = self.history(run)
        last, number = history[-1], len(history)
        left = self._minutes_left(run)
        print(
            f"epoch {number:3}  training loss {last['train_loss']:.4f}, "
            f"accuracy {last['train_accuracy']:.4f}  validation loss {last['val_loss']:.4f}, "
            f"accuracy {last['val_accuracy']:.4f}"
            + (f"  about {left:.1f} min left" if left else ""),
            flush=True,
        )
        write_history(history, self._results / "history.csv")
        self._live.update(history)
        if run.progress.step:
            # A run that goes on within an epoch has other weights than at the end of the last one.
            return
        if self._watch is not None:
            self._watch(run)
        every = self._runtime.checkpoint_epochs
        if every is not None and number % every == 0:
            folder = self._checkpoints / f"epoch-{number:03}"
            prefix = "head." if run.network is self._model.head else ""
            state = {f"{prefix}{name}": tensor for name, tensor in run.weights.items()}
            save_bundle(self._model, self._spec, folder, state)
            print(f"Checkpoint: {folder}")

    def _minutes_left(self, run: Run) -> float:
        """If epochs go on to take as long as the last one did for its number of pixels."""
        done = len(run.progress.history)
        pixels = [
            self._params.side(epoch, self._spec.input_size) ** 2
            for epoch in range(1, self._params.epochs + 1)
        ]
        return run.clock.last_epoch / 60 * sum(pixels[done:]) / pixels[done - 1]

    def history(self, run: Run) -> list[Row]:
        """All epochs, those of the head alone first, numbered on."""
        first = len(self.earlier)
        later = [row | {"epoch": row["epoch"] + first} for row in run.progress.history]
        return [*self.earlier, *later]

    def finish(self, run: Run, started: float, device: torch.device) -> None:
        """Write metrics.json and timing.json. started: `time.perf_counter()` of the program."""
        history = self.history(run)
        best_epoch = len(self.earlier) + run.progress.best_epoch
        sizes = [(weight.numel(), weight.requires_grad) for weight in self._model.parameters()]
        best = {name: round(value, 6) for name, value in run.progress.best.items()}
        metrics = {
            "val_accuracy": best["val_accuracy"],
            "val_loss": best["val_loss"],
            "train_accuracy": best["train_accuracy"],
            "train_loss": best["train_loss"],
            "best_epoch": best_epoch,
            "epochs": len(history),
            "parameters": sum(size for size, _ in sizes),
            "trainable_parameters": sum(size for size, trained in sizes if trained),
        }
        write_json(self._results / "metrics.json", metrics)
        write_timing("train", started, device=device_name(device), **run.clock.figures())


def write_history(history: list[dict[str, float]], path: Path) -> None:
    """The history as CSV, whole after every epoch, so that `dvc plots show` can follow a run."""
    table = pd.DataFrame(history).astype({"epoch": int})
    write_csv(path, table.round({name: 6 for name in table.columns if name not in ("epoch", "lr")}))
