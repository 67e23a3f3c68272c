"""Small builders that several tests share: a data set, train params, a network, a bundle."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import yaml
from safetensors.torch import save
from torch import Tensor, nn

from builders.backbones import backbone_params, backbone_spec
from classifier.core.config import read_params
from classifier.core.files import write_json
from classifier.data.augment_params import AugmentParams
from classifier.data.dataset import SPLITS, Dataset, load_dataset
from classifier.models.bundle import save_bundle
from classifier.models.network import Classifier, ModelParams, build_classifier
from classifier.models.outside import OUTSIDE_FILE, save_outside
from classifier.models.weights.pretrained import write_backbone
from classifier.processing.decision import TTA_POLICY, Decision, TtaPolicy
from classifier.processing.made_for import model_digest
from classifier.processing.softmax import DECISION
from classifier.processing.spec import BackboneSpec, BundleSpec
from classifier.splitting.duplicates.pairs import Duplicates
from classifier.splitting.duplicates.thumbnails import SIDE
from classifier.splitting.relabelling import Relabelled
from classifier.splitting.split import SplitResult
from classifier.training.batches import EpochSampler, ImageBatches, MicroBatches
from classifier.training.checkpoint import CheckpointFolder
from classifier.training.distributed import ProcessGroup
from classifier.training.loop import Batches, fit
from classifier.training.params import RuntimeParams, TrainParams
from classifier.training.state import Progress, TrainState, start_state
from classifier.training.step import Loss

CLASSES = ["red", "green", "blue"]
IMAGE_SIZE = 8
ROOT = Path(__file__).parents[2]

# What differs from params.yaml in a short run on tiny images.
_SECTIONS = read_params(ROOT / "params.yaml")
_TINY = {
    "epochs": 3,
    "batch_size": 8,
    "optimizer": {"lr": 0.01, "aux_lr": 0.01},
    "lr_scheduler": {"step_epochs": 1},
    "augment": {"flip": 0.5, "rotation": 0.0},
}


def write_split(folder: Path, *, stored_size: int = IMAGE_SIZE, seed: int = 0) -> Dataset:
    """Write and open what the split stage would: noise in which the class's colour prevails.

    Of each class 12 training, 4 validation and 4 test images, their rows shuffled.
    """
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(3), 20)
    splits = np.tile(np.repeat(SPLITS, [12, 4, 4]), 3)
    order = generator.permutation(60)
    labels, splits = labels[order], splits[order]
    images = generator.integers(0, 120, (60, stored_size, stored_size, 3), dtype=np.uint8)
    images[np.arange(60), :, :, labels] += 100
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "images-0.npy", images)
    manifest = pd.DataFrame(
        {
            "path": [f"{CLASSES[label]}/{row:02d}.png" for row, label in enumerate(labels)],
            "class": [CLASSES[label] for label in labels],
            "label": labels,
            "split": splits,
            "width": stored_size,
            "height": stored_size,
            "mode": "RGB",
            "bytes": 100,
            "sha256": [f"{row:064x}" for row in range(60)],
            "group": 0,
        }
    )
    manifest.to_csv(folder / "manifest.csv", index=False)
    (folder / "classes.json").write_text(json.dumps(CLASSES), "utf-8")
    preprocessing = {"stored_size": stored_size, "resize": "crop", "shards": 1}
    (folder / "preprocessing.json").write_text(json.dumps(preprocessing), "utf-8")
    return load_dataset(folder)


def tiny_section(**overrides: Any) -> dict[str, Any]:
    """Section `train` for a short run on tiny images; nested mappings are merged into it.

    A head with a hidden layer is train.head: mlp.
    """
    section = _merged(_merged(_SECTIONS["train"], _TINY), overrides)
    head = section["model"]["head"]
    return section | {"head": "mlp"} if head and head["hidden"] else section


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = base | changes
    for key, change in changes.items():
        if isinstance(change, dict) and isinstance(base.get(key), dict):
            merged[key] = _merged(base[key], change)
    return merged


def tiny_runtime(**overrides: Any) -> RuntimeParams:
    """Section `runtime` of params.yaml with these values."""
    return RuntimeParams.model_validate(_SECTIONS["runtime"] | overrides)


def tiny_params(**overrides: Any) -> TrainParams:
    return TrainParams.model_validate(tiny_section(**overrides))


def tiny_augment(**on: Any) -> AugmentParams:
    """Everything off but what is named."""
    off = {"flip": 0.0, "crop_padding": None}
    return tiny_params(augment=off | on).augment


def tiny_result(images: int, problems: Sequence[tuple[str, str]] = ()) -> SplitResult:
    """The result of splitting this number of images without duplicates."""
    nothing = Duplicates([], [], np.empty(0, np.int64))
    thumbnails = np.zeros((images, SIDE, SIDE), np.uint8)
    modes, zeros = np.full(images, "RGB"), np.zeros(images, np.int64)
    same = Relabelled([], {}, {}, 0)
    return SplitResult(
        list(problems), {}, {}, nothing, modes, thumbnails, zeros, {}, [], same, {}, set()
    )


def tiny_model(
    params: ModelParams | None = None,
    *,
    backbone: BackboneSpec | None = None,
    input_size: int = IMAGE_SIZE,
) -> Classifier:
    """A network with random weights, the same in every call, in evaluation mode."""
    torch.manual_seed(0)
    model = build_classifier(
        params or tiny_params().model,
        backbone or backbone_spec(),
        classes=len(CLASSES),
        input_size=input_size,
        mean=(120.0, 110.0, 100.0),
        std=(60.0, 61.0, 62.0),
    )
    return model.eval()


def tiny_batches(dataset: Dataset, params: TrainParams) -> ImageBatches:
    input_size = dataset.preprocessing.stored_size
    return ImageBatches(
        dataset,
        params.augment,
        input_size=input_size,
        sampler=EpochSampler(params.seed, params.batch_size, params.sampling),
        device=torch.device("cpu"),
        side=lambda epoch: params.side(epoch, input_size),
        micro_batches=MicroBatches(
            0, params.grad_accumulation_steps, params.grad_accumulation_steps
        ),
    )


def tiny_state(network: nn.Module, params: TrainParams, run: str = "run") -> TrainState:
    """The state of a run before its first step, or where the last call with its name ended."""
    return start_state(
        network.train(),
        params.optimizer,
        ema_decay=params.ema_decay,
        grad_accumulation_steps=params.grad_accumulation_steps,
        checkpoints=CheckpointFolder(run),
        group=ProcessGroup(),
        device=torch.device("cpu"),
    )


def tiny_fit(
    network: nn.Module,
    batches: Batches,
    params: TrainParams,
    *,
    class_weights: Tensor | None = None,
    after_epoch: Callable[[list[dict[str, float]]], None] = lambda history: None,
    run: str = "run",
    checkpoint_minutes: float = 5.0,
) -> Progress:
    """Train, or go on where the last call with this name of a run ended."""
    state = tiny_state(network, params, run)
    fit(
        state,
        batches,
        Loss(class_weights, params.label_smoothing),
        params,
        device=torch.device("cpu"),
        checkpoint_minutes=checkpoint_minutes,
        after_epoch=lambda state: after_epoch(state.progress.history),
    )
    return state.progress


def weights_of(network: nn.Module) -> bytes:
    """All that the network's state holds, to compare two of them."""
    return save({name: tensor.contiguous() for name, tensor in network.state_dict().items()})


def tiny_bundle(
    folder: Path,
    *,
    backbone: BackboneSpec | None = None,
    stored_size: int = IMAGE_SIZE,
    input_size: int = IMAGE_SIZE,
    **model: Any,
) -> Classifier:
    """Save a bundle of `tiny_model` and what travels with it; `model` changes train.model."""
    params = tiny_params(model=model)
    backbone = backbone or backbone_spec()
    network = tiny_model(params.model, backbone=backbone, input_size=input_size)
    spec = BundleSpec(
        backbone=backbone,
        classes=CLASSES,
        stored_size=max(stored_size, input_size),
        resize="crop",
        white_level=65535,
        max_pixels=89_000_000,
        input_size=input_size,
        mean=(120.0, 110.0, 100.0),
        std=(60.0, 61.0, 62.0),
        temperature=1.0,
        params=params.model_dump(mode="json"),
    )
    save_bundle(network, spec, folder)
    write_rules(folder)
    return network


def write_rules(folder: Path, reject_below: float | None = None) -> None:
    """Write what the evaluation leaves beside the model in `folder`."""
    model = model_digest(folder)
    decision = Decision(reject_below=reject_below, model=model)
    write_json(folder / DECISION, decision.model_dump())
    save_outside(None, folder / OUTSIDE_FILE, model)
    policy = TtaPolicy(views=["identity"], merge="probabilities", model=model)
    write_json(folder / TTA_POLICY, policy.model_dump())


def write_project(
    folder: Path,
    train: dict[str, Any] | None = None,
    runtime: dict[str, Any] | None = None,
    **export: Any,
) -> Path:
    """A folder in which the train and export stages can run: params.yaml, split and backbone.

    train: the whole section. runtime, export: what differs from params.yaml and from tiny values.
    """
    write_split(folder / "data/split")
    write_backbone(backbone_params(), folder / "data/backbone")
    int8 = {
        "methods": ["minmax"],
        "calibration_images": 12,
        "max_accuracy_drop": 1.0,
        "min_speedup": None,
    }
    section = {
        "formats": ["onnx", "torch_export", "torchscript"],
        "batch_size": 5,
        "max_logit_difference": 0.001,
        "similar_images": 0,
        "int8": int8,
    }
    sections = {
        "train": train or tiny_section(),
        "export": _merged(section, export),
        "runtime": _SECTIONS["runtime"] | (runtime or {}),
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(sections), "utf-8")
    return folder


def contents(folder: Path, *, without: str = "") -> dict[str, bytes]:
    """Every file below `folder` by its path in it, but those of the name `without`."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != without)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
