import json
import math
from pathlib import Path

import pandas as pd
import pytest
import torch
from builders.evaluations import RESULTS, measures, read_csv
from builders.projects import CLASSES, CROP, make_project, write_evaluation_params, write_manifest
from builders.projects import EVALUATE as PARAMS
from builders.tiny import contents

from classifier.core.config import load_section
from classifier.core.errors import UserError
from classifier.data.dataset import load_dataset
from classifier.evaluation.evaluate import PAIRS_PRINTED
from classifier.evaluation.params import EvaluateParams
from classifier.models.bundle import load_bundle
from classifier.processing.images import center_crop
from classifier.processing.softmax import probabilities
from stages import evaluate


def test_the_stage_writes_its_files_and_flat_metrics(results: str):
    assert sorted(path.name for path in RESULTS.iterdir()) == [
        "confident_mistakes.png",
        "confused_pairs.csv",
        "confusion_matrix.png",
        "costs.csv",
        "coverage.csv",
        "coverage.png",
        "feature_map.csv",
        "least_confident_correct.png",
        "measures.csv",
        "metrics.json",
        "outside.csv",
        "per_class.csv",
        "per_class.png",
        "prediction_sets.csv",
        "predictions.csv",
        "reliability.png",
        "slices.csv",
        "timing.json",
    ]
    metrics = json.loads((RESULTS / "metrics.json").read_text())
    assert list(metrics) == ["accuracy", "macro_f1", "ece", "worst_slice"]
    assert 0.3 < metrics["accuracy"] < measures()["value"]["top3_accuracy"] < 1
    assert json.loads((RESULTS / "timing.json").read_text())["images_per_second"] > 0


def test_predictions_are_the_models_own_on_the_centre_of_each_test_image(results: str):
    dataset, bundle = load_dataset(Path("data/split")), load_bundle()
    rows = dataset.rows("test")
    with torch.no_grad():
        images = center_crop(dataset.images[rows], CROP)
        given = probabilities(bundle.model(torch.from_numpy(images.copy())).numpy(), 1.5)
    table = read_csv("predictions.csv")
    assert table["path"].tolist() == dataset.manifest["path"].to_numpy()[rows].tolist()
    assert table["predicted"].tolist() == [CLASSES[label] for label in given.argmax(axis=1)]
    assert table["confidence"].to_numpy() == pytest.approx(given.max(axis=1), abs=1e-5)


def test_the_files_agree_with_each_other(results: str):
    metrics = json.loads((RESULTS / "metrics.json").read_text())
    predictions, classes = read_csv("predictions.csv"), read_csv("per_class.csv")
    assert (predictions["actual"] == predictions["predicted"]).mean() == pytest.approx(
        metrics["accuracy"], abs=1e-6
    )
    assert classes["recall"].mean() == pytest.approx(
        measures()["value"]["balanced_accuracy"], abs=1e-6
    )
    assert classes["f1"].mean() == pytest.approx(metrics["macro_f1"], abs=1e-6)
    assert classes["class"].tolist() == CLASSES
    assert classes["test"].sum() == len(predictions)
    pairs = read_csv("confused_pairs.csv")
    assert len(pairs) == PARAMS["confused_pairs"]
    first = pairs.iloc[0]
    taken = (predictions["actual"] == first["actual"]) & (
        predictions["predicted"] == first["predicted"]
    )
    assert taken.sum() == first["count"] == pairs["count"].max()


def test_a_run_elsewhere_writes_the_same_bytes(project: Path, evaluated: tuple[Path, str]):
    evaluate.main()
    first = contents(evaluated[0] / RESULTS, without="timing.json")
    assert contents(RESULTS, without="timing.json") == first


def test_measures_have_all_of_the_metrics_and_the_intervals(results: str):
    metrics, table = json.loads((RESULTS / "metrics.json").read_text()), measures()
    assert table.loc[list(metrics), "value"].tolist() == list(metrics.values())
    for name in ("accuracy", "macro_f1", "balanced_accuracy"):
        low, value, high = (float(table[column][name]) for column in ("low", "value", "high"))
        assert 0 < low < value < high < 1
    assert math.isnan(table["low"]["log_loss"])
    assert math.isnan(table["high"]["log_loss"])


def test_what_was_before_calibration_is_measured_at_temperature_1(
    project: Path, evaluated: tuple[Path, str]
):
    before = pd.read_csv(evaluated[0] / RESULTS / "measures.csv", index_col="measure")["value"]
    path = Path("models/model.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"temperature": 1.0}))
    evaluate.main()
    after = measures()["value"]
    for name in ("log_loss", "ece"):
        assert after[name] == after[f"{name}_uncalibrated"] == before[f"{name}_uncalibrated"]
        assert before[name] != before[f"{name}_uncalibrated"]


def test_accuracy_with_its_interval_and_the_most_confused_pairs_are_printed(results: str):
    first, second, *others = results.splitlines()
    table, images = measures(), len(read_csv("predictions.csv"))
    value, low, high = table.loc["accuracy"]
    assert first.startswith(
        f"accuracy {value:.4f} on {images} test images (95% {low:.4f} to {high:.4f}), macro F1"
    )
    before, after = table.loc[["ece_uncalibrated", "ece"], "value"]
    assert second.startswith(
        f"temperature scaling: ECE from {before:.4f} to {after:.4f}, log loss from"
    )
    worst = read_csv("confused_pairs.csv").iloc[0]
    assert len(others) == PAIRS_PRINTED + 1
    assert others[-1].startswith("lowest accuracy of ")
    assert f"{worst['actual']} taken for {worst['predicted']}: {worst['count']} of its" in others[0]


def test_column_that_makes_no_slice_is_named(project: Path, capsys: pytest.CaptureFixture[str]):
    write_evaluation_params(evaluate={"slices": ["width"]})
    evaluate.main()
    told = "columns of evaluate.slices that make no slice: width (all test images have the same"
    assert told in capsys.readouterr().out


@pytest.mark.parametrize(("classes", "tops"), [(3, []), (6, [3, 5])], ids=str)
def test_top_accuracies_are_given_where_there_are_more_classes(
    classes, tops, tmp_path, monkeypatch
):
    make_project(tmp_path, [f"class {i}" for i in range(classes)], per_class=12)
    monkeypatch.chdir(tmp_path)
    write_evaluation_params()
    evaluate.main()
    assert [name for name in measures().index if name.startswith("top")] == [
        f"top{best}_accuracy" for best in tops
    ]


def test_data_of_other_classes_than_the_models_stop_the_stage(project: Path):
    Path("data/split/classes.json").write_text(json.dumps(CLASSES[::-1]), "utf-8")
    with pytest.raises(UserError, match="run the train stage again"):
        evaluate.main()
    assert not RESULTS.exists()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"batch_size": 0}, r"evaluate\.batch_size is 0: .*greater than or equal to 1"),
        ({"calibration_bins": 2.5}, r"evaluate\.calibration_bins is 2\.5"),
        ({"reject_below": 1.2}, r"evaluate\.reject_below is 1\.2: .*less than or equal to 1"),
        ({"confused_pairs": -1}, r"evaluate\.confused_pairs is -1"),
        ({"pairs": 3}, r"evaluate\.pairs is unknown"),
    ],
)
def test_wrong_params_are_refused_by_name(project, changes, sentence):
    write_evaluation_params(evaluate=changes)
    with pytest.raises(UserError, match=sentence):
        load_section("evaluate", EvaluateParams)


def test_few_groups_of_many_test_images_are_told(project: Path, capsys: pytest.CaptureFixture[str]):
    manifest = pd.read_csv("data/split/manifest.csv")
    tests = manifest.index[manifest["split"] == "test"]
    manifest.loc[tests[:6], "group"] = 1
    manifest.loc[tests[6:9], "group"] = 2
    write_manifest(project, manifest)
    evaluate.main()
    groups = len(tests) - 9 + 2
    assert measures()["value"]["groups_per_image"] == pytest.approx(groups / len(tests), abs=1e-6)
    assert f"the test images are of {groups} groups, but count as" in capsys.readouterr().out


def test_accuracy_without_leaks_leaves_out_images_with_duplicates_in_training(
    project: Path, capsys: pytest.CaptureFixture[str]
):
    manifest = pd.read_csv("data/split/manifest.csv")
    tests = manifest.index[manifest["split"] == "test"]
    # A group of two test images is no leak; one with a training image is.
    manifest.loc[tests[:2], "group"] = 1
    manifest.loc[[*tests[2:9], manifest.index[manifest["split"] == "train"][0]], "group"] = 2
    write_manifest(project, manifest)
    evaluate.main()
    predictions = read_csv("predictions.csv")
    rest = predictions.drop(range(2, 9))
    value = measures()["value"]
    right = (rest["actual"] == rest["predicted"]).mean()
    assert value["accuracy_without_leaks"] == pytest.approx(right, abs=1e-6)
    assert value["leaked_share"] == pytest.approx(7 / len(predictions), abs=1e-6)
    assert (
        "of the test images that have a duplicate or their group in training"
        in capsys.readouterr().out
    )


def test_class_without_test_images_is_left_out_of_the_measures_and_named(
    project: Path, capsys: pytest.CaptureFixture[str]
):
    manifest = pd.read_csv("data/split/manifest.csv", dtype={"class": str})
    manifest.loc[(manifest["class"] == "7") & (manifest["split"] != "train"), "split"] = "train"
    write_manifest(project, manifest)
    evaluate.main()
    classes = read_csv("per_class.csv").set_index("class")
    absent = classes[classes.index == "7"]
    filled = absent.columns[absent.notna().all()]
    assert filled.tolist() == ["train", "val", "test"]
    assert absent["test"].tolist() == [0]
    assert measures()["value"]["macro_f1"] == pytest.approx(classes["f1"].mean(), abs=1e-6)
    interval = measures()
    assert (interval["low"] < interval["value"])["macro_f1"]
    assert (interval["value"] < interval["high"])["macro_f1"]
    recalls = classes["recall"].drop("7").mean()
    assert measures()["value"]["balanced_accuracy"] == pytest.approx(recalls, abs=1e-6)
    assert "no test images of 7: their measures are left out" in capsys.readouterr().out
