"""What the report stage refuses: damaged or missing files, and results of different runs."""

import json
from pathlib import Path

import pytest
from builders.reported import CARD, OF_THE_MODEL, PAGE
from builders.reports import write

from classifier.core.errors import UserError
from stages import report


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
def test_damaged_file_is_named(damaged: str, part: float, reported: tuple[Path, str]):
    path = Path(damaged)
    content = path.read_bytes()
    path.unlink()
    write(damaged, content[: int(part * len(content))])
    with pytest.raises(UserError, match=rf"{damaged} is damaged \(.+\): `dvc repro` runs the "):
        report.main()


@pytest.mark.parametrize("missing", ["models/export/decision.json", "models/outside.safetensors"])
def test_missing_part_of_the_model_is_reported(missing: str, reported: tuple[Path, str]):
    Path(missing).unlink()
    with pytest.raises(UserError, match=f"{missing} is missing: `dvc repro` runs the stage"):
        report.main()


@pytest.mark.parametrize(("path", "stage"), OF_THE_MODEL.items())
def test_results_of_another_model_are_refused(path: str, stage: str, reported: tuple[Path, str]):
    card = CARD.read_bytes()
    content = json.loads(Path(path).read_bytes()) | {"model": "0" * 64}
    write(path, json.dumps(content))
    with pytest.raises(UserError, match=f"{path} was made for another model .* the {stage} stage"):
        report.main()
    assert card == CARD.read_bytes()


@pytest.mark.parametrize("name", ["decision.json", "tta.json"])
def test_export_with_other_rules_of_the_same_model_is_refused(
    name: str, reported: tuple[Path, str]
):
    path = Path("models", name)
    write(str(path), path.read_bytes().replace(b"}", b" }"))
    said = f"models/export was made from another {name} than models/{name}: run the export stage"
    with pytest.raises(UserError, match=said):
        report.main()


def test_data_that_were_split_again_are_refused(reported: tuple[Path, str]):
    path = Path("data/split/manifest.csv")
    path.write_bytes(path.read_bytes().replace(b",val,", b",train,", 1))
    card, samples = CARD.read_bytes(), Path("results/report/samples.png").read_bytes()
    with pytest.raises(UserError, match="trained on other images, or on another split of them"):
        report.main()
    assert (CARD.read_bytes(), Path("results/report/samples.png").read_bytes()) == (card, samples)


def test_missing_file_is_reported(reported: tuple[Path, str]):
    PAGE.unlink()
    Path("results/evaluate/measures.csv").unlink()
    with pytest.raises(UserError, match=r"results/evaluate/measures\.csv is missing: `dvc repro`"):
        report.main()
    assert not PAGE.exists()
