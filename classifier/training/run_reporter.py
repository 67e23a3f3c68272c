"""Report a training run while it goes on and when it is over: history, metrics, checkpoints."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from classifier.core.files import replacing, write_csv, write_json
from classifier.core.timing import write_timing
from classifier.data.augmentation_samples import augmentation_samples
from classifier.models.bundle import save_bundle
from classifier.models.devices import device_name
from classifier.processing.idle_knobs import idle_knobs
from classifier.processing.views import expand_views, named_view
from classifier.training.loggers import LiveLog, TensorBoardLog
from classifier.training.loop import Batches
from classifier.training.params import RuntimeParams, TrainParams
from classifier.training.setup import Setup
from classifier.training.state import HistoryRow, TrainState

_SAMPLES = 16


class RunReporter:
    """Writes down a training run while it goes on and when it is over.

    checkpoints: folder for bundles of single epochs. results: folder of the stage's small files.
    earlier: history of the head alone, before all layers are trained.
    """

    def __init__(
        self,
        setup: Setup,
        params: TrainParams,
        runtime: RuntimeParams,
        checkpoints: Path,
        results: Path,
    ) -> None:
        self._model, self._spec = setup.model, setup.spec
        self._dataset, self._device = setup.dataset, setup.device
        self._params, self._runtime = params, runtime
        self._checkpoints, self._results = checkpoints, results
        self.earlier: list[HistoryRow] = []
        self._live = LiveLog(results / "live")
        self._watch: Callable[[TrainState], None] | None = None

    def begin(self, batches: Batches, events: Path) -> None:
        """Write what training makes of its first image to augmentations.npy, for the report.

        Open TensorBoard's log in the folder `events` if `runtime.tensorboard` asks for it.
        """
        seen = self._seen()
        path = self._results / "augmentations.npy"
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.save(file, seen)
        if not self._runtime.tensorboard:
            return
        log, images = TensorBoardLog(events), next(batches.validation_batches()).inputs
        self._watch = lambda state: log.update(state, images, seen)
        print(f"tensorboard --logdir {events}")

    def _seen(self) -> np.ndarray:
        """Return 16 augmentations of the first training image: uint8 `(16, S, S, 3)`.

        Of a frozen backbone, the views that it gave features of, without the centre crop.
        """
        params, size = self._params, self._spec.input_size
        image = self._dataset.images[self._dataset.rows("train")[0]]
        if "augment" in idle_knobs(params.model_dump()):
            names = params.feature_views if isinstance(params.feature_views, list) else []
            views = [named_view(name, len(image), size) for name in expand_views(names)]
            shown = [view(image[None], np.zeros(1, np.int64)) for view in views]
            return np.concatenate([np.empty((0, size, size, 3), np.uint8), *shown])
        return augmentation_samples(
            image, params.augment, input_size=size, seed=params.seed, count=_SAMPLES
        )

    def after_epoch(self, state: TrainState) -> None:
        """Print a line, write the history, and save a model where `checkpoint_epochs` says so."""
        history = self.history(state)
        last, number = history[-1], len(history)
        left = self._minutes_left(state)
        step = f"L2 strength {last['l2']:<5g}" if "l2" in last else f"epoch {number:3}"
        print(
            f"{step}  training loss {last['train_loss']:.4f}, "
            f"accuracy {last['train_accuracy']:.4f}  validation loss {last['val_loss']:.4f}, "
            f"accuracy {last['val_accuracy']:.4f}"
            + (f"  about {left:.1f} min left" if left else ""),
            flush=True,
        )
        write_history(history, self._results / "history.csv")
        self._live.update(history)
        if state.progress.step:
            # A run that is resumed within an epoch has other weights than at the end of the last.
            return
        if self._watch is not None:
            self._watch(state)
        every = self._runtime.checkpoint_epochs
        if every is not None and number % every == 0:
            folder = self._checkpoints / f"epoch-{number:03}"
            prefix = "head." if state.network is self._model.head else ""
            changed = {f"{prefix}{name}": tensor for name, tensor in state.weights.items()}
            save_bundle(self._model, self._spec, folder, changed)
            print(f"Checkpoint: {folder}")

    def _minutes_left(self, state: TrainState) -> float:
        """Estimate them from the last epoch, in proportion to the pixels of the images.

        0 for a head that is solved without epochs.
        """
        if not state.clock.last_epoch:
            return 0.0
        done = len(state.progress.history)
        pixels = [
            self._params.side(epoch, self._spec.input_size) ** 2
            for epoch in range(1, self._params.epochs + 1)
        ]
        return state.clock.last_epoch / 60 * sum(pixels[done:]) / pixels[done - 1]

    def history(self, state: TrainState) -> list[HistoryRow]:
        """Return all epochs, beginning with those of the head alone, numbered consecutively."""
        first = len(self.earlier)
        later = [row | {"epoch": row["epoch"] + first} for row in state.progress.history]
        return [*self.earlier, *later]

    def finish(self, state: TrainState, started: float) -> None:
        """Write metrics.json and timing.json. started: `time.perf_counter()` of the program."""
        history = self.history(state)
        best_epoch = len(self.earlier) + state.progress.best_epoch
        sizes = [(weight.numel(), weight.requires_grad) for weight in self._model.parameters()]
        best = {name: round(value, 6) for name, value in state.progress.best.items()}
        metrics = {
            "val_accuracy": best["val_accuracy"],
            "val_loss": best["val_loss"],
            "train_accuracy": best["train_accuracy"],
            "train_loss": best["train_loss"],
            "best_epoch": best_epoch,
            "epochs": len(history),
            **({"l2": best["l2"]} if "l2" in best else {}),
            "parameters": sum(size for size, _ in sizes),
            "trainable_parameters": sum(size for size, trained in sizes if trained),
        }
        write_json(self._results / "metrics.json", metrics)
        write_timing("train", started, device=device_name(self._device), **state.clock.figures())


def write_history(history: list[HistoryRow], path: Path) -> None:
    """Write the history as CSV, complete after every epoch, so that `dvc plots show` can follow."""
    table = pd.DataFrame(history).astype({"epoch": int})
    measured = [name for name in table.columns if name != "epoch" and not name.startswith("lr")]
    write_csv(path, table.round(dict.fromkeys(measured, 6)))
