import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from classifier.commands.check import check_params, main
from classifier.core.errors import UserError

DEFAULT = Path(__file__).parents[2] / "params.yaml"


def changed(folder: Path, key: str, value: Any) -> Path:
    """The default params with one value set, `key` being its full name."""
    content = yaml.safe_load(DEFAULT.read_text("utf-8"))
    *parents, last = key.split(".")
    section = content
    for name in parents:
        section = section[name]
    section[last] = value
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(content), "utf-8")
    return path


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("train.input_size", 9, "train.input_size is 9, larger than split.stored_size, 8"),
        ("backbone.name", "resnet19", "backbone.name 'resnet19' is unknown"),
        ("backbone.name", "alexnet", "alexnet cannot take images of 8x8"),
        ("train.model.freeze", "backbone", "set backbone.weights"),
        ("train.linear_probe_epochs", 2, "it needs backbone.weights"),
        ("train.augment.crop_padding", 8, "train.augment.crop_padding is 8; it must be less"),
        ("tta_evaluate.views", ["top_left"], "tta_evaluate.views: view 'top_left'"),
        ("export.batch_size", 0, "export.batch_size is 0"),
        ("evaluate.calibration_bins", 10**11, "evaluate.calibration_bins is 100000000000: input"),
        ("train.model.head.hidden", 10**12, "train.model.head.hidden is 1000000000000: input"),
        ("runtime.num_processes", 10**23, "should be less than or equal to 1024"),
    ],
)
def test_what_would_fail_in_a_late_stage_is_refused_at_once(
    tmp_path: Path, key: str, value: Any, sentence: str
):
    with pytest.raises(UserError) as caught:
        check_params(changed(tmp_path, key, value))
    assert sentence in str(caught.value)


def test_module_whose_name_freezes_the_whole_backbone_is_refused(tmp_path: Path) -> None:
    changed(tmp_path, "train.model.freeze", "features.18")
    content = yaml.safe_load((tmp_path / "params.yaml").read_text("utf-8"))
    content["backbone"] |= {"name": "mobilenet_v2", "weights": "torchvision:IMAGENET1K_V1"}
    content["split"]["stored_size"] = 32
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(content), "utf-8")
    with pytest.raises(UserError, match=r"features\.18 leaves no layer of the backbone to train"):
        check_params(tmp_path / "params.yaml")


def test_an_unknown_section_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match="unknown section trian"):
        check_params(changed(tmp_path, "trian", {}))


def test_params_yaml_explains_every_knob():
    lines = DEFAULT.read_text("utf-8").splitlines()
    knobs = [i for i, line in enumerate(lines) if re.match(r" +\w+: \S", line)]
    # A knob has a comment of its own, or belongs to the group that is explained above it.
    unexplained = [lines[i] for i in knobs if "#" not in "".join(lines[max(0, i - 4) : i])]
    assert unexplained == []


def test_foreign_images_that_are_not_there_are_told_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/.gitignore").touch()
    main([str(changed(tmp_path, "evaluate.foreign", "data/.gitignore"))])
    with pytest.raises(UserError, match=r"evaluate\.foreign is 'strangers', but there is no such"):
        main([str(changed(tmp_path, "evaluate.foreign", "strangers"))])
