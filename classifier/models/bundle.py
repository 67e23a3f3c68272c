"""The trained model as it travels: `model.safetensors` and `model.json`, no pickle.

The bundle holds everything that turns an image file into probabilities: weights, class names,
preprocessing, normalisation and temperature.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from classifier.core.errors import UserError, first_line
from classifier.core.files import write_bytes, write_json
from classifier.models.network import Classifier, ModelParams, build_classifier
from classifier.models.weights.stored_backbone import restore_weights
from classifier.processing.made_for import model_digest
from classifier.processing.spec import DESCRIPTION, WEIGHTS, BundleSpec
from classifier.processing.travelling import first_problem


@dataclass(frozen=True)
class Bundle:
    """A trained network, in evaluation mode, and its description.

    Attributes:
        model: the network.
        spec: the description.
        digest: `model_digest` of both files.
    """

    model: Classifier
    spec: BundleSpec
    digest: str


def save_bundle(
    model: Classifier, spec: BundleSpec, folder: Path, changed: dict[str, Tensor] | None = None
) -> None:
    """Write both files to `folder`; the same model gives the same bytes.

    changed: tensors that stand there by name in place of the model's.
    """
    tensors = model.state_dict() | (changed or {})
    # A module that a network has in two places has its tensors under two names, each of which is
    # asked for when they are read.
    state = {name: tensor.cpu().clone().contiguous() for name, tensor in tensors.items()}
    write_bytes(folder / WEIGHTS, save(state))
    write_json(folder / DESCRIPTION, spec.model_dump(mode="json"))


def load_bundle(folder: Path = Path("models"), device: torch.device | None = None) -> Bundle:
    """Read a bundle; raise UserError where a file is missing, cut, or of another model."""
    try:
        spec = BundleSpec.model_validate_json((folder / DESCRIPTION).read_bytes())
        params = ModelParams.model_validate(spec.params.get("model"))
        state = load_file(folder / WEIGHTS)
        digest = model_digest(folder)
    except FileNotFoundError as error:
        missing = error.filename or folder / WEIGHTS
        raise UserError(
            f"{missing} is missing: run the train stage, or fetch the model with `dvc pull`."
        ) from None
    except (ValidationError, SafetensorError) as error:
        reason = first_problem(error) if isinstance(error, ValidationError) else first_line(error)
        raise UserError(
            f"{folder} holds no readable model ({reason}): "
            "run the train stage again, or `dvc checkout`."
        ) from None
    model = build_classifier(
        params,
        spec.backbone,
        classes=len(spec.classes),
        input_size=spec.input_size,
        mean=spec.mean,
        std=spec.std,
    )
    try:
        restore_weights(model, state)
    except RuntimeError:
        raise UserError(
            f"{folder / WEIGHTS} and {folder / DESCRIPTION} describe different networks: "
            "run the train stage again, or `dvc checkout`."
        ) from None
    return Bundle(model.to(device or torch.device("cpu")).eval(), spec, digest)
