from contextlib import nullcontext
from pathlib import Path

import optuna
import pytest
from builders.tiny import tiny_params

from classifier.core.errors import UserError
from classifier.core.params_edit import edit_params
from classifier.sweep.search_space import Choices, Range, check_effect, read_space, suggest

ROOT = Path(__file__).parents[2]
PARAMS = (ROOT / "params.yaml").read_text("utf-8")


def read(folder: Path, text: str) -> dict[str, Range | Choices]:
    (folder / "sweep.yaml").write_text(text, "utf-8")
    return read_space(folder / "sweep.yaml")


def test_ranges_and_choices_are_read(tmp_path: Path) -> None:
    space = read(
        tmp_path, "train.seed: {low: 0, high: 9}\ntrain.input_size: {choices: [null, 8]}\n"
    )
    assert space == {
        "train.seed": Range(low=0, high=9),
        "train.input_size": Choices(choices=[None, 8]),
    }


def test_a_range_may_be_written_with_a_bare_exponent(tmp_path: Path) -> None:
    space = read(tmp_path, "train.optimizer.lr: {low: 1e-4, high: 1e-2}\n")
    assert space == {"train.optimizer.lr": Range(low=0.0001, high=0.01)}


def test_a_knob_may_take_the_values_of_another_one(tmp_path: Path) -> None:
    space = read(
        tmp_path,
        "train.optimizer.lr: &rate {low: 0.1, high: 1}\n"
        "train.optimizer.weight_decay: {<<: *rate, log: true}\n",
    )
    assert space["train.optimizer.weight_decay"] == Range(low=0.1, high=1, log=True)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "must give each knob low and high"),
        ("{}", "names no knobs"),
        ("train.seed: 3", r"train\.seed must have low and high"),
        ("train.seed: {low: 3}", r"train\.seed\.high is missing\.$"),
        ("train.seed: {low: 3, high: 3}", r"yaml: train\.seed: low must be less than high"),
        ("train.seed: {low: 0, high: 3, log: true}", r"greater than 0 with log\.$"),
        ("train.seed: {low: 0, high: 3, step: 1}", r"train\.seed\.step is unknown"),
        (
            "train.seed: {choices: [3]}",
            r"train\.seed\.choices is \[3\]: it must have at least 2 values\.$",
        ),
        ("train.seed: {choices: [3, 3]}", r"train\.seed: choices must differ\.$"),
        (
            "train.seed: {low: no, high: 3}",
            r"train\.seed\.low is False: input should be a fin[^:]+$",
        ),
        ("train.seed: {low: 0, high: .inf}", r"train\.seed\.high is inf: input should be [^:]+$"),
        (
            "train.seed: {choices: [[1], 2]}",
            r"train\.seed\.choices\.0 is \[1\]: input should[^:]+$",
        ),
        ("train.ema_decay: {low: 0.9, high: 0.99999}", r"ema_decay: give low and high four digits"),
        ("train.seed: [", r"sweep\.yaml cannot be read as YAML"),
        ("train.seed: {choices: [1, 2020-99-99]}", r"sweep\.yaml cannot be read as YAML: month"),
        ("split.seed: {low: 0, high: 3}", "split.seed is no knob of section train"),
    ],
)
def test_other_spaces_are_refused(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        read(tmp_path, text)


def test_missing_space_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"sweep\.yaml is missing"):
        read_space(tmp_path / "sweep.yaml")


def test_suggested_values_lie_in_the_space() -> None:
    space = {
        "train.optimizer.lr": Range(low=0.001, high=0.1, log=True),
        "train.batch_size": Range(low=16, high=64),
        "train.model.head.hidden": Choices(choices=[None, 64]),
    }
    study = optuna.create_study()
    for _ in range(20):
        values = suggest(study.ask(), space)
        rate, size = values["train.optimizer.lr"], values["train.batch_size"]
        assert isinstance(rate, float)
        assert 0.001 <= rate <= 0.1
        assert rate == float(f"{rate:.4g}")
        assert isinstance(size, int)
        assert 16 <= size <= 64
        assert values["train.model.head.hidden"] in (None, 64)


def test_every_knob_of_the_space_that_comes_along_is_in_params() -> None:
    space = read_space(ROOT / "sweep.yaml")
    edit_params(PARAMS, suggest(optuna.create_study().ask(), space))


@pytest.mark.parametrize("knob", ["train.optimizer.lr", "train.optimizer", "train.ema_decay"])
def test_knob_that_changes_nothing_is_refused(tmp_path: Path, knob: str) -> None:
    text = f"train.label_smoothing: {{low: 0, high: 0.5}}\n{knob}: {{low: 0, high: 1}}\n"
    space = read(tmp_path, text)
    check_effect(space, tiny_params())
    logistic = tiny_params(head="logistic", model={"freeze": "backbone"})
    with pytest.raises(UserError, match=rf": {knob} \(because of train\.head\) would ch"):
        check_effect(space, logistic)


def test_knob_counts_where_the_head_is_searched_too(tmp_path: Path) -> None:
    heads = "train.head: {choices: [logistic, linear]}\ntrain.epochs: {low: 1, high: 9}\n"
    check_effect(read(tmp_path, heads), tiny_params(head="logistic", model={"freeze": "backbone"}))


def test_knob_that_only_another_choice_reads_is_refused(tmp_path: Path) -> None:
    momentum = "train.optimizer.momentum: {low: 0.8, high: 0.99}\n"
    with pytest.raises(UserError, match=r"optimizer\.momentum \(because of train\.optimizer"):
        check_effect(read(tmp_path, momentum), tiny_params())
    check_effect(read(tmp_path, momentum), tiny_params(optimizer={"name": "sgd"}))


@pytest.mark.parametrize(("choices", "counts"), [("[adam, sgd]", True), ("[adam, adamw]", False)])
def test_knob_counts_where_one_of_the_searched_choices_reads_it(
    tmp_path: Path, choices: str, counts: bool
) -> None:
    text = "train.optimizer.momentum: {low: 0.8, high: 0.99}\n"
    space = read(tmp_path, f"{text}train.optimizer.name: {{choices: {choices}}}\n")
    with nullcontext() if counts else pytest.raises(UserError, match=r"momentum .*change nothing"):
        check_effect(space, tiny_params())
