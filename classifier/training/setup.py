"""Build what training begins with, from section `train` and the data: model, loss, batches."""

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from classifier.core.errors import UserError
from classifier.core.random import stream_seed
from classifier.data.dataset import Dataset
from classifier.data.image_statistics import balanced_weights, channel_statistics
from classifier.models.devices import compute_dtype
from classifier.models.network import (
    Classifier,
    build_classifier,
    check_freeze,
    check_input_size,
    learn_from_images,
)
from classifier.models.weights.stored_backbone import StoredWeights, read_backbone
from classifier.processing.images import center_window
from classifier.processing.spec import BackboneSpec, BundleSpec
from classifier.training.batches import EpochSampler, ImageBatches, MicroBatches
from classifier.training.curriculum import LOSSES, Curriculum, read_curriculum
from classifier.training.distributed import ProcessGroup
from classifier.training.feature_batches import FeatureBatches, feature_batches
from classifier.training.params import TrainParams
from classifier.training.step import Loss

BACKBONE = Path("data/backbone")
# Training images whose features are looked at before training, and the smallest relative
# difference between them that counts as one.
_CHECKED_IMAGES, _SMALLEST_SPREAD = 32, 1e-6


@dataclass(frozen=True)
class Setup:
    """What a training run begins with.

    spec: description of the model. model: before its first step, on the device. curriculum: which
    images take part in an epoch; None: all.
    """

    dataset: Dataset
    spec: BundleSpec
    model: Classifier
    loss: Loss
    device: torch.device
    group: ProcessGroup
    curriculum: Curriculum | None = None


def prepare(
    params: TrainParams,
    dataset: Dataset,
    device: torch.device,
    group: ProcessGroup | None = None,
) -> Setup:
    """Build model and loss, from what the backbone stage has left in data/backbone.

    Raises:
        UserError: The backbone is not there or does not fit `params`, the sizes of images do not
            fit the network or each other, the network gives the same features for all images, or
            the losses that a curriculum needs are missing.
    """
    backbone, weights_of_backbone = read_backbone(BACKBONE)
    params.check_backbone(backbone)
    spec = describe_model(params, dataset, backbone)
    curriculum = read_curriculum(params.curriculum, dataset, LOSSES)
    model = _build_model(params, dataset, spec, device, weights_of_backbone)
    if not model.backbone_is_frozen:
        features = _features_in_training(model, dataset, spec.input_size)
        check_features(features, spec, params, dataset)
    weights = None
    if params.class_weights == "balanced":
        weights = torch.from_numpy(balanced_weights(dataset)).to(device)
    loss = Loss(weights, params.label_smoothing)
    return Setup(dataset, spec, model, loss, device, group or ProcessGroup(), curriculum)


def describe_model(params: TrainParams, dataset: Dataset, backbone: BackboneSpec) -> BundleSpec:
    """Return the description of the model; raise UserError where the input size is too large."""
    stored_size = dataset.preprocessing.stored_size
    input_size = params.input_size or stored_size
    if input_size > stored_size:
        raise UserError(
            f"train.input_size is {input_size}, larger than the stored images, split.stored_size "
            f"{stored_size}: lower the one or raise the other."
        )
    params.augment.check_fit(input_size)
    mean, std = backbone.mean, backbone.std
    if params.model.normalize == "dataset":
        mean, std = channel_statistics(dataset.images, dataset.rows("train"))
    return BundleSpec(
        backbone=backbone,
        classes=dataset.classes,
        stored_size=stored_size,
        resize=dataset.preprocessing.resize,
        white_level=dataset.preprocessing.white_level,
        max_pixels=dataset.preprocessing.max_pixels,
        input_size=input_size,
        mean=mean,
        std=std,
        temperature=1.0,
        params=params.model_dump(mode="json"),
        dataset=dataset.digest,
    )


def _build_model(
    params: TrainParams,
    dataset: Dataset,
    spec: BundleSpec,
    device: torch.device,
    weights: StoredWeights | None,
) -> Classifier:
    torch.manual_seed(stream_seed("initial weights", params.seed))
    model = build_classifier(
        params.model,
        spec.backbone,
        classes=len(spec.classes),
        input_size=spec.input_size,
        mean=spec.mean,
        std=spec.std,
        weights=weights,
    ).to(device)
    check_freeze(model, params.model)
    _check_sizes(model, params, spec)
    learn_from_images(model, dataset.images, dataset.rows("train"))
    return model


def _check_sizes(model: Classifier, params: TrainParams, spec: BundleSpec) -> None:
    input_size = spec.input_size
    if model.backbone_is_frozen:
        return
    for side in {input_size, *(entry.side for entry in params.progressive_resizing)}:
        if side > input_size:
            raise UserError(
                f"train.progressive_resizing has a side of {side}, larger than the network's "
                f"input, {input_size} (train.input_size, or else split.stored_size): lower it."
            )
        check_input_size(model, spec.backbone.name, side)


def _features_in_training(model: Classifier, dataset: Dataset, input_size: int) -> Tensor:
    """Return the features of some training images as the first step computes them."""
    rows = dataset.rows("train")
    rows = rows[:: -(-len(rows) // _CHECKED_IMAGES)]
    window = center_window(dataset.images.shape[1], input_size)
    images = np.ascontiguousarray(dataset.images[rows][:, window, window])
    # A copy, since batch norm learns from what it sees; dropout must not take draws of others.
    network = deepcopy(model).train()
    with torch.no_grad(), torch.random.fork_rng():
        return network.features(torch.from_numpy(images).to(model.mean.device))


def check_features(
    features: Tensor, spec: BundleSpec, params: TrainParams, dataset: Dataset
) -> None:
    """Check that training images have finite features that differ.

    features: `(n, features)`, of some or all training images.

    Raises:
        UserError: They do not; the sentence names what may help with these `params`.
    """
    name, size = spec.backbone.name, f"images of {spec.input_size}x{spec.input_size}"
    if not features.isfinite().all():
        precision = "" if params.precision == "fp32" else "set train.precision: fp32, or "
        raise UserError(
            f"backbone.name: {name} gives features that are not finite for {size}: {precision}"
            "choose another backbone."
        )
    spread = features.amax(dim=0) - features.amin(dim=0)
    if len(features) < 2 or spread.max() > _SMALLEST_SPREAD * features.abs().max():
        return
    rows = dataset.rows("train")
    if all(np.array_equal(dataset.images[row], dataset.images[rows[0]]) for row in rows):
        raise UserError(
            f"all {len(rows):,} training images are identical, from which nothing can be learned: "
            "correct download.url, or raise split.stored_size."
        )
    input_size = "" if params.input_size is None else " and train.input_size"
    freeze = "" if params.model.freeze == "none" else "set train.model.freeze: none, "
    raise UserError(
        f"backbone.name: {name} gives the same features for all {size}, from which nothing can be "
        f"learned: raise split.stored_size{input_size}, {freeze}or choose another backbone."
    )


def learner(setup: Setup, params: TrainParams) -> tuple[nn.Module, FeatureBatches | ImageBatches]:
    """Return what is trained, and its batches: the head on features of a frozen backbone, or all.

    Raises:
        UserError: A micro-batch would have a single image, or all features are the same.
    """
    if setup.model.backbone_is_frozen:
        return setup.model.head, head_batches(setup, params)
    return setup.model, _image_batches(setup, params)


def head_batches(setup: Setup, params: TrainParams) -> FeatureBatches:
    """Return the features of the images, for training of the head alone."""
    batches = feature_batches(
        setup.dataset,
        setup.model,
        params.augment,
        views=params.feature_views,
        input_size=setup.spec.input_size,
        dtype=compute_dtype(params.precision, setup.device),
        sampler=_sampler(setup, params),
    )
    check_features(batches.centre_features, setup.spec, params, setup.dataset)
    return batches


def _sampler(setup: Setup, params: TrainParams) -> EpochSampler:
    return EpochSampler(params.seed, params.batch_size, params.sampling, setup.curriculum)


def _image_batches(setup: Setup, params: TrainParams) -> ImageBatches:
    steps, group = params.grad_accumulation_steps, setup.group
    total = group.world_size * steps
    input_size = setup.spec.input_size
    batches = ImageBatches(
        setup.dataset,
        params.augment,
        input_size=input_size,
        sampler=_sampler(setup, params),
        device=setup.device,
        side=lambda epoch: params.side(epoch, input_size),
        micro_batches=MicroBatches(group.rank * steps, steps, total),
    )
    # With a curriculum, epochs have batches of other sizes until all images take part.
    last = 1 if setup.curriculum is None else min(params.epochs, setup.curriculum.epochs + 1)
    orders = (batches.training_order(epoch) for epoch in range(1, last + 1))
    smallest = min(len(rows) for order in orders for rows in order)
    if smallest // total < 2:
        raise UserError(
            f"A batch of {smallest} images in {total} micro-batches (train.grad_accumulation_steps "
            "times processes) leaves single images, of which batch norm cannot compute statistics: "
            "lower train.grad_accumulation_steps or the number of processes, or raise "
            "train.batch_size."
        )
    return batches
