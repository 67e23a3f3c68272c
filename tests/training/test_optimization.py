import subprocess
import sys
from typing import Any

import pytest
import torch
from builders.backbones import backbone_spec
from builders.tiny import tiny_model, tiny_params
from torch import nn

from classifier.training.muon import Muon
from classifier.training.optimization import OptimizerParams, build_optimizers, trained_layers

NAMES = ["sgd", "adam", "adamw", "muon"]


def optimizer_params(**changes: Any) -> OptimizerParams:
    return tiny_params(optimizer=changes).optimizer


class Backbone(nn.Module):
    """A layer that stands still, a sequence, a batch norm, and a weight outside of all of them."""

    def __init__(self) -> None:
        super().__init__()
        self.fixed = nn.Linear(2, 3).requires_grad_(False)
        self.blocks = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Conv2d(3, 3, 2))
        self.norm = nn.BatchNorm1d(3)


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.head = Backbone(), nn.Sequential(nn.Dropout(), nn.Linear(3, 2))
        for parameter in self.parameters():
            nn.init.ones_(parameter)


def peaks(model: nn.Module, **changes: Any) -> dict[str, float]:
    """The peak of each weight that an optimiser moves, by its name."""
    names = {id(weight): name for name, weight in model.named_parameters()}
    return {
        names[id(weight)]: group["initial_lr"]
        for optimizer in build_optimizers(optimizer_params(**changes), model)
        for group in optimizer.param_groups
        for weight in group["params"]
    }


def moved(model: nn.Module, optimizers: list[torch.optim.Optimizer]) -> set[str]:
    """The names of the weights that change in a step at the peaks with all gradients zero."""
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    for weight in model.parameters():
        weight.grad = torch.zeros_like(weight)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        optimizer.step()
    return {name for name, weight in model.named_parameters() if (weight != before[name]).any()}


@pytest.mark.parametrize("name", NAMES)
def test_decay_pulls_at_weights_and_not_at_biases_and_batch_norm(name: str) -> None:
    model = Network()
    optimizers = build_optimizers(optimizer_params(name=name, weight_decay=0.5), model)
    pulled = moved(model, optimizers)
    assert pulled == {"backbone.blocks.0.weight", "backbone.blocks.2.weight", "head.1.weight"}
    assert all((weight < 1).all() for key, weight in model.named_parameters() if key in pulled)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("backbone", ["compact", "airbench"])
def test_every_weight_that_is_not_frozen_is_in_one_optimiser_once(name: str, backbone: str) -> None:
    model = tiny_model(backbone=backbone_spec(backbone), input_size=16)
    optimised = [
        id(weight)
        for optimizer in build_optimizers(optimizer_params(name=name, layer_decay=0.5), model)
        for group in optimizer.param_groups
        for weight in group["params"]
    ]
    trained = [id(weight) for weight in model.parameters() if weight.requires_grad]
    assert sorted(optimised) == sorted(trained)


def test_weight_of_the_backbone_outside_its_layers_is_the_first_layer() -> None:
    # As the class token of a vision transformer is.
    model = Network()
    model.backbone.token = nn.Parameter(torch.ones(1, 1, 3))
    assert trained_layers(model)[0][0] == "backbone"
    rates = peaks(model, lr=0.1, layer_decay=0.5)
    assert rates["backbone.token"] == pytest.approx(0.1 * 0.5**3)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("hidden", [None, 3])
def test_head_alone_is_optimised_as_well(name: str, hidden: int | None) -> None:
    head = {"hidden": hidden, "dropout": 0.0}
    model = tiny_model(tiny_params(model={"head": head}).model).head
    assert set(peaks(model, name=name)) == {key for key, _ in model.named_parameters()}


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("sgd", [torch.optim.SGD]),
        ("adam", [torch.optim.Adam]),
        ("adamw", [torch.optim.AdamW]),
        ("muon", [Muon, torch.optim.AdamW]),
    ],
)
def test_names_give_the_optimisers(name: str, kinds: list[type]) -> None:
    optimizers = build_optimizers(optimizer_params(name=name), Network())
    assert len(optimizers) == len(kinds)
    assert all(map(isinstance, optimizers, kinds))


@pytest.mark.parametrize(
    ("name", "expected"),
    # Of sgd, decay is a gradient, and Nesterov's form adds nine tenths; of adam, a gradient of any
    # size; adamw and muon take the weights' share itself.
    [("sgd", 1 - 0.1 * 0.5 * 1.9), ("adam", 1 - 0.1), ("adamw", 1 - 0.05), ("muon", 1 - 0.05)],
)
def test_decay_is_decoupled_in_adamw_and_muon_alone(name: str, expected: float) -> None:
    model = Network()
    params = optimizer_params(name=name, lr=0.1, aux_lr=0.1, momentum=0.9, weight_decay=0.5)
    moved(model, build_optimizers(params, model))
    weights = dict(model.named_parameters())
    for key in ("backbone.blocks.0.weight", "head.1.weight"):
        assert weights[key].detach().numpy() == pytest.approx(expected)


def test_muon_takes_the_hidden_matrices_at_lr_and_adam_all_others_at_aux_lr() -> None:
    model = tiny_model()
    names = {id(weight): name for name, weight in model.named_parameters()}
    of_muon, of_adam = (
        {names[id(weight)] for group in optimizer.param_groups for weight in group["params"]}
        for optimizer in build_optimizers(optimizer_params(name="muon"), model)
    )
    convolutions = {
        f"backbone.{name}.weight"
        for name, layer in model.backbone.named_modules()
        if isinstance(layer, nn.Conv2d)
    }
    assert len(convolutions) == 6
    assert of_muon == convolutions
    assert of_adam == {*names.values()} - convolutions
    rates = peaks(model, name="muon", lr=0.3, aux_lr=0.02)
    assert rates == pytest.approx({n: 0.3 if n in convolutions else 0.02 for n in names.values()})


def test_sgd_takes_nesterovs_step() -> None:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(layer.weight)
    params = optimizer_params(name="sgd", lr=1.0, momentum=0.5, weight_decay=0.0)
    (optimizer,) = build_optimizers(params, layer)
    layer.weight.grad = torch.ones_like(layer.weight)
    optimizer.step()
    # Plain momentum would take the gradient, 1; Nesterov's form adds half of it.
    assert layer.weight.item() == pytest.approx(-1.5)


def test_trained_layers_go_from_the_images_to_the_head_without_frozen_ones() -> None:
    model = Network()
    layers = {name: {id(weight) for weight in weights} for name, weights in trained_layers(model)}
    assert list(layers) == ["backbone.blocks.0", "backbone.blocks.2", "head"]
    # The norm belongs to the layer before it.
    for name, parts in (
        ("backbone.blocks.0", ["backbone.blocks.0"]),
        ("backbone.blocks.2", ["backbone.blocks.2", "backbone.norm"]),
        ("head", ["head"]),
    ):
        own = [id(weight) for part in parts for weight in model.get_submodule(part).parameters()]
        assert layers[name] == set(own)


def test_every_block_of_a_transformer_is_a_layer() -> None:
    model = Network()
    model.backbone.encoder = nn.Module()
    blocks = [nn.Sequential(nn.Linear(3, 3)), nn.Sequential(nn.Linear(3, 3))]
    model.backbone.encoder.layers = nn.Sequential(*blocks)
    names = [name for name, _ in trained_layers(model)]
    assert [name for name in names if "encoder" in name] == [
        "backbone.encoder.layers.0.0",
        "backbone.encoder.layers.1.0",
    ]


def test_blocks_of_timm_are_layers_where_its_group_matcher_says_so() -> None:
    backbone = backbone_spec("timm/test_convnext")
    names = [name for name, _ in trained_layers(tiny_model(backbone=backbone, input_size=32))]
    assert names[0] == "backbone.stem.0"
    assert names[-2:] == ["backbone.stages.3.blocks.1", "head"]


@pytest.mark.parametrize("name", NAMES)
def test_layer_decay_lowers_the_peak_with_every_layer_before_the_head(name: str) -> None:
    rates = peaks(Network(), name=name, lr=0.1, aux_lr=0.1, layer_decay=0.5)
    distances = {"head.1": 0, "backbone.norm": 1, "backbone.blocks.2": 1, "backbone.blocks.0": 2}
    expected = {
        f"{layer}.{kind}": 0.1 * 0.5**distance
        for layer, distance in distances.items()
        for kind in ("weight", "bias")
    }
    assert rates == pytest.approx(expected)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_without_layer_decay_all_peaks_are_the_same(name: str) -> None:
    assert set(peaks(tiny_model(), name=name, lr=0.1, layer_decay=1.0).values()) == {0.1}


def test_optimisers_do_not_load_the_compiler() -> None:
    program = f"""
import sys
import torch
from torch import nn
from classifier.training.optimization import OptimizerParams, build_optimizers

for name in {NAMES}:
    network = nn.ModuleDict({{"backbone": nn.Sequential(nn.Linear(2, 2)), "head": nn.Linear(2, 2)}})
    params = {optimizer_params().model_dump()} | {{"name": name}}
    for optimizer in build_optimizers(OptimizerParams(**params), network):
        optimizer.zero_grad()
        for weight in network.parameters():
            weight.grad = torch.ones_like(weight)
        optimizer.step()
        optimizer.load_state_dict(optimizer.state_dict())
sys.exit("torch._dynamo" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
