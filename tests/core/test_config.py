from pathlib import Path

import pytest
import yaml
from builders.tiny import tiny_section
from dvc.utils.serialize import parse_yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier.core.config import RENAMED, load_section, read_params
from classifier.core.errors import UserError
from classifier.training.params import TrainParams


def load_train(folder: Path, section: object) -> TrainParams:
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump({"train": section}), "utf-8")
    return load_section("train", TrainParams, path)


def refusal(folder: Path, section: object) -> str:
    with pytest.raises(UserError) as caught:
        load_train(folder, section)
    return str(caught.value)


def read_text(folder: Path, text: str) -> dict[str, object]:
    path = folder / "params.yaml"
    path.write_text(text, "utf-8")
    return read_params(path)


def test_valid_section_becomes_its_params(tmp_path: Path) -> None:
    section = tiny_section(epochs=7, augment={"rotation": 12.5})
    assert load_train(tmp_path, section).model_dump() == section


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"optimizer": {"lr": -1.0}}, ["train.optimizer.lr is -1.0", "greater than 0"]),
        ({"optimizer": {"lr": "fast"}}, ["train.optimizer.lr is 'fast'", "valid number"]),
        ({"optimizer": {"lr": float("inf")}}, ["train.optimizer.lr is inf", "finite"]),
        ({"optimizer": {"lr": 1e300}}, ["train.optimizer.lr is 1e+300", "less than or equal"]),
        ({"optimizer": {"name": "lion"}}, ["train.optimizer.name is 'lion'", "'sgd'", "'adamw'"]),
        ({"optimizer": None}, ["train.optimizer is None"]),
        ({"epochs": 0}, ["train.epochs is 0", "greater than or equal to 1"]),
        ({"epochs": 2.5}, ["train.epochs is 2.5", "valid integer"]),
        ({"epochs": "3"}, ["train.epochs is '3'", "valid integer"]),
        ({"epochs": True}, ["train.epochs is True", "valid integer"]),
        ({"model": {"head": {"dropout": 1.0}}}, ["train.model.head.dropout is 1.0", "less than 1"]),
        (
            {"augment": {"crop_ratio": [1.0]}},
            ["train.augment.crop_ratio is [1.0]", "at least 2 values"],
        ),
        ({"seed": 2**40}, ["train.seed is 1099511627776", "less than 4294967296"]),
        ({"model": {"head": None}}, ["train.model.head is None", "must be a mapping"]),
        ({"augment": {"crop_scale": [0.1, "x"]}}, ["train.augment.crop_scale.1 is 'x'"]),
        ({"feature_views": False}, ["yaml: train.feature_views is False: input", "or a list"]),
        ({"feature_views": ["flip", 1]}, ["yaml: train.feature_views is ['flip', 1]: input"]),
    ],
)
def test_wrong_value_is_refused_with_full_name_given_and_allowed(
    tmp_path: Path, change: dict[str, object], said: list[str]
) -> None:
    sentence = refusal(tmp_path, tiny_section(**change))
    assert all(part in sentence for part in said), sentence


@pytest.mark.parametrize(
    ("name", "example"),
    [
        ("2020", ", such as '2020'"),
        ("2021-05-01", ", such as '2021-05-01'"),
        ("1.10", ""),
        ("no", ""),
    ],
)
def test_text_that_yaml_takes_for_something_else_is_told_to_need_quotes(
    tmp_path: Path, name: str, example: str
) -> None:
    taken = yaml.safe_load(name)
    sentence = refusal(tmp_path, tiny_section(model={"freeze": taken}))
    assert f"train.model.freeze is {taken}: input should be a valid string; a number" in sentence
    assert sentence.endswith(f"need quotes{example}.")


@pytest.mark.parametrize("number", ["010", "-010", "0o10", "08", "00", "1:30", "1:30.5"])
def test_number_that_dvc_reads_as_another_value_is_refused(tmp_path: Path, number: str) -> None:
    assert parse_yaml(f"a: {number}", "")["a"] != yaml.safe_load(number) or number == "00"
    with pytest.raises(UserError, match=rf"line 2: YAML 1\.1 and 1\.2 take {number} for different"):
        read_text(tmp_path, f"train:\n  epochs: {number}\n")
    section = read_text(tmp_path, f"train:\n  epochs: '{number}'\n")["train"]
    assert section == {"epochs": number}


@pytest.mark.parametrize("number", ["0", "-0", "0.5", "0x1F", "1_000", "1e-3", "0.0_1", "1e3"])
def test_other_numbers_have_the_value_that_dvc_reads(tmp_path: Path, number: str) -> None:
    section = read_text(tmp_path, f"train:\n  epochs: {number}\n")["train"]
    assert section == {"epochs": parse_yaml(f"a: {number}", "")["a"]}


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"epohcs": 3}, "train.epohcs"),
        ({"optimizer": {"learning_rate": 0.1}}, "train.optimizer.learning_rate"),
        ({"model": {"head": {"size": 5}}}, "train.model.head.size"),
    ],
)
def test_unknown_key_is_refused_with_full_name(
    tmp_path: Path, change: dict[str, object], key: str
) -> None:
    assert f"{key} is unknown" in refusal(tmp_path, tiny_section(**change))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"accumulation": 2}, "train.accumulation is now train.grad_accumulation_steps."),
        ({"tensorboard": True}, "train.tensorboard is now runtime.tensorboard."),
        (
            {"optimizer": {"clip_norm": 1.0}},
            "train.optimizer.clip_norm is now train.optimizer.max_grad_norm.",
        ),
    ],
)
def test_renamed_key_says_its_new_name_once(
    tmp_path: Path, change: dict[str, object], sentence: str
) -> None:
    section = tiny_section(**change)
    section.pop("grad_accumulation_steps")
    section["optimizer"].pop("max_grad_norm")
    refused = refusal(tmp_path, section)
    assert refused.count(sentence) == 1
    new_name = sentence.rsplit(maxsplit=1)[-1].rstrip(".")
    assert f"{new_name} is missing" not in refused


def test_every_new_name_of_a_renamed_key_stands_in_the_params() -> None:
    content = read_params(Path(__file__).parents[2] / "params.yaml")
    for name in RENAMED.values():
        value: object = content
        for key in name.split("."):
            assert isinstance(value, dict)
            if name == "export.formats" and key not in value:
                break
            value = value[key]


def test_missing_key_is_refused_with_full_name(tmp_path: Path) -> None:
    section = tiny_section()
    del section["optimizer"]["lr"]
    assert "train.optimizer.lr is missing" in refusal(tmp_path, section)


def test_every_wrong_key_is_named_at_once(tmp_path: Path) -> None:
    sentence = refusal(tmp_path, tiny_section(epochs=0, batch_size=1, wrong=1))
    assert all(f"train.{key} is" in sentence for key in ("epochs", "batch_size", "wrong"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"lr_scheduler": {"warmup_epochs": 3.0}}, ["train.lr_scheduler.warmup_epochs", "3"]),
        ({"augment": {"crop_scale": [0.5, 1.0]}}, ["train.augment.crop_padding", "crop_scale"]),
        (
            {"feature_views": 2},
            ["train.feature_views is 2", "train.model.freeze is none"],
        ),
        (
            {"augment": {"crop_padding": None, "crop_scale": [0.9, 0.1]}},
            ["train.augment.crop_scale", "[0.9, 0.1]", "0..1"],
        ),
        ({"augment": {"crop_ratio": [2.0, 1.0]}}, ["train.augment.crop_ratio", "[2.0, 1.0]"]),
        ({"model": {"stem": "small", "freeze": "layer2"}}, ["train.model.stem", "freeze"]),
        ({"model": {"normalize": "imagenet"}}, ["train.model.normalize: imagenet is now pretr"]),
    ],
)
def test_contradiction_is_refused_with_full_name(
    tmp_path: Path, change: dict[str, object], said: list[str]
) -> None:
    sentence = refusal(tmp_path, tiny_section(**change))
    assert all(part in sentence for part in said), sentence


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "1.e-3", ".1e-2", "+1e-3", "0.001", "1.0e-3"])
def test_scientific_notation_is_a_number(tmp_path: Path, text: str) -> None:
    assert read_text(tmp_path, f"train: {{lr: {text}}}") == {"train": {"lr": 0.001}}


@settings(max_examples=50)
@given(number=st.floats(allow_nan=False, allow_infinity=False))
def test_any_float_as_python_prints_it_is_that_number(
    tmp_path_factory: pytest.TempPathFactory, number: float
) -> None:
    content = read_text(tmp_path_factory.getbasetemp(), f"train: {{lr: {number!r}}}")
    assert content == {"train": {"lr": number}}


@pytest.mark.parametrize("text", ["1e", "e-3", "1e-3x", "1-e3"])
def test_text_that_only_resembles_a_number_stays_text(tmp_path: Path, text: str) -> None:
    assert read_text(tmp_path, f"train: {{lr: {text}}}") == {"train": {"lr": text}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train:\n  epochs: 1\n  epochs: 2\n", ["line 3", "'epochs' appears twice"]),
        ("train: {}\nexport: {}\ntrain: {}\n", ["line 3", "'train' appears twice"]),
        ("train:\n  1: 2\n", ["line 2", "1 is no parameter"]),
        ("train:\n  ? [a]\n  : 2\n", ["line 2", "is no parameter"]),
        ("train: [1\n", ["cannot be read as YAML"]),
        ("train: !!python/object/apply:os.getcwd []\n", ["cannot be read as YAML"]),
        (
            "train:\n<<<<<<< HEAD\n  seed: 1\n=======\n  seed: 2\n>>>>>>> other\n",
            ["both sides of a merge from line 2 on"],
        ),
        ("tran: {}\n", ["unknown section tran", "train"]),
        ("", ["must hold the sections download, split, backbone, train"]),
        ("- train\n", ["must hold the sections download, split, backbone, train"]),
        ("train", ["must hold the sections download, split, backbone, train"]),
    ],
)
def test_file_that_is_no_params_file_is_refused(tmp_path: Path, text: str, said: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        read_text(tmp_path, text)
    sentence = str(caught.value)
    assert all(part in sentence for part in ["params.yaml", *said]), sentence
    assert "\n" not in sentence


def test_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(b"train: \xff\xfe")
    with pytest.raises(UserError, match="cannot be read as YAML"):
        read_params(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.yaml is missing"):
        load_section("train", TrainParams, tmp_path / "absent.yaml")


def test_missing_section_is_named(tmp_path: Path) -> None:
    read_text(tmp_path, "export: {}\n")
    with pytest.raises(UserError, match="the section train is missing"):
        load_section("train", TrainParams, tmp_path / "params.yaml")


def test_empty_section_misses_its_keys(tmp_path: Path) -> None:
    assert "train.epochs is missing" in refusal(tmp_path, None)


@pytest.mark.parametrize("section", [5, "fast", [1, 2]])
def test_section_that_is_no_mapping_is_refused(tmp_path: Path, section: object) -> None:
    assert f"train must be a mapping of keys to values, not {section!r}" in refusal(
        tmp_path, section
    )
