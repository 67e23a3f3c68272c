"""What training leaves for people: history, curves, checkpoints, a look at the augmentation."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

from classifier.core.files import write_csv, write_json
from classifier.core.timing import write_timing
from classifier.data.augment import AugmentParams, augment, draw_table
from classifier.data.dataset import Dataset
from classifier.models.bundle import save_bundle
from classifier.models.devices import device_name
from classifier.models.network import Classifier
from classifier.plotting.figures import BLUE, GREY, ORANGE, image_sheet, new_figure, write_png
from classifier.processing.images import center_crop
from classifier.processing.spec import BundleSpec
from classifier.training.loggers import LiveLog, TensorBoardLog
from classifier.training.loop import Batches
from classifier.training.params import TrainParams
from classifier.training.state import Row, Run

SHEET_IMAGES = 16


class Story:
    """Tells of a training run while it goes on and when it is over.

    checkpoints: the folder for bundles of single epochs. results: of the stage's small files.
    earlier: the history of the head alone, before all layers joined in.
    """

    def __init__(
        self,
        model: Classifier,
        params: TrainParams,
        spec: BundleSpec,
        checkpoints: Path,
        results: Path,
    ) -> None:
        self._model, self._params, self._spec = model, params, spec
        self._checkpoints, self._results = checkpoints, results
        self.earlier: list[Row] = []
        self._live = LiveLog(results / "live")
        self._watch: Callable[[Run], None] | None = None

    def begin(self, dataset: Dataset, batches: Batches, events: Path) -> None:
        """Draw what the augmentation makes of the first training image, and open the logs.

        events: the folder for TensorBoard's files, if it is wanted.
        """
        image = dataset.images[dataset.rows("train")[0]]
        sheet = draw_augmentations(
            image, self._params.augment, input_size=self._spec.input_size, seed=self._params.seed
        )
        write_png(sheet, self._results / "augmentations.png")
        if self._params.tensorboard:
            shown = np.asarray(Image.open(self._results / "augmentations.png").convert("RGB"))
            log, images = TensorBoardLog(events), next(batches.validation_batches()).inputs
            self._watch = lambda run: log.update(run, images, shown)
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
        every = self._params.checkpoint_epochs
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
        """Curves, metrics and what it cost. started: `time.perf_counter()` of the program."""
        history = self.history(run)
        best_epoch = len(self.earlier) + run.progress.best_epoch
        write_png(draw_curves(history, best_epoch), self._results / "curves.png")
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


def draw_curves(history: list[dict[str, float]], best_epoch: int) -> Figure:
    """Loss and accuracy of training and validation by epoch; a line marks the best epoch."""
    table = pd.DataFrame(history)
    figure = new_figure(9, 3.6)
    left, right = figure.subplots(1, 2)
    _draw_pair(left, table, "loss", best_epoch)
    _draw_pair(right, table, "accuracy", best_epoch)
    return figure


def _draw_pair(axes: Axes, table: pd.DataFrame, quantity: str, best_epoch: int) -> None:
    for part, colour in (("train", BLUE), ("val", ORANGE)):
        label = {"train": "training (augmented)", "val": "validation"}[part]
        values = table[f"{part}_{quantity}"]
        axes.plot(table["epoch"], values, color=colour, label=label, marker=".")
    axes.axvline(best_epoch, color=GREY, linestyle=":", label=f"best epoch ({best_epoch})")
    axes.set_xlabel("epoch")
    axes.set_ylabel(quantity)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend()


def draw_augmentations(
    image: np.ndarray, params: AugmentParams, *, input_size: int, seed: int
) -> Figure:
    """One image, uint8 `(S, S, 3)`, as stored and as the first 16 epochs might show it."""
    table = draw_table(
        params,
        seed=seed,
        epoch=1,
        size=SHEET_IMAGES,
        stored_size=image.shape[1],
        input_size=input_size,
    )
    copies = torch.from_numpy(np.repeat(image[None], SHEET_IMAGES, axis=0))
    augmented = augment(copies, table, params, input_size).round().to(torch.uint8).numpy()
    captions = ["as validated", *(f"augmented {i + 1}" for i in range(SHEET_IMAGES))]
    return image_sheet([center_crop(image, input_size), *augmented], captions, columns=6)
