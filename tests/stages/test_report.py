import csv
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from builders.reported import CARD, CLASSES, OF_THE_MODEL, PAGE
from builders.reports import Page, opened_below, write

from classifier.processing.made_for import model_digest
from classifier.report.input_sections import training_section
from classifier.report.parts import Figure
from classifier.report.run_results import load_run
from stages import report

ROOT = Path(__file__).parents[2]


def read_page() -> Page:
    return Page(PAGE.read_text("utf-8"))


def change_model(described: dict[str, Any]) -> None:
    """Replace `model.json`, and let rules, views and export be of the model that it makes."""
    write("models/model.json", json.dumps(described))
    for path in OF_THE_MODEL:
        write(
            path,
            json.dumps(
                json.loads(Path(path).read_bytes()) | {"model": model_digest(Path("models"))}
            ),
        )


def test_page_is_whole_and_needs_nothing_from_outside(reported: tuple[Path, str]):
    page = read_page()
    assert page.open == []
    assert not page.every("script", "link", "iframe", "object", "base")
    sources = [str(image["src"]) for image in page.every("img")]
    assert len(sources) == 14
    assert all(source.startswith("data:image/") for source in sources)
    assert "url(" not in PAGE.read_text("utf-8")
    anchors = {element["id"] for _, element in page.elements if "id" in element}
    links = [str(link["href"]) for link in page.every("a")]
    assert len(links) == 14
    assert {link.removeprefix("#") for link in links} == anchors


def test_images_have_descriptions_and_tables_have_headings(reported: tuple[Path, str]):
    page = read_page()
    assert page.every("html") == [{"lang": "en"}]
    assert all(len(str(image["alt"])) > 30 for image in page.every("img"))
    assert len(page.every("table")) == len(page.every("caption")) >= 7
    assert {cell["scope"] for cell in page.every("th")} == {"col", "row"}
    assert "prefers-color-scheme: dark" in PAGE.read_text("utf-8")


def test_names_from_outside_are_text(reported: tuple[Path, str]):
    page = read_page()
    assert all(name in page.text for name in [*CLASSES, "a|b/<i>.png"])
    lines = CARD.read_text("utf-8").splitlines()
    assert [line for line in lines if line.startswith(r"| \<script\>ape\</script\> |")]
    assert [line for line in lines if line.startswith(r"| bée \| \*co\* |")]


def test_numbers_are_those_of_the_stages(reported: tuple[Path, str]):
    page, card = read_page(), CARD.read_text("utf-8")
    with Path("results/evaluate/measures.csv").open() as file:
        measures = {row["measure"]: row for row in csv.DictReader(file)}
    value, low, high = (float(measures["accuracy"][key]) for key in ("value", "low", "high"))
    assert f"accuracy{value:.4f}{low:.4f} to {high:.4f}" in page.text
    assert f"| accuracy | {value:.4f} | {low:.4f} to {high:.4f} |" in card
    coverage, accuracy = (
        float(measures[key]["value"]) for key in ("coverage", "answered_accuracy")
    )
    answered = f"{coverage:.1%} of the test images are answered"
    assert f"{answered}, {accuracy:.1%} of them correctly" in page.text
    assert "7 epochs; epoch 5 was kept" in page.text


def test_page_says_how_many_classes_have_a_sample(reported: tuple[Path, str]):
    assert "as they are stored." in read_page().text
    path = Path("results/split/metrics.json")
    write(str(path), json.dumps(json.loads(path.read_bytes()) | {"classes": 60}))
    report.main()
    assert "as they are stored; 48 of 60 classes are shown." in read_page().text


def test_logistic_regression_is_told_by_its_strengths(reported: tuple[Path, str]):
    path = Path("results/train/metrics.json")
    write(str(path), json.dumps(json.loads(path.read_bytes()) | {"epochs": 4, "l2": 0.01}))
    report.main()
    told = "3 strengths of the L2 penalty were tried; 0.01 was kept"
    assert told in read_page().text
    assert told in CARD.read_text("utf-8")


@pytest.mark.parametrize(
    ("views", "told"),
    [
        ([], "One training image, as validated and as the head was trained on it."),
        (["flip"], "One training image as validated, and its views on which the head was trained."),
        (8, "One training image as validated, and its augmentations."),
    ],
)
def test_caption_says_what_a_frozen_backbone_saw_of_an_image(
    views: list[str] | int, told: str, reported: tuple[Path, str]
):
    run = load_run()
    run.bundle["params"] |= {"feature_views": views}
    run.bundle["params"]["model"] |= {"freeze": "backbone"}
    captions = [part.caption for part in training_section(run).parts if isinstance(part, Figure)]
    assert told in captions


def test_both_say_what_the_stage_said_of_test_time_augmentation(reported: tuple[Path, str]):
    assert reported[1] in read_page().text
    plain = re.sub(r"\\(.)", r"\1", CARD.read_text("utf-8"))
    assert reported[1] in plain


def test_a_second_run_gives_the_same_bytes_without_a_path_of_this_machine(
    reported: tuple[Path, str],
):
    first = PAGE.read_bytes(), CARD.read_bytes()
    report.main()
    assert (PAGE.read_bytes(), CARD.read_bytes()) == first
    for content in first:
        assert b"photos.zip" in content
        assert str(reported[0].parent).encode() not in content


def test_card_names_the_data_the_files_and_the_classes_with_few_images(
    reported: tuple[Path, str],
):
    card = CARD.read_text("utf-8")
    assert "ab" * 32 in card
    for name in ("model.json", "model.safetensors", "tta.json", "export/model.onnx"):
        content = (Path("models") / name).read_bytes()
        line = f"| `{name}` | {len(content):,} | {hashlib.sha256(content).hexdigest()} |"
        assert line in card.splitlines()
    assert "fewer than 30 test images" in card
    assert re.search(r"\| torch \| \d+\.\d+\.\d+ \|", card)
    for table in re.findall(r"(?:^\|.*\n)+", card, flags=re.M):
        columns = {len(re.split(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(columns) == 1


def test_one_image_and_one_class_are_told_in_the_singular(reported: tuple[Path, str]):
    sizes, classes = Path("results/split/metrics.json"), Path("results/evaluate/per_class.csv")
    write(str(sizes), json.dumps(json.loads(sizes.read_bytes()) | {"val": 1, "test": 1}))
    table = pd.read_csv(classes, dtype=str, keep_default_na=False)
    write(str(classes), table.assign(test=["1", *["30"] * (len(table) - 1)]).to_csv(index=False))
    report.main()
    card = CARD.read_text("utf-8")
    assert "On the 1 image of the test split" in card
    assert "calibrated on 1 validation image (" in card
    assert "This class has fewer than 30 test images, so its figures are uncertain" in card
    assert "Measured on 1 test image of" in read_page().text


def test_card_says_that_other_images_were_not_measured_only_where_that_is_so(
    reported: tuple[Path, str],
):
    said, path = "on images that show none of its classes", Path("results/evaluate/outside.csv")
    columns = path.read_text("utf-8").splitlines()[0]
    row = "foreign images,9,0.9,0.5,0.1,0.8,0.3,has not seen them"
    write(str(path), f"{columns}\n{row}\n")
    report.main()
    assert said not in CARD.read_text("utf-8")
    write(str(path), f"{columns}\n")
    report.main()
    assert said in CARD.read_text("utf-8")


def test_card_and_page_leave_out_knobs_that_the_optimizer_does_not_read(
    reported: tuple[Path, str],
) -> None:
    described = json.loads(Path("models/model.json").read_bytes())
    described["params"]["optimizer"] |= {"name": "adamw", "momentum": 0.875}
    change_model(described)
    report.main()
    assert "0.875" not in CARD.read_text("utf-8")
    assert "0.875" not in read_page().text


def test_card_says_whether_training_images_travel(reported: tuple[Path, str]):
    said, sheet = "Training images travel with it", Path("models/export/similar.jpg")
    assert said not in CARD.read_text("utf-8")
    sheet.write_bytes(b"")
    report.main()
    with_them = CARD.read_text("utf-8")
    sheet.unlink()
    report.main()
    assert said in with_them
    assert said not in CARD.read_text("utf-8")


def test_card_says_whether_the_run_went_on_with_batches_divided_otherwise(
    reported: tuple[Path, str],
):
    said, path = "went on with batches divided otherwise", Path("models/model.json")
    assert said not in CARD.read_text("utf-8")
    divisions = [[1, 1, 2], [1, 4, 2]]
    change_model(json.loads(path.read_bytes()) | {"divisions": divisions})
    report.main()
    assert f"{said} (processes x " in CARD.read_text("utf-8")
    assert "threads: 1 x 1 x 2, then 1 x 4 x 2)" in CARD.read_text("utf-8")


def test_stage_reads_exactly_what_dvc_yaml_says(reported: tuple[Path, str]):
    with opened_below(reported[0]) as seen:
        report.main()
    declared = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))["stages"]["report"]
    data = {dep for dep in declared["deps"] if dep.startswith(("data/", "models/", "results/"))}
    temporary = {path for path in seen if path.endswith(".tmp")}
    drawn = {path for path in seen if path.startswith("results/report/")}
    read = seen - temporary - drawn
    declaring = {path: [dep for dep in data if f"{path}/".startswith(f"{dep}/")] for path in read}
    assert {path for path, deps in declaring.items() if not deps} == set()
    assert {dep for deps in declaring.values() for dep in deps} == data
    assert declared["outs"] == [CARD.as_posix(), PAGE.as_posix()]
    assert drawn - temporary <= {name for plot in declared["plots"] for name in plot}
