"""What a GPU would do, without one: operations that differ, devices that mix, waits."""

from pathlib import Path

import numpy as np
import pytest
import torch
from builders.gpu import GPU, Operations, fake_gpu, on_gpu
from builders.steps import SETTINGS, state_of
from builders.tiny import tiny_batches, tiny_model, tiny_params, write_split
from torch import Tensor, nn

from classifier.core.errors import UserError
from classifier.models.devices import OnMissing, prepare_pytorch
from classifier.training.batches import Batch, EpochSampler, ImageBatches, MicroBatches
from classifier.training.feature_batches import FeatureBatches
from classifier.training.step import Loss, train_step

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", SETTINGS)
def test_a_training_step_has_a_deterministic_form_on_a_gpu(name: str, tmp_path: Path) -> None:
    params = tiny_params(**SETTINGS[name])
    batches = tiny_batches(write_split(tmp_path), params)
    network = tiny_model(params.model).train()
    state = state_of(network, params, CPU)
    with Operations() as operations:
        micro_batches = next(batches.training_batches(1))
        train_step(state, micro_batches, Loss(torch.ones(3), 0.1), params, CPU, 1.0)
    assert "convolution_backward" in operations.names
    assert not operations.nondeterministic


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("weighted", [False, True])
def test_a_training_step_keeps_to_the_gpu_and_never_waits_for_it(
    name: str, weighted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = tiny_params(**SETTINGS[name])
    dataset = write_split(tmp_path)
    # A backward pass needs a real GPU; its gradients are of the shape of the weights.
    monkeypatch.setattr(torch.Tensor, "backward", lambda loss: None)
    monkeypatch.setattr(torch.autograd, "grad", lambda loss, inputs: (torch.zeros_like(inputs),))
    built = tiny_model(params.model).train()
    with fake_gpu() as waits:
        network = on_gpu(built)
        for weight in network.parameters():
            weight.grad = torch.zeros_like(weight)
        state = state_of(network, params, GPU)
        batches = ImageBatches(
            dataset,
            params.augment,
            input_size=8,
            sampler=EpochSampler(0, 8, "natural"),
            device=GPU,
            side=lambda epoch: params.side(epoch, 8),
            micro_batches=MicroBatches(
                0, params.grad_accumulation_steps, params.grad_accumulation_steps
            ),
        )
        loss = Loss(torch.ones(3, device=GPU) if weighted else None, params.label_smoothing)
        waits.names.clear()
        mean = train_step(state, next(batches.training_batches(1)), loss, params, GPU, 1.0)
    assert mean.device == GPU
    assert waits.names == []


def test_a_step_of_a_head_on_features_never_waits_for_the_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.Tensor, "backward", lambda loss: None)
    params = tiny_params()
    features, targets = np.zeros((9, 4), np.float32), np.arange(9) % 3
    head = nn.Linear(4, 3)
    with fake_gpu() as waits:
        state = state_of(on_gpu(head), params, GPU)
        batches = FeatureBatches(
            [features, features],
            features,
            targets,
            targets,
            sampler=EpochSampler(0, 4, "natural"),
            device=GPU,
        )
        waits.names.clear()
        train_step(state, next(batches.training_batches(1)), Loss(), params, GPU, 1.0)
    assert waits.names == []


def test_what_waits_for_the_gpu_is_noticed() -> None:
    with fake_gpu() as waits:
        on_it = torch.zeros(3, device=GPU)
        on_it[torch.tensor([0, 1])]
        on_it.cpu()
        torch.zeros(3).to(GPU, non_blocking=True)  # not pinned
    assert waits.names == ["index.Tensor", "_to_copy", "_to_copy"]


@pytest.mark.parametrize("on_missing", ["error", "warn"])
def test_a_missing_deterministic_form_ends_the_step_with_a_sentence_or_a_warning(
    on_missing: OnMissing, restored_determinism: None
) -> None:
    """`put_` stands for what a GPU lacks; it has no deterministic form on a processor either."""

    class Put(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone, self.head = nn.Identity(), nn.Linear(4, 3)

        def forward(self, inputs: Tensor) -> Tensor:
            moved = self.head(inputs)
            return moved.put(torch.tensor([0]), moved.flatten()[:1])

    prepare_pytorch(on_missing)
    params = tiny_params()
    state = state_of(Put(), params, CPU)
    batch = [Batch(torch.ones(2, 4), torch.tensor([0, 1]))]
    if on_missing == "error":
        with pytest.raises(UserError, match=r"put_? cannot .* runtime.deterministic: warn"):
            train_step(state, batch, Loss(), params, CPU, 1.0)
    else:
        with pytest.warns(UserWarning, match="put_? does not have a deterministic"):
            train_step(state, batch, Loss(), params, CPU, 1.0)
