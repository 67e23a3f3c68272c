"""What training begins with, made from section `train` and the data: model, loss, batches."""

import torch
from torch import nn

from classifier.core.errors import UserError
from classifier.data.dataset import Dataset
from classifier.data.image_statistics import balanced_weights, channel_statistics
from classifier.models.devices import compute_dtype
from classifier.models.features import FeatureBatches, feature_batches
from classifier.models.network import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Classifier,
    build_classifier,
    check_input_size,
    learn_from_pictures,
)
from classifier.processing.spec import BundleSpec
from classifier.training.batches import Ordering, Parts, PictureBatches
from classifier.training.distributed import Processes
from classifier.training.params import WITHOUT_EFFECT, TrainParams
from classifier.training.step import Loss


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
        # The number of processes is that of the machine.
        params=params.model_dump(mode="json", exclude={*WITHOUT_EFFECT, "processes"}),
    )


def prepare_model(
    params: TrainParams, dataset: Dataset, spec: BundleSpec, device: torch.device
) -> Classifier:
    """The model that `spec` describes, before its first step, on the device.

    Raises UserError unless it takes every size of picture that training shows it.
    """
    torch.manual_seed(params.seed)
    model = build_classifier(
        params.model,
        classes=len(spec.classes),
        crop=spec.crop,
        mean=spec.mean,
        std=spec.std,
    ).to(device)
    _check_sizes(model, params, spec.crop)
    learn_from_pictures(model, dataset.images, dataset.rows("train"))
    return model


def _check_sizes(model: Classifier, params: TrainParams, crop: int) -> None:
    if model.backbone_is_frozen:
        return
    for side in {crop, *(entry.side for entry in params.progressive)}:
        if side > crop:
            raise UserError(
                f"train.progressive has a side of {side}, larger than the crop, {crop} "
                "(train.crop, or else split.image_size): lower it."
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
) -> tuple[nn.Module, FeatureBatches | PictureBatches]:
    """What is trained, and on what: the head on features of a frozen backbone, or all of it."""
    if model.backbone_is_frozen:
        return model.head, head_batches(params, model, dataset, device)
    return model, _picture_batches(params, dataset, device, processes)


def head_batches(
    params: TrainParams, model: Classifier, dataset: Dataset, device: torch.device
) -> FeatureBatches:
    """The features that the backbone, as it is, makes of the pictures."""
    return feature_batches(
        dataset,
        model,
        params.augment,
        views=params.feature_views,
        crop=params.crop or dataset.preprocessing.image_size,
        dtype=compute_dtype(params.precision, device),
        ordering=Ordering(params.seed, params.batch_size, params.sampling),
    )


def _picture_batches(
    params: TrainParams, dataset: Dataset, device: torch.device, processes: Processes
) -> PictureBatches:
    first, total = processes.rank * params.accumulation, processes.count * params.accumulation
    crop = params.crop or dataset.preprocessing.image_size
    batches = PictureBatches(
        dataset,
        params.augment,
        crop=crop,
        ordering=Ordering(params.seed, params.batch_size, params.sampling),
        device=device,
        side=lambda epoch: params.side(epoch, crop),
        parts=Parts(first, params.accumulation, total),
    )
    smallest = min(len(rows) for rows in batches.training_order(1))
    if smallest // total < 2:
        raise UserError(
            f"A batch of {smallest} pictures in {total} parts (train.accumulation times processes) "
            "leaves single pictures, of which batch norm can take no mean: lower "
            "train.accumulation or the number of processes, or raise train.batch_size."
        )
    return batches
