"""What training begins with, made from section `train` and the data: model, loss, batches."""

import torch
from torch import nn

from classifier.core.errors import UserError
from classifier.core.random import stream_seed
from classifier.data.dataset import Dataset
from classifier.data.image_statistics import balanced_weights, channel_statistics
from classifier.models.devices import compute_dtype
from classifier.models.network import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Classifier,
    build_classifier,
    check_input_size,
    learn_from_images,
)
from classifier.processing.spec import BundleSpec
from classifier.training.batches import ImageBatches, Ordering, Parts
from classifier.training.distributed import Processes
from classifier.training.feature_batches import FeatureBatches, feature_batches
from classifier.training.params import TrainParams
from classifier.training.step import Loss


def describe(params: TrainParams, dataset: Dataset) -> BundleSpec:
    """What the bundle will say of the model; raises UserError where the crop is too large."""
    stored_size = dataset.preprocessing.stored_size
    input_size = params.input_size or stored_size
    if input_size > stored_size:
        raise UserError(
            f"train.input_size is {input_size}, larger than the stored images, split.stored_size "
            f"{stored_size}: lower the one or raise the other."
        )
    params.augment.check_fit(input_size)
    mean, std = IMAGENET_MEAN, IMAGENET_STD
    if params.model.normalize == "dataset":
        mean, std = channel_statistics(dataset.images, dataset.rows("train"))
    return BundleSpec(
        backbone=params.model.backbone,
        classes=dataset.classes,
        stored_size=stored_size,
        resize=dataset.preprocessing.resize,
        input_size=input_size,
        mean=mean,
        std=std,
        temperature=1.0,
        params=params.model_dump(mode="json"),
    )


def prepare_model(
    params: TrainParams, dataset: Dataset, spec: BundleSpec, device: torch.device
) -> Classifier:
    """The model that `spec` describes, before its first step, on the device.

    Raises UserError unless it takes every size of image that training shows it.
    """
    torch.manual_seed(stream_seed("initial weights", params.seed))
    model = build_classifier(
        params.model,
        classes=len(spec.classes),
        input_size=spec.input_size,
        mean=spec.mean,
        std=spec.std,
    ).to(device)
    _check_sizes(model, params, spec.input_size)
    learn_from_images(model, dataset.images, dataset.rows("train"))
    return model


def _check_sizes(model: Classifier, params: TrainParams, input_size: int) -> None:
    if model.backbone_is_frozen:
        return
    for side in {input_size, *(entry.side for entry in params.progressive_resizing)}:
        if side > input_size:
            raise UserError(
                f"train.progressive_resizing has a side of {side}, larger than the network's "
                f"input, {input_size} (train.input_size, or else split.stored_size): lower it."
            )
        check_input_size(model, params.model.backbone, side)


def prepare_loss(params: TrainParams, dataset: Dataset, device: torch.device) -> Loss:
    """The loss, with the classes weighed as `train.class_weights` asks."""
    weights = None
    if params.class_weights == "balanced":
        weights = torch.from_numpy(balanced_weights(dataset)).to(device)
    return Loss(weights, params.label_smoothing)


def prepare_learning(
    params: TrainParams,
    model: Classifier,
    dataset: Dataset,
    device: torch.device,
    processes: Processes,
) -> tuple[nn.Module, FeatureBatches | ImageBatches]:
    """What is trained, and on what: the head on features of a frozen backbone, or all of it."""
    if model.backbone_is_frozen:
        return model.head, head_batches(params, model, dataset, device)
    return model, _image_batches(params, dataset, device, processes)


def head_batches(
    params: TrainParams, model: Classifier, dataset: Dataset, device: torch.device
) -> FeatureBatches:
    """The features that the backbone, as it is, makes of the images."""
    return feature_batches(
        dataset,
        model,
        params.augment,
        views=params.feature_views,
        input_size=params.input_size or dataset.preprocessing.stored_size,
        dtype=compute_dtype(params.precision, device),
        ordering=Ordering(params.seed, params.batch_size, params.sampling),
    )


def _image_batches(
    params: TrainParams, dataset: Dataset, device: torch.device, processes: Processes
) -> ImageBatches:
    first, total = (
        processes.rank * params.grad_accumulation_steps,
        processes.count * params.grad_accumulation_steps,
    )
    input_size = params.input_size or dataset.preprocessing.stored_size
    batches = ImageBatches(
        dataset,
        params.augment,
        input_size=input_size,
        ordering=Ordering(params.seed, params.batch_size, params.sampling),
        device=device,
        side=lambda epoch: params.side(epoch, input_size),
        parts=Parts(first, params.grad_accumulation_steps, total),
    )
    smallest = min(len(rows) for rows in batches.training_order(1))
    if smallest // total < 2:
        raise UserError(
            f"A batch of {smallest} images in {total} micro-batches (train.grad_accumulation_steps "
            "times processes) leaves single images, of which batch norm cannot compute statistics: "
            "lower train.grad_accumulation_steps or the number of processes, or raise "
            "train.batch_size."
        )
    return batches
