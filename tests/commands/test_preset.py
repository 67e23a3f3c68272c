import re
import shlex
import shutil
from pathlib import Path
from types import UnionType
from typing import TypeGuard, Union, get_args, get_origin

import pytest
import yaml
from dvc.utils.hydra import apply_overrides
from pydantic import BaseModel

from classifier.commands.check import SCHEMAS
from classifier.commands.preset import DEFAULT, main, parse_values, preset_names, preset_values
from classifier.core.config import read_params
from classifier.core.errors import UserError
from classifier.core.params_edit import MAPPINGS, flatten

ROOT = Path(__file__).parents[2]
PRESETS = ROOT / "presets"
NAMES = preset_names(PRESETS)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the params and the presets that come along."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    shutil.copytree(PRESETS, tmp_path / "presets")
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def overlay(name: str) -> dict[str, object]:
    return flatten(yaml.safe_load((PRESETS / f"{name}.yaml").read_text("utf-8")))


def values() -> dict[str, object]:
    return flatten(read_params(Path("params.yaml")))


def comments(path: Path) -> list[str]:
    return [line for line in path.read_text("utf-8").splitlines() if line.strip().startswith("#")]


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_is_merged_and_valid_and_keeps_all_comments(name: str) -> None:
    given = ["download.url=photos"] if name == "photos" else []
    before = values()
    main([name, *given])
    after = values()
    assert overlay(name).items() <= after.items()
    unchanged = before.keys() - preset_values(name, PRESETS).keys()
    assert all(after[key] == before[key] for key in unchanged)
    assert comments(Path("params.yaml")) == comments(ROOT / "params.yaml")


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_is_merged_into_params_that_an_experiment_wrote(name: str) -> None:
    # DVC writes lists as `- items`, no deeper than their key, and null as nothing.
    apply_overrides("params.yaml", ["train.epochs=2"])
    assert "\n  views:\n  - identity\n" in Path("params.yaml").read_text("utf-8")
    main([name, *(["download.url=photos"] if name == "photos" else [])])
    assert overlay(name).items() <= values().items()
    assert comments(Path("params.yaml")) == comments(ROOT / "params.yaml")


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_is_short_and_says_its_command_run_time_and_accuracy(name: str) -> None:
    lines = (PRESETS / f"{name}.yaml").read_text("utf-8").splitlines()
    head = " ".join(line for line in lines if line.startswith("#"))
    assert f"Command: classifier preset {name}" in head
    assert "Run time" in head
    assert "Test accuracy" in head
    if name != DEFAULT:
        assert 6 <= len([line for line in lines if not line.startswith("#")]) <= 25


def test_the_default_preset_has_what_other_presets_set_as_params_yaml_has_it() -> None:
    default = overlay(DEFAULT)
    of_others = set().union(*(overlay(name) for name in NAMES if name != DEFAULT))
    # What belongs to the data of one project: every knob of download.
    assert set(default) == of_others | {name for name in values() if name.startswith("download.")}
    assert default.items() <= values().items()


def test_going_from_one_preset_to_another_leaves_nothing_of_the_first() -> None:
    main(["cifar10"])
    alone = Path("params.yaml").read_bytes()
    main(["photos", "download.url=photos"])
    main(["cifar10"])
    assert Path("params.yaml").read_bytes() == alone
    main(["default"])
    assert Path("params.yaml").read_bytes() == (ROOT / "params.yaml").read_bytes()


def test_what_no_preset_sets_stays(capsys: pytest.CaptureFixture[str]) -> None:
    text = Path("params.yaml").read_text("utf-8").replace("seed: 0", "seed: 7", 1)
    Path("params.yaml").write_text(text, "utf-8")
    main(["cifar10"])
    assert values()["split.seed"] == 7


def test_values_are_set_in_the_same_call_and_changes_are_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["photos", "download.url=photos", "train.optimizer.lr=5e-4"])
    assert values()["train.optimizer.lr"] == 0.0005
    assert values()["download.watch"] == "photos"
    printed = capsys.readouterr().out
    assert "  train.optimizer.lr: 0.004 -> 0.0005" in printed
    assert "  download.url: null -> photos" in printed
    assert "train.seed" not in printed


def test_a_mapping_is_set_as_a_whole_and_gone_with_the_next_preset() -> None:
    table = "{file: labels.csv, path: id, class: breed}"
    main(["photos", "download.url=photos", f"download.labels={table}"])
    section = read_params(Path("params.yaml"))["download"]
    assert section["labels"] == {"file": "labels.csv", "path": "id", "class": "breed"}
    main(["photos", "download.url=photos", "download.splits={train: a, test: b}"])
    section = read_params(Path("params.yaml"))["download"]
    assert (section["labels"], section["splits"]) == (None, {"train": "a", "test": "b"})


def test_costs_are_set_as_a_whole_and_back_to_null() -> None:
    main([DEFAULT, "evaluate.costs={errors: {'1': {'7': 10}}, reject: 0.3}"])
    costs = read_params(Path("params.yaml"))["evaluate"]["costs"]
    assert costs == {"errors": {"1": {"7": 10}}, "reject": 0.3}
    main([DEFAULT, "evaluate.costs=null"])
    assert Path("params.yaml").read_bytes() == (ROOT / "params.yaml").read_bytes()


def names_of_mappings(schema: type[BaseModel], prefix: str) -> set[str]:
    """Return the full names of the fields whose value may be a mapping without fixed keys."""
    names: set[str] = set()
    for key, field in schema.model_fields.items():
        kind, name = field.annotation, f"{prefix}.{field.alias or key}"
        choices = get_args(kind) if get_origin(kind) in (UnionType, Union) else (kind,)
        if is_schema(kind):
            names |= names_of_mappings(kind, name)
        elif any((get_origin(each) or each) is dict or is_schema(each) for each in choices):
            names.add(name)
    return names


def is_schema(kind: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def test_every_parameter_that_may_be_a_mapping_is_set_as_a_whole() -> None:
    found = set().union(*(names_of_mappings(schema, name) for name, schema in SCHEMAS.items()))
    assert found == MAPPINGS


def layouts() -> list[str]:
    """The values to type of each row of the table of layouts in docs/data.md."""
    text = (ROOT / "docs/data.md").read_text("utf-8").partition("## Layouts")[2]
    rows = re.findall(r"^\| .+? \| (.+?) \| .+ \|$", text.partition("###")[0], re.M)
    return [row for row in rows if "download." in row][1:]


@pytest.mark.parametrize("row", layouts())
def test_what_the_docs_say_to_type_for_a_layout_is_accepted(row: str) -> None:
    words = [word for part in re.findall("`(.+?)`", row) for word in shlex.split(part)]
    typed = [word for word in words if "=" in word]
    main(["photos", "download.url=photos", *typed])
    for name, value in parse_values(typed).items():
        assert values()[name] == value


def test_a_tilde_becomes_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    main(["photos", "download.url=~/photos"])
    assert values()["download.url"] == values()["download.watch"] == str(tmp_path / "photos")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["fotos"], "there is no preset 'fotos': the presets are cifar10, cifar10-fast, default"),
        (["photos"], "needs download.url"),
        (["photos", "download.url=''"], "download.url is ''"),
        (["photos", "download.url=~nobody-here/photos"], "starts with ~, which DVC does not know"),
        (["photos", "download.url=."], "put the images into a folder of their own"),
        (["cifar10", "train.epoch=3"], "no parameter train.epoch: did you mean train.epochs?"),
        (["cifar10", "train.epochs"], "'train.epochs' is no value: write name=value"),
        (["cifar10", "train.epochs=many"], "train.epochs is 'many'"),
        (["cifar10", "train.input_size=33"], "larger than split.stored_size"),
        (["cifar10", "train.epochs=[1"], "train.epochs cannot be read as YAML: while parsing"),
        (["cifar10", "train.epochs=2020-99-99"], "train.epochs cannot be read as YAML: month"),
        (["cifar10", "train.optimizer={}"], "train.optimizer is a group of parameters"),
        (["cifar10", "train.optimizer=null"], "train.optimizer is a group of parameters"),
    ],
)
def test_a_mistake_is_a_sentence_and_leaves_params_yaml(
    arguments: list[str], sentence: str
) -> None:
    before = Path("params.yaml").read_bytes()
    with pytest.raises(UserError) as caught:
        main(arguments)
    assert sentence in str(caught.value)
    assert Path("params.yaml").read_bytes() == before
    assert {path.name for path in Path().iterdir()} == {"params.yaml", "presets", "photos"}


def test_outside_a_project_it_is_said_where_to_go(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    with pytest.raises(UserError, match="run in the project's folder"):
        main(["photos"])
