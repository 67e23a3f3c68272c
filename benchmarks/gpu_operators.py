"""Which backbones a GPU cannot fine-tune deterministically, found without a GPU.

    python benchmarks/gpu_operators.py

Runs one training step of the smallest model of each family on shapes alone, and prints the
operations for which PyTorch's documentation names no deterministic CUDA algorithm. Needs about
4 GiB of memory and ten minutes.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import timm
import torch
import torchvision
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from builders.gpu import Operations  # pyright: ignore[reportMissingImports] - of the tests

from classifier.models.backbones.torchvision_backbones import build_torchvision, torchvision_weights

# Parts of names, from those of the smallest models to those of larger ones.
SMALL = ["test_", "nano", "atto", "pico", "femto", "xxs", "xx_small", "xxtiny", "tiny", "xs", "_s0"]
SMALL += ["_t0", "_small", "_s", "18", "26", "lite0", "_b0", "b16"]


def main() -> None:
    argparse.ArgumentParser(description=__doc__, allow_abbrev=False).parse_args()
    torch.manual_seed(0)
    for name, network, size in chain(_of_torchvision(), _of_timm()):
        try:
            found = ", ".join(sorted(_operations(network, size))) or "none"
        except Exception as error:  # some need more than an image
            found = f"{type(error).__name__}: {str(error).splitlines()[0][:80]}"
        print(f"{name},{size},{found}", flush=True)


def _of_timm() -> Iterator[tuple[str, nn.Module, int]]:
    for name in smallest_of_timm():
        config = timm.models.get_pretrained_cfg(name)
        assert config is not None
        yield name, timm.create_model(name, num_classes=0), config.input_size[-1]


def _of_torchvision() -> Iterator[tuple[str, nn.Module, int]]:
    for name in smallest_of_torchvision():
        size = 299 if name == "inception_v3" else 224
        network, _ = build_torchvision(name, pretrained=False, input_size=size)
        yield name, network, size


def smallest_of_timm() -> list[str]:
    """Return the name of the smallest model of each family of timm, as far as names tell."""
    families = (timm.list_models(module=family) for family in timm.list_modules())
    return [min(names, key=_size) for names in families if names]


def smallest_of_torchvision() -> list[str]:
    """Return the smallest model of each family of torchvision, whose names begin with one word."""
    families: dict[str, list[tuple[int, str]]] = {}
    for name in torchvision.models.list_models(module=torchvision.models):
        family = re.match(r"[a-z]+", name)
        assert family is not None
        parameters = torchvision_weights(name, None).meta["num_params"]
        families.setdefault(family.group(), []).append((parameters, name))
    return [min(models)[1] for models in families.values()]


def _size(name: str) -> tuple[int, int, str]:
    place = next((i for i, part in enumerate(SMALL) if part in name), len(SMALL))
    return place, len(name), name


def _operations(network: nn.Module, size: int) -> set[str]:
    network.train()
    with FakeTensorMode(allow_non_fake_inputs=True), Operations() as operations:
        network(torch.zeros(2, 3, size, size)).float().sum().backward()
    return operations.nondeterministic


if __name__ == "__main__":
    main()
