"""Section `backbone` of params.yaml: which network, and with which pretrained weights."""

import re
from typing import Literal, Self

from pydantic import field_validator, model_validator

from classifier.core.addresses import check_without_password
from classifier.core.config import Params

# The project's own networks, which need neither torchvision nor timm, and the width of their
# features.
OWN_FEATURES = {"compact": 128, "airbench": 256}
TIMM = "timm/"
TORCHVISION_WEIGHTS, TIMM_WEIGHTS, PACKAGE_WEIGHTS = "torchvision:", "timm:default", "package:"
_SHA256 = re.compile(r"sha256:[0-9a-f]{64}")

WeightsKind = Literal["torchvision", "timm", "package", "file"]


class BackboneParams(Params):
    """Section `backbone`.

    Attributes:
        name: A network of this project or of torchvision, or `timm/` and a model of timm.
        weights: Where pretrained weights come from; None for random ones.
        checksum: `sha256:…` of the file of weights, as it comes.
    """

    name: str
    weights: str | None
    checksum: str | None

    @property
    def kind(self) -> WeightsKind | None:
        """Where the weights come from; None for random weights."""
        if self.weights is None:
            return None
        if self.weights.startswith(TORCHVISION_WEIGHTS):
            return "torchvision"
        if self.weights.partition("@")[0] == TIMM_WEIGHTS:
            return "timm"
        return "package" if self.weights.startswith(PACKAGE_WEIGHTS) else "file"

    @field_validator("name")
    @classmethod
    def _name_of_today(cls, name: str) -> str:
        if name == "whitened":
            raise ValueError("backbone.name: whitened is now airbench.")
        return name

    @field_validator("weights")
    @classmethod
    def _weights_of_today(cls, weights: str | None) -> str | None:
        if weights is not None and re.fullmatch(r"[A-Z0-9_]+", weights):
            raise ValueError(f"backbone.weights: {weights} is now torchvision:{weights}.")
        if weights is not None and weights.startswith("~"):
            raise ValueError("backbone.weights starts with ~: write the whole path.")
        return weights

    @field_validator("checksum")
    @classmethod
    def _known_checksum(cls, checksum: str | None) -> str | None:
        if checksum is not None and not _SHA256.fullmatch(checksum):
            raise ValueError(
                f"{checksum!r} is no checksum; write sha256: and 64 digits (0-9, a-f)."
            )
        return checksum

    @model_validator(mode="after")
    def _parts_fit_together(self) -> Self:
        check_without_password(self.weights, "backbone.weights")
        if self.name in OWN_FEATURES and self.weights is not None:
            raise ValueError(
                f"backbone.name: {self.name} has no pretrained weights; set backbone.weights: null."
            )
        if self.weights is None and self.checksum is not None:
            raise ValueError(
                "backbone.checksum is that of a file of weights, but backbone.weights is null; "
                "set backbone.checksum: null."
            )
        if self.kind == "torchvision" and self.name.startswith(TIMM):
            raise ValueError(
                f"backbone.weights: {self.weights} are for torchvision's networks, and "
                f"backbone.name is {self.name}; set backbone.weights: {TIMM_WEIGHTS}."
            )
        if self.kind == "timm" and not self.name.startswith(TIMM):
            raise ValueError(
                f"backbone.weights: {self.weights} are for timm's networks; "
                f"set backbone.name: {TIMM}{self.name}, if timm has that name."
            )
        if self.kind == "file" and self.checksum is None:
            raise ValueError(
                f"backbone.weights: {self.weights} needs backbone.checksum, so that no other file "
                "is taken for it: take it from the publisher, or run `sha256sum FILE` and write "
                "sha256: and the digits."
            )
        return self
