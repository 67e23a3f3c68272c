"""Save and load checkpoints of unfinished runs, outside the outputs that DVC deletes.

A checkpoint is found only by a run of the same parameters, data, first weights, code, versions and
device, and used only where its bytes hash to what was written.
"""

import hashlib
import io
import json
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from classifier.core.cache import cache_folder, digest_tensors, read_checked, write_checked
from classifier.core.code import code_digest
from classifier.core.files import sha256_of
from classifier.core.versions import installed_versions
from classifier.data.stored_images import Images, digest_images
from classifier.models.devices import device_name

# The module whose import closure is the code of a training run.
TRAINING = "classifier.training.run"
_KEPT = 2


def run_key(
    params: dict[str, Any],
    data_folder: Path,
    images: Images,
    weights: dict[str, Tensor],
    device: torch.device,
    curriculum: str = "",
) -> str:
    """Return a name for all that the result of a training run depends on: 32 hexadecimal digits.

    params: section `train`, and the description of the backbone. images: those of the folder, whose
    shards are not read again. weights: of the network before its first step. curriculum: see
    `curriculum.digest_of`. How a batch is divided into micro-batches and over processes and threads
    is left out: it may change when a run goes on, since memory may have been too small.
    """
    files = {path for path in data_folder.iterdir() if path.is_file()}
    files -= set(data_folder.glob("images-*.npy"))
    depends_on = {
        "params": {
            name: value for name, value in params.items() if name != "grad_accumulation_steps"
        },
        "data": {path.name: sha256_of(path) for path in files},
        "images": digest_images(images),
        "code": code_digest(TRAINING),
        "versions": installed_versions("torch", "torchvision", "timm", "numpy", "pillow", "scipy"),
        "device": device_name(device),
        "weights": digest_tensors(weights),
        "curriculum": curriculum,
    }
    return hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()[:32]


class CheckpointFolder:
    """Folder of the latest checkpoints of one run, which its key names.

    Another run with the same key, in a copy of the project that shares the cache folder, may save
    there too, and clears it when it is finished.
    """

    def __init__(self, key: str) -> None:
        self._folder = cache_folder("resume") / key

    def save(self, epoch: int, step: int, state: dict[str, Any]) -> None:
        """Write a state (tensors, numbers, texts, in dicts and lists); keep the last two.

        A state is lost if another run clears the folder at that moment.
        """
        buffer = io.BytesIO()
        torch.save(state, buffer)
        with suppress(FileNotFoundError):
            write_checked(self._folder / f"{epoch:06d}-{step:09d}.state", buffer.getvalue())
        for old in self._newest_first()[_KEPT:]:
            old.unlink(missing_ok=True)

    def load(self) -> dict[str, Any] | None:
        """Return the newest complete state, on the processor; None where there is none."""
        for path in self._newest_first():
            content = read_checked(path)
            if content is not None:
                return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            # Its name may be later than those of states to come, which would be taken for old.
            path.unlink(missing_ok=True)
        return None

    def clear(self) -> None:
        """Delete all checkpoints of the run, which is finished."""
        # Kills may have left unfinished files beside the states.
        shutil.rmtree(self._folder, ignore_errors=True)

    def _newest_first(self) -> list[Path]:
        return sorted(self._folder.glob("*.state"), reverse=True)
