"""Write data/backbone: pretrained weights as safetensors, and where they come from.

The stage `backbone` is the only one that may need the network; training and evaluation read what it
wrote.
"""

from pathlib import Path

from classifier.core.files import sha256_of, write_bytes, write_json
from classifier.models.backbones.backbone_description import (
    BUFFERS,
    DESCRIPTION,
    HEAD,
    WEIGHTS,
    describe_backbone,
)
from classifier.models.backbones.backbone_params import OWN_FEATURES, TIMM, BackboneParams
from classifier.models.weights.weight_sources import find_weights
from classifier.processing.spec import BackboneSpec

# Where a network takes images of any size, the one that it is built for makes no difference.
_ANY_SIZE = 224


def write_backbone(params: BackboneParams, folder: Path) -> list[str]:
    """Write the description, and the weights where there are any; return lines about them.

    The same source gives the same bytes. The last layer, which knows other classes, has a file of
    its own: the outside score uses it (`metrics.kl_matching`).

    Raises:
        UserError: The backbone is unknown, or its weights cannot be had or are of another network.
    """
    described = describe_backbone(params)
    if params.weights is None:
        for name in (WEIGHTS, HEAD):
            (folder / name).unlink(missing_ok=True)
        spec = described.model_copy(update={"features": _features(params, described)})
        lines = [f"{params.name} with random weights"]
    else:
        spec, lines = _write_weights(params, described, folder)
    write_json(folder / DESCRIPTION, spec.model_dump(mode="json"))
    return lines


def _features(params: BackboneParams, described: BackboneSpec) -> int:
    if params.name in OWN_FEATURES:
        return OWN_FEATURES[params.name]
    import torch  # noqa: PLC0415 (slow to import)

    from classifier.models.backbones.architectures import build_architecture  # noqa: PLC0415

    # RegNet's initialisation is the only one that needs real tensors.
    with torch.device("cpu" if params.name.startswith("regnet_") else "meta"):
        size = described.input_size or _ANY_SIZE
        return build_architecture(params.name, pretrained=False, input_size=size)[1]


def _write_weights(
    params: BackboneParams, described: BackboneSpec, folder: Path
) -> tuple[BackboneSpec, list[str]]:
    from safetensors.torch import save  # noqa: PLC0415 (imports PyTorch)

    from classifier.models.backbones.architectures import build_architecture  # noqa: PLC0415
    from classifier.models.weights.stored_backbone import save_head  # noqa: PLC0415
    from classifier.models.weights.weight_files import (  # noqa: PLC0415
        last_layer,
        match_tensors,
        read_tensors,
    )

    found = find_weights(params)
    size = described.input_size or _ANY_SIZE
    network, features = build_architecture(params.name, pretrained=True, input_size=size)
    matched = match_tensors(read_tensors(found.path), network.state_dict())
    parameters = {name for name, _ in network.named_parameters()}
    buffers = sorted(matched.tensors.keys() - parameters)
    tensors = {name: tensor.contiguous() for name, tensor in matched.tensors.items()}
    write_bytes(folder / WEIGHTS, save(tensors, metadata={BUFFERS: " ".join(buffers)}))
    head = None if _gives_no_classes(params.name) else last_layer(matched.left_out, features)
    save_head(head, folder)
    known = "no last layer that the outside score can use"
    if head is not None:
        known = f"a last layer for {len(head.bias)} classes, for the outside score"
    changes = {
        "origin": found.origin,
        "source_sha256": sha256_of(found.path),
        "sha256": sha256_of(folder / WEIGHTS),
        "features": features,
        # What is known of torchvision's and timm's own weights does not hold for other files.
        "licence": described.licence if params.kind in ("torchvision", "timm") else found.licence,
    }
    spec = described.model_copy(update=changes)
    lines = [
        f"{params.name} with weights of {found.origin}, licence {spec.licence or 'unknown'}",
        f"{matched.how}; {known}",
    ]
    return spec, lines


def _gives_no_classes(name: str) -> bool:
    """Return whether the last layer of this network does not give the logits of classes."""
    if not name.startswith(TIMM):
        return name.startswith("squeezenet")  # averages its last layer after a ReLU
    from classifier.models.backbones.timm_backbones import projects_onto_texts  # noqa: PLC0415

    return projects_onto_texts(name.removeprefix(TIMM))
