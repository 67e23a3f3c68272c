import math
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from builders.tiny import tiny_batches, tiny_fit, tiny_model, tiny_params, weights_of, write_split
from torch import Tensor, nn

from classifier.core.errors import UserError
from classifier.data.dataset import Dataset
from classifier.training.batches import Batch
from classifier.training.loop import Batches
from classifier.training.params import TrainParams


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return write_split(tmp_path)


class Linear(nn.Module):
    """One layer on the pixels: without batch norm, only the optimiser changes what it gives."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(8 * 8 * 3, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.layer(images.float().flatten(1) / 255)


class Changed:
    """`batches` with every training batch passed through `change(epoch, step, batch)`."""

    def __init__(self, batches: Batches, change: Callable[[int, int, Batch], Batch]) -> None:
        self._batches, self._change = batches, change

    def training_order(self, epoch: int) -> list[np.ndarray]:
        return self._batches.training_order(epoch)

    def training_batches(self, epoch: int, first: int = 0) -> Iterator[list[Batch]]:
        for number, parts in enumerate(self._batches.training_batches(epoch, first), first):
            yield [self._change(epoch, number + 1, part) for part in parts]

    def validation_batches(self) -> Iterator[Batch]:
        return self._batches.validation_batches()


def plain_params(**changes: Any) -> TrainParams:
    """Plain gradient descent on images as they are."""
    plain: dict[str, Any] = {
        "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.0, "weight_decay": 0.0},
        "lr_scheduler": {"name": "constant", "warmup_epochs": 0.0},
        "augment": {"flip": 0.0, "crop_padding": None},
    }
    return tiny_params(**{**plain, **changes})


def standing_still(**changes: Any) -> TrainParams:
    """With steps so small that no weight changes."""
    return plain_params(
        optimizer={"name": "sgd", "lr": 1e-30, "momentum": 0.0, "weight_decay": 0.0}, **changes
    )


def split_of(dataset: Dataset, split: Any) -> tuple[Tensor, Tensor]:
    rows = dataset.rows(split)
    return torch.from_numpy(dataset.images[rows]), torch.from_numpy(dataset.labels[rows])


def test_network_learns(dataset: Dataset) -> None:
    params = tiny_params(epochs=4)
    progress = tiny_fit(tiny_model(), tiny_batches(dataset, params), params)
    losses = [row["train_loss"] for row in progress.history]
    assert progress.best["val_accuracy"] == 1
    assert losses[-1] < losses[0] / 2


def test_same_params_give_the_same_bytes_and_another_seed_others(dataset: Dataset) -> None:
    def train(run: str, seed: int) -> tuple[list[dict[str, float]], bytes]:
        params = tiny_params(seed=seed, epochs=1, model={"head": {"hidden": 8, "dropout": 0.5}})
        network = tiny_model(params.model)
        progress = tiny_fit(network, tiny_batches(dataset, params), params, run=run)
        return progress.history, weights_of(network)

    first = train("first", 0)
    assert train("second", 0) == first
    assert train("third", 1) != first


def test_history_has_a_row_for_each_epoch_with_the_rate_in_its_middle(dataset: Dataset) -> None:
    params = plain_params(
        epochs=4,
        lr_scheduler={"name": "step", "warmup_epochs": 1.0, "step_epochs": 2, "gamma": 0.5},
    )
    seen: list[int] = []
    progress = tiny_fit(
        Linear(),
        tiny_batches(dataset, params),
        params,
        after_epoch=lambda history: seen.append(len(history)),
    )
    assert [row["epoch"] for row in progress.history] == [1, 2, 3, 4]
    assert [row["lr"] for row in progress.history] == [0.05, 0.1, 0.05, 0.05]
    assert seen == [1, 2, 3, 4]


def test_training_figures_are_means_over_the_images(dataset: Dataset) -> None:
    network, params = Linear(), standing_still(epochs=1)
    images, labels = split_of(dataset, "train")
    row = tiny_fit(network, tiny_batches(dataset, params), params).best
    with torch.no_grad():
        logits = network(images)
    expected_loss = nn.functional.cross_entropy(logits, labels).item()
    assert row["train_loss"] == pytest.approx(expected_loss, rel=1e-6)
    assert row["train_accuracy"] == (logits.argmax(1) == labels).double().mean()


def test_validation_figures_are_plain_means_whatever_weights_the_training_loss(
    dataset: Dataset,
) -> None:
    network, params = Linear(), plain_params(epochs=1, label_smoothing=0.3)
    class_weights = torch.tensor([1.0, 5.0, 9.0])
    batches = tiny_batches(dataset, params)
    row = tiny_fit(network, batches, params, class_weights=class_weights).best
    images, labels = split_of(dataset, "val")
    with torch.no_grad():
        logits = network(images)
    expected_loss = nn.functional.cross_entropy(logits, labels).item()
    assert row["val_loss"] == pytest.approx(expected_loss, rel=1e-6)
    assert row["val_accuracy"] == (logits.argmax(1) == labels).double().mean()


@pytest.mark.parametrize(
    ("smoothing", "weights"), [(0.0, [1, 1, 1]), (0.2, [1, 1, 1]), (0.0, [1, 2, 5])]
)
def test_training_loss_is_smoothed_and_weighted_as_asked(
    dataset: Dataset, smoothing: float, weights: list[float]
) -> None:
    network, params = Linear(), standing_still(epochs=1, batch_size=36, label_smoothing=smoothing)
    images, labels = split_of(dataset, "train")
    with torch.no_grad():
        log_probabilities = network(images).log_softmax(1)
    # The target's share is 1 - smoothing, and smoothing is shared out among all classes.
    of_target = log_probabilities[torch.arange(36), labels]
    losses = -(1 - smoothing) * of_target - smoothing * log_probabilities.mean(1)
    class_weights = torch.tensor(weights, dtype=torch.float32)
    shares = class_weights[labels] / class_weights[labels].sum()
    batches = tiny_batches(dataset, params)
    row = tiny_fit(network, batches, params, class_weights=class_weights).best
    assert row["train_loss"] == pytest.approx((losses * shares).sum().item(), rel=1e-5)


def test_weights_of_the_best_epoch_are_in_the_network_at_the_end(dataset: Dataset) -> None:
    def mislead(epoch: int, step: int, batch: Batch) -> Batch:
        return batch._replace(targets=(batch.targets + 1) % 3) if epoch > 2 else batch

    network, params = Linear(), plain_params(epochs=4)
    batches = Changed(tiny_batches(dataset, params), mislead)
    progress = tiny_fit(network, batches, params)
    assert progress.best_epoch == 2
    assert len(progress.history) == 4
    images, labels = split_of(dataset, "val")
    with torch.no_grad():
        val_loss = nn.functional.cross_entropy(network(images), labels).item()
    assert val_loss == pytest.approx(progress.best["val_loss"], rel=1e-6)
    assert val_loss < progress.history[-1]["val_loss"]


def test_first_of_the_epochs_with_the_best_accuracy_is_the_best(dataset: Dataset) -> None:
    slow = {"name": "sgd", "lr": 0.01, "momentum": 0.0, "weight_decay": 0.0}
    params = plain_params(epochs=8, monitor="val_accuracy", optimizer=slow)
    progress = tiny_fit(Linear(), tiny_batches(dataset, params), params)
    accuracies = [row["val_accuracy"] for row in progress.history]
    losses = [row["val_loss"] for row in progress.history]
    assert progress.best_epoch == 1 + accuracies.index(max(accuracies))
    # By the loss, which goes on falling, it would be the last one.
    assert losses.index(min(losses)) + 1 == 8 > progress.best_epoch


def test_patience_stops_after_so_many_epochs_without_a_new_best(dataset: Dataset) -> None:
    params = standing_still(epochs=10, patience=3)
    progress = tiny_fit(Linear(), tiny_batches(dataset, params), params)
    assert (progress.best_epoch, len(progress.history)) == (1, 4)


def test_patience_waits_while_epochs_get_better(dataset: Dataset) -> None:
    params = plain_params(epochs=6, patience=1)
    progress = tiny_fit(Linear(), tiny_batches(dataset, params), params)
    assert (progress.best_epoch, len(progress.history)) == (6, 6)


def test_without_patience_all_epochs_are_run(dataset: Dataset) -> None:
    params = standing_still(epochs=5, patience=None)
    assert len(tiny_fit(Linear(), tiny_batches(dataset, params), params).history) == 5


def test_loss_that_is_not_finite_is_reported_with_its_place_and_what_to_try(
    dataset: Dataset,
) -> None:
    def spoil(epoch: int, step: int, batch: Batch) -> Batch:
        return batch._replace(inputs=batch.inputs * math.nan) if (epoch, step) == (2, 3) else batch

    params = plain_params()
    batches = Changed(tiny_batches(dataset, params), spoil)
    with pytest.raises(
        UserError, match=r"became nan in epoch 2, step 3: lower train\.optimizer\.lr"
    ):
        tiny_fit(Linear(), batches, params)


def test_huge_learning_rate_ends_in_a_sentence(dataset: Dataset) -> None:
    params = plain_params(optimizer={"name": "sgd", "lr": 1e30, "momentum": 0.9})
    with pytest.raises(UserError, match=r"epoch 1, step \d: lower train\.optimizer\.lr"):
        tiny_fit(tiny_model(), tiny_batches(dataset, params), params)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw", "muon"])
def test_highest_rate_and_decay_that_are_allowed_end_in_a_sentence(
    dataset: Dataset, name: str
) -> None:
    highest = {"lr": 1e37, "aux_lr": 1e37, "weight_decay": 1e37}
    params = plain_params(optimizer={"name": name, **highest})
    with pytest.raises(UserError, match=r"lower train\.optimizer\.lr"):
        tiny_fit(tiny_model(), tiny_batches(dataset, params), params)


def test_last_step_that_leads_to_no_finite_loss_ends_in_a_sentence(dataset: Dataset) -> None:
    # One step in all: its own loss is finite, but not what it makes of the network.
    params = plain_params(epochs=1, batch_size=36, optimizer={"name": "sgd", "momentum": 0.0})
    optimizer = params.optimizer.model_copy(update={"lr": 1e38})  # more than is allowed
    params = params.model_copy(update={"optimizer": optimizer})
    with pytest.raises(UserError, match=r"epoch 1.*train\.optimizer\.lr"):
        tiny_fit(Linear(), tiny_batches(dataset, params), params)


@pytest.mark.parametrize(
    ("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)]
)
def test_layers_compute_in_the_precision_that_is_asked_for(
    dataset: Dataset, precision: str, dtype: torch.dtype
) -> None:
    network, params = Linear(), plain_params(epochs=1, precision=precision)
    seen: set[torch.dtype] = set()
    network.layer.register_forward_hook(lambda module, inputs, output: seen.add(output.dtype))
    tiny_fit(network, tiny_batches(dataset, params), params)
    assert seen == {dtype}
    assert network.layer.weight.dtype == torch.float32


def test_dropout_differs_from_step_to_step(dataset: Dataset) -> None:
    network, params = nn.Sequential(Linear(), nn.Dropout(0.5)), standing_still(epochs=2)
    masks: list[bytes] = []

    def note(module: nn.Module, inputs: object, output: Tensor) -> None:
        if module.training:
            # The first seven images: as many as the smallest batch has.
            masks.append((output[:7] == 0).numpy().tobytes())

    network[1].register_forward_hook(note)
    tiny_fit(network, tiny_batches(dataset, params), params)
    assert len(set(masks)) == len(masks) == 10


def test_signals_are_handled_as_before_when_training_is_over(dataset: Dataset) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    params = plain_params(epochs=1)
    tiny_fit(Linear(), tiny_batches(dataset, params), params)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


class Greedy(Linear):
    """Runs out of memory once, in the second epoch, as a GPU does."""

    calls = 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += self.training
        if self.calls == 8:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return super().forward(images)


def test_lack_of_memory_names_the_knob_and_the_run_goes_on_with_it(dataset: Dataset) -> None:
    params = plain_params(epochs=3)
    with pytest.raises(UserError, match=r"set train\.grad_accumulation_steps: 2"):
        tiny_fit(Greedy(), tiny_batches(dataset, params), params)
    divided = plain_params(epochs=3, grad_accumulation_steps=2)
    seen: list[int] = []
    network = Linear()
    tiny_fit(
        network,
        tiny_batches(dataset, divided),
        divided,
        after_epoch=lambda history: seen.append(len(history)),
    )
    assert seen == [1, 2, 3]
    whole = Linear()
    tiny_fit(whole, tiny_batches(dataset, params), params, run="whole")
    torch.testing.assert_close(network.state_dict(), whole.state_dict())
