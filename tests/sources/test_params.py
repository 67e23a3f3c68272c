import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from builders.folders import read_folders
from builders.sources import download_params, local_params

from classifier.core.errors import UserError
from classifier.sources.params import WRITTEN

ROOT = Path(__file__).parents[2]
TABLE = {"path": "id", "class": "kind"}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"splits": {"train": []}}, r"download\.splits: train is \[\]: write the names"),
        ({"splits": {"train": "a", "test": ["/"]}}, r"splits: test is \['/'\]: write the names"),
        ({"splits": {"train": "", "test": "b"}}, r"splits: train is \[''\]: write the names"),
        ({"labels": TABLE | {"file": {}}}, r"labels\.file is \{\}: write the name of a table"),
        ({"labels": TABLE | {"file": ""}}, r"labels\.file is '': write the name of a table"),
        ({"labels": TABLE | {"file": {"train": ""}}}, r"labels\.file is \{'train': ''\}"),
    ],
)
def test_a_layout_that_names_nothing_is_refused(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        local_params("folder", "photos", **changes)


def test_years_that_may_be_splits_are_proposed_in_the_quotes_that_they_need() -> None:
    paths = [f"{year}/{name}/1.png" for year in (2020, 2021) for name in ("cat", "dog")]
    with pytest.raises(UserError) as caught:
        read_folders(*paths)
    proposed = str(caught.value).rpartition("download.splits: ")[2].removesuffix(".")
    assert proposed == "{train: '2020', test: '2021'}"
    labels = read_folders(*paths, splits=yaml.safe_load(proposed))
    assert "splits: train 2 (2020), test 2 (2021)" in labels.lines


def test_names_of_folders_may_be_given_in_another_form_of_unicode() -> None:
    given = "Caf\u0065\u0301"
    splits = {"train": given, "test": ["b", given]}
    params = local_params("folder", "photos", splits=splits, ignore=[f"{given}/*.png"])
    assert params.splits == {"train": ["Caf\u00e9"], "test": ["b", "Caf\u00e9"]}
    assert params.ignore == ["Caf\u00e9/*.png"]


@pytest.mark.parametrize("given", [2020, [2020]])
def test_years_without_quotes_are_refused_with_what_they_need(given: Any) -> None:
    sentence = r"download\.splits\.train\.0 is 2020: .+ need quotes, such as '2020'\.$"
    with pytest.raises(UserError, match=sentence):
        local_params("folder", "photos", splits={"train": given, "test": "a"})


@pytest.mark.parametrize("given", [1, ["a.csv"], {"train": 1}, {"tset": "a.csv"}])
def test_wrong_names_of_tables_are_refused_in_one_sentence(given: Any) -> None:
    sentence = re.escape(f"download.labels.file is {given}: input should be the name of a table")
    with pytest.raises(UserError, match=sentence + r" \(text\), or one for each [^.]+\.$"):
        local_params("folder", "photos", labels={"file": given, "path": "id", "class": "class"})


@pytest.mark.parametrize(
    "place", [".", "..", "/", "file:", "photos/..", "data", "data/raw", "results/train", "whole"]
)
def test_images_where_the_stages_write_are_refused(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    url = str(tmp_path) if place == "whole" else place
    watch = "." if place == "file:" else url
    with pytest.raises(UserError, match=r"download\.url is .*put the images into a folder of th"):
        local_params("folder", url, watch=watch)
    with pytest.raises(UserError, match=r"download\.watch is .*put the images into a folder of"):
        download_params(watch=watch)


@pytest.mark.parametrize("place", ["photos", "data/photos", "../photos", "/photos", "dataset"])
def test_images_anywhere_else_are_accepted(place: str) -> None:
    assert local_params("folder", place).url == place


def test_link_to_itself_is_left_to_the_search_for_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    assert local_params("folder", "loop", watch="loop").url == "loop"


def test_a_path_with_a_nul_is_refused() -> None:
    with pytest.raises(UserError, match=r"download\.url is 'a\\x00b', but no path holds a NUL"):
        local_params("folder", "a\0b")


def test_the_folders_where_images_are_refused_hold_all_outs_of_the_pipeline() -> None:
    outs: list[Path] = []
    for stage in yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))["stages"].values():
        for kind in ("outs", "metrics", "plots"):
            for out in stage.get(kind, []):
                outs.extend(Path(name) for name in (out if isinstance(out, dict) else [out]))
    assert outs
    assert [out for out in outs if not any(out.is_relative_to(each) for each in WRITTEN)] == []
