"""Settings of a training step, one for each way that it may go, and the state before it."""

from typing import Any

import torch
from torch import nn

from classifier.training.checkpoint import CheckpointFolder
from classifier.training.distributed import ProcessGroup
from classifier.training.params import TrainParams
from classifier.training.state import TrainState, start_state

SETTINGS: dict[str, dict[str, Any]] = {
    "shifts": {"augment": {"flip": 0.5, "crop_padding": 2}},
    "geometry and colour": {
        "augment": {
            "crop_padding": None,
            "crop_scale": [0.5, 1.0],
            "rotation": 20.0,
            "brightness": 0.2,
            "contrast": 0.2,
            "saturation": 0.2,
        }
    },
    "mixup": {"mix": {"mixup": 0.2}},
    "cutmix": {"mix": {"cutmix": 1.0}, "ema_decay": 0.9},
    "attack": {"adversarial_strength": 4.0},
    "smaller images": {"progressive_resizing": [{"until_epoch": 1, "side": 6}]},
    "accumulation": {"grad_accumulation_steps": 2, "optimizer": {"max_grad_norm": 1.0}},
    "muon": {"optimizer": {"name": "muon"}},
    "label smoothing": {"label_smoothing": 0.1},
}


def state_of(network: nn.Module, params: TrainParams, device: torch.device) -> TrainState:
    """The state of a run before its first step."""
    state = start_state(
        network,
        params.optimizer,
        ema_decay=params.ema_decay,
        grad_accumulation_steps=params.grad_accumulation_steps,
        checkpoints=CheckpointFolder("run"),
        group=ProcessGroup(),
        device=device,
    )
    state.progress.totals = state.progress.totals.to(device)
    return state
