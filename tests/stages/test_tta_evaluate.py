import json
from pathlib import Path
from typing import get_args

import pandas as pd
import pytest
from builders.projects import (
    AUGMENT,
    CLASSES,
    CROP,
    SIZE,
    make_project,
    save_model,
    write_evaluation_params,
    write_manifest,
)
from builders.projects import TTA as PARAMS
from builders.tiny import contents, tiny_params

from classifier.core.config import load_section
from classifier.core.errors import UserError
from classifier.data.dataset import load_dataset
from classifier.evaluation.params import TtaParams
from classifier.models.bundle import load_bundle
from classifier.models.prediction import predict_logits
from classifier.processing.made_for import model_digest
from classifier.processing.softmax import Merge, probabilities
from classifier.processing.views import named_view
from stages import evaluate, tta_evaluate

RESULTS = Path("results/tta_evaluate")
NO_AUGMENTATION = {"flip": 0.0, "crop_padding": None}


def run(**changes: object) -> dict[str, float]:
    """The metrics of the stage with these changes to its params."""
    write_evaluation_params(tta_evaluate=changes)
    tta_evaluate.main()
    return json.loads((RESULTS / "metrics.json").read_text())


def run_evaluate() -> Path:
    evaluate.main()
    return Path("results/evaluate")


def test_the_stage_writes_its_files_and_flat_metrics(project: Path):
    assert list(run()) == ["tta_accuracy"]
    assert sorted(path.name for path in RESULTS.iterdir()) == [
        "confusion_matrix.png",
        "metrics.json",
        "per_class.csv",
        "per_class.png",
        "predictions.csv",
        "timing.json",
        "views.csv",
    ]
    timing = json.loads((RESULTS / "timing.json").read_text())
    assert min(timing[f"milliseconds_per_image{which}"] for which in ("", "_before")) > 0


def test_what_was_before_is_what_evaluate_finds(project: Path):
    metrics, plain = run(), run_evaluate()
    accuracy = json.loads((plain / "metrics.json").read_text())["accuracy"]
    assert metrics["tta_accuracy"] - policy_row()["gain"] == pytest.approx(accuracy, abs=2e-6)
    table, old = pd.read_csv(RESULTS / "per_class.csv"), pd.read_csv(plain / "per_class.csv")
    assert table["before"].tolist() == old["recall"].tolist()


def test_corrected_and_regressed_images_are_counted_by_class(project: Path):
    run()
    plain, result = run_evaluate(), policy_row()
    old, new = (pd.read_csv(path / "predictions.csv") for path in (plain, RESULTS))
    was, now = old["actual"] == old["predicted"], new["actual"] == new["predicted"]
    assert result["corrected"] == (~was & now).sum() > 0
    assert result["regressed"] == (was & ~now).sum() > 0
    table = pd.read_csv(RESULTS / "per_class.csv")
    assert table["corrected"].sum() == result["corrected"]
    assert table["regressed"].sum() == result["regressed"]
    change = (table["after"] - table["before"]) * table["test"]
    assert change.tolist() == pytest.approx(
        (table["corrected"] - table["regressed"]).tolist(), abs=1e-3
    )
    assert table["after"].tolist() == table["recall"].tolist()


def test_the_centre_alone_changes_nothing(project: Path):
    run(views=["identity"], random_views=0)
    plain, result = run_evaluate(), policy_row()
    assert (result["gain"], result["corrected"], result["regressed"]) == (0, 0, 0)
    for name in ("predictions.csv", "confusion_matrix.png"):
        assert (RESULTS / name).read_bytes() == (plain / name).read_bytes()


@pytest.mark.parametrize("names", [["identity", "flip"], ["flip", "shift_up_1"], ["five_crop"]])
def test_the_named_views_and_no_others_are_averaged(project, names):
    run(views=names, random_views=0)
    dataset, bundle = load_dataset(Path("data/split")), load_bundle()
    expanded = TtaParams(**(PARAMS | {"views": names})).views
    views = [named_view(name, SIZE, CROP) for name in expanded]
    logits = predict_logits(
        bundle.model, dataset.images, dataset.rows("test"), views, batch_size=64
    )
    expected = probabilities(logits, 1.5).mean(axis=0).max(axis=1)
    table = pd.read_csv(RESULTS / "predictions.csv")
    assert table["confidence"].to_numpy() == pytest.approx(expected, abs=1e-5)


def test_random_views_depend_on_the_seed_and_on_nothing_else(project: Path):
    def predictions(**changes: object) -> bytes:
        run(views=[], random_views=2, **changes)
        return (RESULTS / "predictions.csv").read_bytes()

    first = predictions()
    assert predictions() == first
    assert predictions(seed=4) != first


def test_the_merge_changes_the_probabilities(project: Path):
    run()
    first = (RESULTS / "predictions.csv").read_bytes()
    run(merge="log_probabilities")
    assert (RESULTS / "predictions.csv").read_bytes() != first


def test_the_verdict_is_printed_in_one_sentence(project, capsys):
    metrics = run(views=["flip", "shift_up_1"], random_views=0)
    line, cost = capsys.readouterr().out.splitlines()
    result = policy_row()
    worth = "is worth it" if result["low"] > 0 else "is not worth it"
    if result["low"] <= 0 <= result["high"]:
        worth = "has no certain gain"
    assert line.startswith(f"Test-time augmentation {worth} here: accuracy from ")
    counts = f"(corrected: {result['corrected']}, regressed: {result['regressed']})"
    assert f"to {metrics['tta_accuracy']:.4f} {counts}, a gain of" in line
    assert (
        f"(95% interval {result['low']:+.4f} to {result['high']:+.4f}, "
        f"McNemar p = {policy_row()['p_value']:.2g})" in line
    )
    assert line.endswith("for 2 times the work (flip, shift_up_1).")
    timing = json.loads((RESULTS / "timing.json").read_text())
    assert f"{timing['milliseconds_per_image']:.3f} with these views" in cost


def views_table() -> pd.DataFrame:
    return pd.read_csv(RESULTS / "views.csv").set_index(["set", "merge"])


def policy_row(chosen: str = "configured", merge: Merge = "probabilities") -> dict:
    """The row of views.csv for one TTA policy."""
    table = pd.read_csv(RESULTS / "views.csv")
    (row,) = table[(table["set"] == chosen) & (table["merge"] == merge)].to_dict("records")
    return row


def choice() -> dict:
    content = json.loads(Path("models/tta.json").read_text())
    assert content.pop("model") == model_digest(Path("models"))
    return content


def test_both_ways_to_merge_are_compared(project: Path):
    metrics, table = run(), views_table()
    assert list(table.index) == [("configured", merge) for merge in get_args(Merge)]
    row = policy_row()
    assert row["policy"] == "configured, mean of probabilities"
    assert row["accuracy"] == metrics["tta_accuracy"]
    other = policy_row(merge="log_probabilities")
    assert other["log_loss"] != row["log_loss"]
    assert other["accuracy"] == run(merge="log_probabilities")["tta_accuracy"]


def test_the_search_finds_views_that_take_the_place_of_the_configured_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    # With few validation images, and with a model that doubts enough, no view would surely gain.
    make_project(tmp_path, CLASSES, per_class=300)
    monkeypatch.chdir(tmp_path)
    path = Path("models/model.json")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"temperature": 0.3}))
    metrics, table = run(search="greedy", random_views=0), views_table()
    assert list(dict.fromkeys(name for name, _ in table.index)) == ["greedy"]
    names = str(table["names"]["greedy", "probabilities"]).split()
    assert names[0] == "identity"
    assert 1 < len(names) <= PARAMS["max_views"]
    assert choice() == {"views": names, "merge": "probabilities"}
    assert table["accuracy"]["greedy", "probabilities"] == metrics["tta_accuracy"]
    assert run(views=names, random_views=0) == metrics


def test_the_search_does_not_see_the_test_split(project: Path):
    run(search="greedy", random_views=0)
    before = choice()
    manifest = pd.read_csv("data/split/manifest.csv", dtype={"class": str})
    test = manifest["split"] == "test"
    manifest.loc[test, "label"] = manifest.loc[test, "label"].to_numpy()[::-1]
    write_manifest(project, manifest)
    run(search="greedy", random_views=0)
    assert choice() == before


def test_views_for_serving_are_the_named_ones(project: Path, capsys):
    run(random_views=0, merge="log_probabilities")
    assert choice() == {"views": PARAMS["views"], "merge": "log_probabilities"}
    assert "cannot be served" not in capsys.readouterr().out
    run()
    assert choice() == {"views": ["identity"], "merge": "probabilities"}
    assert "random views cannot be served" in capsys.readouterr().out


def test_a_second_run_writes_the_same_bytes(project: Path):
    def written() -> dict[str, bytes]:
        run(search="greedy", random_views=0)
        return {**contents(RESULTS, without="timing.json"), **contents(Path("models"))}

    first = written()
    assert written() == first


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"views": ["mirror"]}, r"tta_evaluate\.views: view 'mirror' is unknown; views are"),
        ({"views": ["flip", "flip"]}, r"tta_evaluate\.views: 'flip' appears twice"),
        ({"views": [], "random_views": 0}, r"tta_evaluate: views is empty and random_views is 0"),
        ({"random_views": -1}, r"tta_evaluate\.random_views is -1"),
        ({"merge": "mean"}, r"tta_evaluate\.merge is 'mean'.*'log_probabilities'"),
        ({"search": "off"}, r"tta_evaluate\.search is 'off'.*'greedy'"),
        ({"search": "greedy", "candidates": []}, r"tta_evaluate: search is greedy and candidates"),
        (
            {"search": "greedy", "random_views": 2},
            r"random_views is 2, but search is greedy.*set random_views: 0, or search: none",
        ),
        ({"candidates": ["mirror"]}, r"tta_evaluate\.candidates: view 'mirror' is unknown"),
        ({"max_views": 1}, r"tta_evaluate\.max_views is 1"),
        ({"n": 5}, r"tta_evaluate\.n is unknown"),
    ],
)
def test_wrong_params_are_refused_by_name(project, changes, sentence):
    write_evaluation_params(tta_evaluate=changes)
    with pytest.raises(UserError, match=sentence):
        load_section("tta_evaluate", TtaParams)


def check_fit(stored_size: int, augment: dict, **changes: object) -> None:
    params, train = TtaParams.model_validate(PARAMS | changes), tiny_params(augment=augment)
    params.check_fit(stored_size=stored_size, input_size=CROP, augment=train.augment)


def test_views_must_fit_the_models_sizes():
    check_fit(SIZE, AUGMENT, views=["five_crop"])
    with pytest.raises(UserError, match=r"tta_evaluate\.views: view 'top_left' would equal"):
        check_fit(CROP, AUGMENT, views=["five_crop"])
    check_fit(CROP, AUGMENT, views=["flip"], candidates=["top_left"])
    with pytest.raises(UserError, match=r"tta_evaluate\.candidates: view 'top_left' would equal"):
        check_fit(
            CROP,
            AUGMENT,
            views=["flip"],
            random_views=0,
            candidates=["top_left"],
            search="greedy",
        )


def test_random_views_need_a_model_that_was_trained_with_augmentation(project: Path):
    check_fit(SIZE, NO_AUGMENTATION, random_views=0)
    save_model(Path("models"), load_dataset(Path("data/split")), NO_AUGMENTATION)
    with pytest.raises(UserError, match=r"tta_evaluate\.random_views is 2, but train\.augment is"):
        run()
