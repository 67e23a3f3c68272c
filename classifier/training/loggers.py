"""What a person can follow while training goes on: DVCLive's files, and TensorBoard's.

DVCLive's are results, the same bytes after every run. TensorBoard's carry time stamps, so they
belong into the cache folder.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from dvclive.live import Live
from torch import Tensor, nn

from classifier.core.errors import UserError
from classifier.training.optimization import trained_layers
from classifier.training.state import HistoryRow, TrainState

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter


class _FilesOnly(Live):
    """DVCLive that writes only its files, without Git and network.

    DVCLive itself makes a DVC project of any Git repository, and sends the metrics to DVC Studio if
    it finds a token.
    """

    def _init_dvc(self) -> None: ...
    def _init_studio(self) -> None: ...
    def post_data_to_studio(self) -> None: ...


class LiveLog:
    """The history in DVCLive's files: for `dvc exp show`, `dvc plots show` and VS Code's extension.

    `metrics.json` is the last epoch's row, `plots/metrics/live_<name>.tsv` the history of a column.
    The prefix distinguishes the numbers from those of the stage's own metrics.json; with equal
    names `dvc exp show` would add the file's path to the columns. At every update, a file in DVC's
    folder for temporary files signals the extension that there is something new.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._live: Live | None = None
        self._written = 0

    def update(self, history: list[HistoryRow]) -> None:
        """Write the rows that are new; in the first call all of them, in place of older files."""
        if self._live is None:
            self._live = _FilesOnly(str(self._folder), save_dvc_exp=False, dvcyaml=None)
        for row in history[self._written :]:
            self._live.step = int(row["epoch"])
            for name, value in row.items():
                # Of the rates of parameter groups, the highest stands for all. The strengths of
                # logistic regression are in history.csv: every run has the same files, since
                # `dvc exp apply` leaves a file that the experiment lacks in a changed work tree.
                if name not in ("epoch", "l2") and not name.startswith("lr_"):
                    self._live.log_metric(f"live_{name}", round(value, 8))
        self._written = len(history)
        self._live.next_step()


class TensorBoardLog:
    """The history and the inside of the network in TensorBoard's event files.

    A layer is one of `trained_layers`. Raises UserError where TensorBoard is not installed.
    """

    def __init__(self, folder: Path) -> None:
        try:
            # An extra that few people install.
            from torch.utils.tensorboard.writer import SummaryWriter  # noqa: PLC0415
        except ImportError:
            raise UserError(
                "runtime.tensorboard is on, but TensorBoard is not installed: install the extra "
                "tensorboard (pip install --editable .[tensorboard]), or turn it off."
            ) from None
        self._open = partial(SummaryWriter, str(folder))
        self._writer: SummaryWriter | None = None

    def update(self, state: TrainState, images: Tensor, samples: np.ndarray) -> None:
        """Write what there is to see after the last epoch; the run does not change.

        images: a batch as the network takes it, for its activations.
        samples: augmented images uint8 `(n, S, S, 3)`, written in the first call, or none. Right
        after a run was resumed, there are no gradients, and none are written.
        """
        row = state.progress.history[-1]
        epoch = int(row["epoch"])
        if self._writer is None:
            # An earlier run may have come further: TensorBoard drops what it wrote from here on.
            self._writer = self._open(purge_step=epoch)
            if len(samples):
                self._writer.add_images("augmentations", samples, epoch, dataformats="NHWC")
        for name, value in row.items():
            if name != "epoch":
                self._writer.add_scalar(f"history/{name}", value, epoch)
        layers = trained_layers(state.network)
        for name, weights in layers:
            _write_values(self._writer, f"weights/{name}", weights, epoch)
            gradients = [weight.grad for weight in weights if weight.grad is not None]
            _write_values(self._writer, f"gradients/{name}", gradients, epoch)
        for name, figures in _activations(state.network, images, [n for n, _ in layers]).items():
            for what, value in figures.items():
                self._writer.add_scalar(f"activation_{what}/{name}", value, epoch)
        self._writer.flush()


def _write_values(writer: "SummaryWriter", tag: str, tensors: Sequence[Tensor], epoch: int) -> None:
    """Write the norm and the histogram of all tensors' values together."""
    if not tensors:
        return
    values = torch.cat([tensor.detach().flatten() for tensor in tensors]).float().cpu()
    kind, layer = tag.split("/")
    writer.add_scalar(f"{kind}_norm/{layer}", values.norm().item(), epoch)
    # There is no histogram of infinity.
    if values.isfinite().all():
        writer.add_histogram(tag, values, epoch)


@torch.no_grad()
def _activations(
    network: nn.Module, images: Tensor, layers: list[str]
) -> dict[str, dict[str, float]]:
    """Return figures of what each layer gives for the images, in evaluation mode.

    zeros: the share that is zero, or becomes it where a ReLU follows.
    """
    found: dict[str, dict[str, float]] = {}

    def note(name: str, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        values = output.float()
        zeros = (values <= 0).float().mean().item()
        found[name] = {"mean": values.mean().item(), "std": values.std().item(), "zeros": zeros}

    modules = dict(network.named_modules())
    training = [module for module in modules.values() if module.training]
    # A head that is trained alone is one layer, which it has no name for.
    hooks = [
        modules.get(name, network).register_forward_hook(partial(note, name)) for name in layers
    ]
    try:
        network.eval()(images)
    finally:
        for hook in hooks:
            hook.remove()
        for module in training:
            module.training = True
    return found
