"""The bits of a step are the same whatever is in the memory that PyTorch is given."""

from pathlib import Path
from typing import Any

import pytest
import torch
from builders.steps import SETTINGS, state_of
from builders.tiny import tiny_batches, tiny_model, tiny_params, write_split
from torch import Tensor

from classifier.models.devices import prepare_pytorch
from classifier.training.step import Loss, train_step

CPU = torch.device("cpu")


def step(name: str, folder: Path) -> list[Tensor]:
    params = tiny_params(**SETTINGS[name])
    torch.manual_seed(0)
    network = tiny_model(params.model).train()
    state = state_of(network, params, CPU)
    micro_batches = next(tiny_batches(write_split(folder), params).training_batches(1))
    loss = train_step(state, micro_batches, Loss(torch.ones(3), 0.1), params, CPU, 1.0)
    return [loss, *network.state_dict().values()]


@pytest.mark.parametrize("name", SETTINGS)
def test_no_step_reads_memory_that_nothing_was_written_to(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restored_determinism: None
) -> None:
    prepare_pytorch()
    expected = step(name, tmp_path)
    memory: Any = torch.utils.deterministic
    assert not memory.fill_uninitialized_memory
    monkeypatch.setattr(memory, "fill_uninitialized_memory", True)
    assert torch.empty(1).isnan()
    given = step(name, tmp_path)
    assert all(torch.equal(one, other) for one, other in zip(given, expected, strict=True))
