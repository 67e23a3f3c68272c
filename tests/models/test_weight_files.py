"""Tensors of files with pretrained weights, and how they are matched with a network's."""

import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from builders.backbones import SMALL
from safetensors.torch import save_file
from torch import Tensor, nn

from classifier.core.errors import UserError
from classifier.models.backbones.torchvision_backbones import build_torchvision
from classifier.models.weights.weight_files import last_layer, match_tensors, read_tensors

LAST_LAYER = {"fc.weight": torch.rand(9, 4), "fc.bias": torch.rand(9)}


def network() -> nn.Sequential:
    """A backbone, whose last layer is left out."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
    )


def other_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same without counters and under other names, with a last layer of another number."""
    renamed = {
        f"old_{name}": tensor for name, tensor in tensors.items() if "num_batches" not in name
    }
    return renamed | {"fc.weight": torch.ones(9, 4), "fc.bias": torch.ones(9)}


@pytest.mark.parametrize("nested", [None, "state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_pth_file_is_read_however_training_programs_nest_it(
    tmp_path: Path, nested: str | None, prefix: str
) -> None:
    tensors = {f"{prefix}weight": torch.arange(3.0)}
    content: Any = {nested: tensors, "epoch": 3} if nested else tensors
    torch.save(content, tmp_path / "weights.pth")
    read = read_tensors(tmp_path / "weights.pth")
    assert list(read) == ["weight"]
    assert torch.equal(read["weight"], torch.arange(3.0))


def test_safetensors_are_known_by_their_content(tmp_path: Path) -> None:
    save_file({"weight": torch.ones(2)}, tmp_path / "sha256-of-a-download")
    assert torch.equal(read_tensors(tmp_path / "sha256-of-a-download")["weight"], torch.ones(2))


@pytest.mark.filterwarnings("error")
def test_advice_of_pytorch_to_run_what_a_file_says_is_not_passed_on(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "network.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps({"weight": torch.zeros(2)}))
    for name in ("network.pth", "plain.pth"):
        with pytest.raises(UserError, match=r"\(it holds other things than tensors, which are not"):
            read_tensors(tmp_path / name)


@pytest.mark.parametrize(
    "content",
    [[1], {"epoch": 3}, nn.Linear(2, 2), b"", b"damaged", b"hello, I am text", b"<html>\n403"],
)
def test_file_of_other_things_than_tensors_is_refused(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    with pytest.raises(UserError, match=r"weights\.pth (cannot be read|holds no tensors)"):
        read_tensors(path)


def test_file_that_is_cut_short_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"weight": torch.ones(3)}, path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"weights\.pth cannot be read"):
            read_tensors(path)


@pytest.mark.parametrize(
    "change",
    [
        Tensor.to_sparse,
        lambda tensor: torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8),
        lambda tensor: tensor.to("meta"),
        lambda tensor: tensor.to(torch.complex64),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_tensor_of_no_plain_numbers_is_refused(
    tmp_path: Path, change: Callable[[Tensor], Tensor]
) -> None:
    bias = torch.ones(3)
    torch.save({"bias": bias, "weight": change(bias)}, tmp_path / "weights.pth")
    with pytest.raises(UserError, match="the tensor weight is sparse, quantised"):
        read_tensors(tmp_path / "weights.pth")


def test_tensors_that_want_gradients_are_read_without(tmp_path: Path) -> None:
    torch.save(dict(network().named_parameters()), tmp_path / "weights.pth")
    read = read_tensors(tmp_path / "weights.pth")
    assert read
    assert not any(tensor.requires_grad for tensor in read.values())


@pytest.mark.parametrize("rename", [dict, other_names])
def test_whole_numbers_are_no_weights(
    rename: Callable[[dict[str, Tensor]], dict[str, Tensor]],
) -> None:
    wanted = network().state_dict()
    source = rename(wanted | {"2.weight": torch.ones(4, 4, 1, 1, dtype=torch.int8)})
    with pytest.raises(UserError, match=r"2\.weight holds int8 .* and float32"):
        match_tensors(source, wanted)


def test_tensors_are_matched_by_their_names_and_the_last_layer_is_left_out() -> None:
    wanted = network().state_dict()
    source = {name: tensor + 1 for name, tensor in reversed(wanted.items())}
    matched = match_tensors(source | {"fc.weight": torch.ones(9, 4)}, wanted)
    assert matched.tensors.keys() == wanted.keys()
    assert all(torch.equal(matched.tensors[name], wanted[name] + 1) for name in wanted)
    assert matched.how == "12 tensors by their names, 1 left out"


def test_tensors_of_other_names_are_matched_by_their_order_which_is_said() -> None:
    wanted = network().state_dict()
    matched = match_tensors(
        other_names({name: value + 1 for name, value in wanted.items()}), wanted
    )
    for name, value in wanted.items():
        expected = value if name.endswith("num_batches_tracked") else value + 1
        assert torch.equal(matched.tensors[name], expected)
    assert matched.how.startswith("12 tensors by their order")


def test_order_is_not_trusted_where_one_name_is_the_same() -> None:
    wanted = network().state_dict()
    source = other_names(wanted) | {"0.weight": wanted["0.weight"]}
    with pytest.raises(UserError, match=r"the file has no tensor 0\.bias"):
        match_tensors(source, wanted)


def test_order_is_not_trusted_where_a_shape_differs() -> None:
    wanted = network().state_dict()
    source = other_names(wanted)
    source["old_2.weight"] = torch.ones(5, 4, 1, 1)
    with pytest.raises(UserError, match="other names and shapes"):
        match_tensors(source, wanted)


def test_order_is_not_trusted_where_more_than_a_last_layer_is_left() -> None:
    wanted = network().state_dict()
    with pytest.raises(UserError, match="other names and shapes"):
        match_tensors(other_names(wanted) | {"more": torch.ones(1)}, wanted)


def test_tensor_of_another_shape_is_named() -> None:
    wanted = network().state_dict()
    source = wanted | {"2.weight": torch.ones(4, 4, 3, 3)}
    with pytest.raises(UserError, match=r"2\.weight has the shape 4x4x3x3 in the file and 4x4x1x1"):
        match_tensors(source, wanted)


@pytest.mark.parametrize("rename", [dict, other_names])
def test_last_layer_is_found_among_what_the_network_does_not_need(
    rename: Callable[[dict[str, Tensor]], dict[str, Tensor]],
) -> None:
    wanted = network().state_dict()
    weight, bias = torch.rand(4, 9).T, torch.rand(9)
    file = rename(dict(wanted)) | {"fc.weight": weight, "fc.bias": bias}
    head = last_layer(match_tensors(file, wanted).left_out, 4)
    assert head is not None
    assert head.weight.tolist() == weight.tolist()
    assert head.weight.flags.c_contiguous  # safetensors would write other bytes
    assert head.bias.tolist() == bias.tolist()


def test_last_layer_may_be_a_convolution_of_one_pixel() -> None:
    weight, bias = torch.rand(9, 4, 1, 1), torch.rand(9)
    head = last_layer({"fc.weight": weight, "fc.bias": bias}, 4)
    assert head is not None
    assert head.weight.tolist() == weight.flatten(1).tolist()


def test_last_layer_may_have_no_bias() -> None:
    weight = torch.rand(9, 4)
    head = last_layer({"fc.weight": weight}, 4)
    assert head is not None
    assert head.weight.tolist() == weight.tolist()
    assert head.bias.tolist() == [0.0] * 9


@pytest.mark.parametrize("name", [SMALL, "maxvit_t"])
@torch.no_grad()
def test_last_layer_gives_the_logits_of_the_whole_network(name: str) -> None:
    torch.manual_seed(0)
    whole = torchvision.models.get_model(name).eval()
    backbone, size = build_torchvision(name, pretrained=True, input_size=224)
    matched = match_tensors(whole.state_dict(), backbone.state_dict())
    backbone.load_state_dict(matched.tensors)
    head = last_layer(matched.left_out, size)
    assert head is not None
    images = torch.rand(1, 3, 224, 224)
    logits = backbone.eval()(images).numpy() @ head.weight.T + head.bias
    np.testing.assert_allclose(logits, whole(images).numpy(), rtol=1e-4, atol=1e-5)


def test_last_layer_may_have_as_many_classes_as_features() -> None:
    square = {"fc.weight": torch.rand(4, 4), "fc.bias": torch.rand(4)}
    assert last_layer(square, 4) is not None


@pytest.mark.parametrize(
    "left_out",
    [
        {},
        {"fc.weight": torch.rand(9, 4), "scale": torch.tensor(64.0)},
        {"fc.weight": torch.rand(9, 4, 3, 3), "fc.bias": torch.rand(9)},
        {"fc.weight": torch.rand(9, 5), "fc.bias": torch.rand(9)},
        {"fc.weight": torch.rand(9, 4), "fc.bias": torch.rand(8)},
        {
            f"{name}.{part}": torch.rand(shape)
            for name in ("head", "head_dist")
            for part, shape in (("weight", (9, 4)), ("bias", (9,)))
        },
        LAST_LAYER | {"norm.weight": torch.rand(4), "norm.running_mean": torch.rand(4)},
        LAST_LAYER | {"fc.bias": torch.tensor([*[0.0] * 8, -math.inf])},
        LAST_LAYER | {"fc.weight": torch.full((9, 4), math.nan)},
        {"fc.weight": torch.rand(1, 4), "fc.bias": torch.rand(1)},
        {"fc.weight": torch.rand(0, 4), "fc.bias": torch.rand(0)},
        LAST_LAYER | {"fc2.weight": torch.rand(3, 9), "fc2.bias": torch.rand(3)},
    ],
    ids=[
        "nothing",
        "a scale in place of a bias",
        "convolution",
        "other features",
        "another bias",
        "two layers",
        "norm",
        "infinite",
        "not a number",
        "one class",
        "no class",
        "hidden",
    ],
)
def test_what_is_no_last_layer_is_none(left_out: dict[str, Tensor]) -> None:
    assert last_layer(left_out, 4) is None
