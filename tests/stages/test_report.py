import csv
import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from builders.projects import EVALUATE, TTA, make_project
from builders.reports import Page, opened_below, write, write_the_rest
from builders.splits import LIMITS
from builders.tiny import tiny_result

from classifier.core.errors import UserError
from classifier.data.dataset import load_dataset
from classifier.processing.made_for import model_digest
from classifier.report.input_sections import training_section
from classifier.report.parts import Figure
from classifier.report.run_results import load_run
from classifier.sources.tables import FILES, SeenFile, write_files
from classifier.splitting.files_account import write_account
from classifier.splitting.params import CheckParams
from classifier.splitting.results import write_results
from stages import evaluate, report, tta_evaluate

ROOT = Path(__file__).parents[2]
CLASSES = ["<script>ape</script>", "bée | *co*", "`Cat`"]
PAGE, CARD = Path("results/report.html"), Path("models/MODEL_CARD.md")
# Files that name the model that they are of, and the stage that writes each.
OF_THE_MODEL = {
    "models/decision.json": "evaluate",
    "models/tta.json": "tta_evaluate",
    "models/export/decision.json": "export",
    "models/export/tta.json": "export",
}


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with all that the stage reads and writes, and the verdict of tta_evaluate."""
    folder = tmp_path_factory.mktemp("project")
    make_project(folder, CLASSES, per_class=40)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("CLASSIFIER_CACHE", str(folder / "cache"))
        sections = {"evaluate": EVALUATE | {"reject_below": 0.5}, "tta_evaluate": TTA}
        Path("params.yaml").write_text(yaml.safe_dump(sections), "utf-8")
        problems = [("a|b/<i>.png", "it is damaged & cut short")]
        dataset = load_dataset(Path("data/split"))
        result = tiny_result(len(dataset.images), problems)
        limits = CheckParams.model_validate(LIMITS)
        write_results(Path("results/split"), dataset, result, limits)
        seen = [SeenFile(path, 1, "image") for path in dataset.manifest["path"]]
        write_files(folder / FILES, [*seen, SeenFile("~.txt", 1, "no image")])
        write_account(Path("results/split/files.csv"), folder, dataset, result)
        evaluate.main()
        write_the_rest(folder)
        said: list[str] = []
        patch.setattr(tta_evaluate, "print", said.append, raising=False)
        tta_evaluate.main()
        write("models/export/tta.json", Path("models/tta.json").read_bytes())
        report.main()
    lines = [line for text in said for line in text.splitlines()]
    return folder, next(line for line in lines if line.startswith("Test-time"))


@pytest.fixture
def project(
    ran: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, str]:
    """A copy of it, the current folder, and the verdict."""
    folder = shutil.copytree(ran[0], tmp_path / "copy")
    monkeypatch.chdir(folder)
    return folder, ran[1]


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


def test_page_is_whole_and_needs_nothing_from_outside(project: tuple[Path, str]):
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


def test_images_have_descriptions_and_tables_have_headings(project: tuple[Path, str]):
    page = read_page()
    assert page.every("html") == [{"lang": "en"}]
    assert all(len(str(image["alt"])) > 30 for image in page.every("img"))
    assert len(page.every("table")) == len(page.every("caption")) >= 7
    assert {cell["scope"] for cell in page.every("th")} == {"col", "row"}
    assert "prefers-color-scheme: dark" in PAGE.read_text("utf-8")


def test_names_from_outside_are_text(project: tuple[Path, str]):
    page = read_page()
    assert all(name in page.text for name in [*CLASSES, "a|b/<i>.png"])
    lines = CARD.read_text("utf-8").splitlines()
    assert [line for line in lines if line.startswith(r"| \<script\>ape\</script\> |")]
    assert [line for line in lines if line.startswith(r"| bée \| \*co\* |")]


def test_numbers_are_those_of_the_stages(project: tuple[Path, str]):
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


def test_page_says_how_many_classes_have_a_sample(project: tuple[Path, str]):
    assert "as they are stored." in read_page().text
    path = Path("results/split/metrics.json")
    write(str(path), json.dumps(json.loads(path.read_bytes()) | {"classes": 60}))
    report.main()
    assert "as they are stored; 48 of 60 classes are shown." in read_page().text


def test_logistic_regression_is_told_by_its_strengths(project: tuple[Path, str]):
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
    views: list[str] | int, told: str, project: tuple[Path, str]
):
    run = load_run()
    run.bundle["params"] |= {"feature_views": views}
    run.bundle["params"]["model"] |= {"freeze": "backbone"}
    captions = [part.caption for part in training_section(run).parts if isinstance(part, Figure)]
    assert told in captions


def test_both_say_what_the_stage_said_of_test_time_augmentation(project: tuple[Path, str]):
    assert project[1] in read_page().text
    plain = re.sub(r"\\(.)", r"\1", CARD.read_text("utf-8"))
    assert project[1] in plain


def test_a_second_run_gives_the_same_bytes_without_a_path_of_this_machine(
    project: tuple[Path, str],
):
    first = PAGE.read_bytes(), CARD.read_bytes()
    report.main()
    assert (PAGE.read_bytes(), CARD.read_bytes()) == first
    for content in first:
        assert b"photos.zip" in content
        assert str(project[0].parent).encode() not in content


def test_card_names_the_data_the_files_and_the_classes_with_few_images(
    project: tuple[Path, str],
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


def test_one_image_and_one_class_are_told_in_the_singular(project: tuple[Path, str]):
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
    project: tuple[Path, str],
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
    project: tuple[Path, str],
) -> None:
    described = json.loads(Path("models/model.json").read_bytes())
    described["params"]["optimizer"] |= {"name": "adamw", "momentum": 0.875}
    change_model(described)
    report.main()
    assert "0.875" not in CARD.read_text("utf-8")
    assert "0.875" not in read_page().text


def test_card_says_whether_training_images_travel(project: tuple[Path, str]):
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
    project: tuple[Path, str],
):
    said, path = "went on with batches divided otherwise", Path("models/model.json")
    assert said not in CARD.read_text("utf-8")
    divisions = [[1, 1, 2], [1, 4, 2]]
    change_model(json.loads(path.read_bytes()) | {"divisions": divisions})
    report.main()
    assert f"{said} (processes x " in CARD.read_text("utf-8")
    assert "threads: 1 x 1 x 2, then 1 x 4 x 2)" in CARD.read_text("utf-8")


def test_stage_reads_exactly_what_dvc_yaml_says(project: tuple[Path, str]):
    with opened_below(project[0]) as seen:
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


@pytest.mark.parametrize("part", [0.0, 0.5])
@pytest.mark.parametrize(
    "damaged",
    [
        "data/split/duplicate_images.npy",
        "models/tta.json",
        "results/evaluate/measures.csv",
        "results/train/augmentations.npy",
        "results/train/metrics.json",
    ],
)
def test_damaged_file_is_named(damaged: str, part: float, project: tuple[Path, str]):
    path = Path(damaged)
    content = path.read_bytes()
    path.unlink()
    write(damaged, content[: int(part * len(content))])
    with pytest.raises(UserError, match=rf"{damaged} is damaged \(.+\): `dvc repro` runs the "):
        report.main()


@pytest.mark.parametrize("missing", ["models/export/decision.json", "models/outside.safetensors"])
def test_missing_part_of_the_model_is_reported(missing: str, project: tuple[Path, str]):
    Path(missing).unlink()
    with pytest.raises(UserError, match=f"{missing} is missing: `dvc repro` runs the stage"):
        report.main()


@pytest.mark.parametrize(("path", "stage"), OF_THE_MODEL.items())
def test_results_of_another_model_are_refused(path: str, stage: str, project: tuple[Path, str]):
    card = CARD.read_bytes()
    content = json.loads(Path(path).read_bytes()) | {"model": "0" * 64}
    write(path, json.dumps(content))
    with pytest.raises(UserError, match=f"{path} was made for another model .* the {stage} stage"):
        report.main()
    assert card == CARD.read_bytes()


@pytest.mark.parametrize("name", ["decision.json", "tta.json"])
def test_export_with_other_rules_of_the_same_model_is_refused(name: str, project: tuple[Path, str]):
    path = Path("models", name)
    write(str(path), path.read_bytes().replace(b"}", b" }"))
    said = f"models/export was made from another {name} than models/{name}: run the export stage"
    with pytest.raises(UserError, match=said):
        report.main()


def test_data_that_were_split_again_are_refused(project: tuple[Path, str]):
    path = Path("data/split/manifest.csv")
    path.write_bytes(path.read_bytes().replace(b",val,", b",train,", 1))
    card, samples = CARD.read_bytes(), Path("results/report/samples.png").read_bytes()
    with pytest.raises(UserError, match="trained on other images, or on another split of them"):
        report.main()
    assert (CARD.read_bytes(), Path("results/report/samples.png").read_bytes()) == (card, samples)


def test_missing_file_is_reported(project: tuple[Path, str]):
    PAGE.unlink()
    Path("results/evaluate/measures.csv").unlink()
    with pytest.raises(UserError, match=r"results/evaluate/measures\.csv is missing: `dvc repro`"):
        report.main()
    assert not PAGE.exists()
