"""Train the classifier on `data/split`; write the bundle to `models` and the run's story."""

import time
from pathlib import Path

import torch

from classifier.batches import PictureBatches
from classifier.bundle import BundleSpec, save_bundle
from classifier.charts import write_png
from classifier.config import load_section
from classifier.dataset import Dataset, load_dataset
from classifier.devices import choose_device, compute_dtype, device_name, make_deterministic
from classifier.errors import UserError, run_program
from classifier.features import feature_batches
from classifier.files import write_json
from classifier.models import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Classifier,
    build_classifier,
    check_input_size,
)
from classifier.resume import StateFolder, run_key
from classifier.runtime import write_timing
from classifier.statistics import balanced_weights, channel_statistics
from classifier.training import Batches, TrainParams, fit
from classifier.training_report import draw_augmentations, draw_curves, write_history

DATA, MODELS, RESULTS = Path("data/split"), Path("models"), Path("results/train")


def main() -> None:
    started = time.perf_counter()
    params = load_section("train", TrainParams)
    dataset = load_dataset(DATA)
    make_deterministic()
    device = choose_device()
    spec = describe(params, dataset)
    torch.manual_seed(params.seed)
    model = build_classifier(
        params.model,
        classes=len(spec.classes),
        crop=spec.crop,
        mean=spec.mean,
        std=spec.std,
    ).to(device)
    check_input_size(model, params.model.backbone, spec.crop)
    batches = build_batches(params, model, dataset, device)
    weights = balanced_weights(dataset) if params.class_weights == "balanced" else None
    states = StateFolder(run_key(spec.params, DATA, device))
    sheet = draw_augmentations(
        dataset.images[dataset.rows("train")[0]], params.augment, crop=spec.crop, seed=params.seed
    )
    write_png(sheet, RESULTS / "augmentations.png")
    progress = fit(
        model.head if model.backbone_is_frozen else model,
        batches,
        params,
        class_weights=None if weights is None else torch.from_numpy(weights).to(device),
        device=device,
        states=states,
        after_epoch=report_epoch,
    )
    save_bundle(model, spec, MODELS)
    write_png(draw_curves(progress.history, progress.best_epoch), RESULTS / "curves.png")
    sizes = [(weight.numel(), weight.requires_grad) for weight in model.parameters()]
    best = {name: round(value, 6) for name, value in progress.best.items()}
    metrics = {
        "val_accuracy": best["val_accuracy"],
        "val_loss": best["val_loss"],
        "train_accuracy": best["train_accuracy"],
        "train_loss": best["train_loss"],
        "best_epoch": progress.best_epoch,
        "epochs": len(progress.history),
        "parameters": sum(size for size, _ in sizes),
        "trainable_parameters": sum(size for size, trained in sizes if trained),
    }
    write_json(RESULTS / "metrics.json", metrics)
    write_timing("train", started, device=device_name(device))
    states.clear()


def describe(params: TrainParams, dataset: Dataset) -> BundleSpec:
    """What the bundle will say of the model; raises UserError where the crop is too large."""
    image_size = dataset.preprocessing.image_size
    crop = params.crop or image_size
    if crop > image_size:
        raise UserError(
            f"train.crop is {crop}, larger than the stored pictures, split.image_size "
            f"{image_size}: lower the one or raise the other."
        )
    params.augment.check_fit(crop)
    mean, std = IMAGENET_MEAN, IMAGENET_STD
    if params.model.normalize == "dataset":
        mean, std = channel_statistics(dataset.images, dataset.rows("train"))
    return BundleSpec(
        backbone=params.model.backbone,
        classes=dataset.classes,
        image_size=image_size,
        resize=dataset.preprocessing.resize,
        crop=crop,
        mean=mean,
        std=std,
        temperature=1.0,
        # How often a state is saved changes no result.
        params=params.model_dump(mode="json", exclude={"checkpoint_minutes"}),
    )


def build_batches(
    params: TrainParams, model: Classifier, dataset: Dataset, device: torch.device
) -> Batches:
    """Pictures to train the network on, or the features of a frozen backbone for its head."""
    crop = params.crop or dataset.preprocessing.image_size
    if not model.backbone_is_frozen:
        return PictureBatches(
            dataset,
            params.augment,
            crop=crop,
            seed=params.seed,
            batch_size=params.batch_size,
            device=device,
        )
    return feature_batches(
        dataset,
        model,
        params.augment,
        views=params.feature_views,
        crop=crop,
        dtype=compute_dtype(params.precision, device),
        seed=params.seed,
        batch_size=params.batch_size,
    )


def report_epoch(history: list[dict[str, float]]) -> None:
    """A line on the terminal and the history's file."""
    last = history[-1]
    print(
        f"epoch {last['epoch']:3.0f}  training loss {last['train_loss']:.4f}, "
        f"accuracy {last['train_accuracy']:.4f}  validation loss {last['val_loss']:.4f}, "
        f"accuracy {last['val_accuracy']:.4f}",
        flush=True,
    )
    write_history(history, RESULTS / "history.csv")


if __name__ == "__main__":
    run_program(main)
