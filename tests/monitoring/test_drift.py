"""Recorded answers against the values of the test split, as `classifier drift` compares them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders.colours import CLASSES, rewrite, write_images, write_models

from classifier.commands.drift import main
from classifier.commands.predict import main as predict
from classifier.core.errors import UserError
from classifier.monitoring.drift import Change, describe_drift, measure_drift
from classifier.monitoring.recorded import ReferenceValues, Values
from classifier.monitoring.two_samples import ShiftTest

IMAGES = 300
Draw = Callable[[np.random.Generator], dict[str, Any]]


def answer(draws: np.random.Generator, shares: tuple[float, ...] = (1 / 3,) * 3) -> dict[str, Any]:
    """An answer as `predict --json` writes it."""
    index = int(draws.choice(3, p=shares))
    top = {"label": CLASSES[index], "index": index, "probability": draws.uniform(0.5, 1)}
    sizes = {"width": int(draws.integers(100, 200)), "height": int(draws.integers(100, 200))}
    measures = {"outside": draws.normal(), "brightness": draws.normal(120, 20)} | sizes
    return {"label": top["label"], "top": [top]} | measures


def darker(draws: np.random.Generator) -> dict[str, Any]:
    given = answer(draws)
    return given | {"brightness": 0.7 * given["brightness"]}


def other_shares(draws: np.random.Generator) -> dict[str, Any]:
    return answer(draws, (0.8, 0.1, 0.1))


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A model whose reference values are those of `answer`."""
    draws = np.random.default_rng(0)
    given = [answer(draws) for _ in range(IMAGES)]
    names = ("outside", "brightness", "width", "height")
    values = {name: sorted(one[name] for one in given) for name in names}
    values["confidence"] = sorted(one["top"][0]["probability"] for one in given)
    counts = np.bincount([one["top"][0]["index"] for one in given]).tolist()
    reference = {
        "classes": CLASSES,
        "images": IMAGES,
        "confusion": np.diag(counts).tolist(),
        "values": values,
    }
    write_models(tmp_path / "models")
    rewrite(tmp_path / "models/export", "reference.json", json.dumps(reference).encode())
    return tmp_path / "models"


Report = Callable[[Draw], str]


@pytest.fixture
def report(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Report:
    """What the command says of such answers."""

    def run(draw: Draw) -> str:
        draws = np.random.default_rng(1)
        lines = [json.dumps(draw(draws)) for _ in range(IMAGES)]
        (tmp_path / "answers.jsonl").write_text("\n".join(lines), "utf-8")
        main([str(tmp_path / "answers.jsonl"), "--models", str(models)])
        return capsys.readouterr().out

    return run


def test_answers_like_those_of_the_test_split_are_no_drift(report: Report) -> None:
    said = report(answer)
    assert "300 answers, compared with 300 test images" in said
    assert (
        "No drift is found: with 300 answers, a change of a distribution by a distance of" in said
    )
    assert "changed" not in said


@pytest.mark.parametrize(
    ("count", "told"),
    [
        (1, "too few answers (1) to notice any change."),
        # Two values beyond all of 300 are seen by chance in less than a comparison of a thousand.
        (2, "with 2 answers, only a nearly complete change of a distribution is noticed."),
    ],
)
def test_few_answers_are_said_to_notice_little(
    count: int, told: str, models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    draws = np.random.default_rng(1)
    lines = [json.dumps(answer(draws)) for _ in range(count)]
    (tmp_path / "few.jsonl").write_text("\n".join(lines), "utf-8")
    main([str(tmp_path / "few.jsonl"), "--models", str(models)])
    said = capsys.readouterr().out
    assert said.startswith(f"{count} answer{'s' * (count > 1)}, compared with 300 test images")
    assert f"No drift is found: {told}" in said


def test_claimed_distance_is_that_of_the_values_and_not_of_all_test_images() -> None:
    draws = np.random.default_rng(0)
    reference = Values({"confidence": draws.uniform(size=1000)}, np.array([50_000, 50_000]))
    values = ReferenceValues(["a", "b"], np.diag([50_000, 50_000]), reference, frozenset())
    answers = Values({"confidence": draws.uniform(size=100_000)}, np.array([50_000, 50_000]))
    assert measure_drift(values, answers).values == (1000, 100_000)


def test_darker_images_are_named_and_nothing_else(report: Report) -> None:
    said = report(darker)
    assert "Drift: images are darker (without a change, this happens less than once in" in said
    assert said.count("Drift:") == 1
    (line,) = [line for line in said.splitlines() if line.startswith("brightness ")]
    before, now = (float(median) for median in line.split()[1:4:2])
    assert 110 < before < 130
    assert now == pytest.approx(0.7 * before, rel=0.05)


def test_other_shares_of_the_classes_are_estimated(report: Report) -> None:
    said = report(other_shares)
    assert "Drift: the model predicts other shares of the classes" in said
    (line,) = [line for line in said.splitlines() if line.startswith("  red: ")]
    assert " of the test split, now 7" in line
    assert "may be wrong" not in said


def test_classes_that_changed_most_are_named_whether_they_grew_or_shrank() -> None:
    before = np.full(9, 1000)
    now = np.array([1000, 1000, 1900, 50, 1800, 1300, 1200, 400, 350])
    names = [f"c{place}" for place in range(9)]
    values = Values({"width": np.ones(9000)}, before)
    reference = ReferenceValues(names, np.diag(before), values, frozenset())
    lines = describe_drift(measure_drift(reference, Values({}, now)), reference)
    named = [line.split(":")[0].strip() for line in lines if " of the test split, now " in line]
    assert named == ["c3", "c2", "c4", "c8", "c7"]
    assert lines[-1] == "  and 2 other classes"
    (grown,) = [line for line in lines if line.startswith("  c2: ")]
    assert grown.startswith("  c2: 11.1% of the test split, now 21.1% (")


def test_shares_are_doubted_where_the_images_have_changed_too(report: Report) -> None:
    said = report(lambda draws: darker(draws) | {"top": other_shares(draws)["top"]})
    assert "these shares may be wrong" in said


def test_digits_that_only_one_side_has_are_no_drift() -> None:
    draws = np.random.default_rng(0)
    # Nearly all confidences of a good model are next to 1, and discrete images share a brightness.
    sure = 1 - 10 ** draws.uniform(-8, -4, IMAGES)
    grey = draws.integers(0, 99, IMAGES) / 7
    counts = np.array([IMAGES, 0, 0])
    exact = Values({"confidence": sure, "brightness": grey}, counts)
    reference = ReferenceValues(CLASSES, np.diag(counts), exact, frozenset())
    noisy = sure + draws.normal(0, 1e-6, IMAGES)
    written = Values({"confidence": noisy.round(4), "brightness": grey.round(2)}, counts)
    assert not [change for change in measure_drift(reference, written).changes if change.found]


@pytest.mark.parametrize(("p_value", "found"), [(0.009, True), (0.011, False)])
def test_change_is_reported_below_one_in_a_hundred(p_value: float, found: bool) -> None:
    assert Change("brightness", ShiftTest(0.1, p_value), 1.0, 2.0).found == found


def test_shares_are_doubted_where_only_the_outside_score_has_changed(report: Report) -> None:
    def stranger(draws: np.random.Generator) -> dict[str, Any]:
        given = other_shares(draws)
        return given | {"outside": given["outside"] + 2}

    assert "these shares may be wrong" in report(stranger)


def test_measure_without_reference_values_is_not_compared() -> None:
    counts, sizes = np.array([20, 20]), np.arange(40.0)
    known = Values({"width": sizes}, counts)
    reference = ReferenceValues(["a", "b"], np.diag(counts), known, frozenset())
    answers = Values({"width": sizes, "outside": sizes}, counts)
    names = [change.name for change in measure_drift(reference, answers).changes]
    assert names == ["width", "classes"]


def test_measure_that_was_not_recorded_is_not_compared(report: Report) -> None:
    said = report(lambda draws: answer(draws) | {"outside": None})
    assert "\noutside" not in said
    assert "\nbrightness" in said
    assert "\nnot compared, since not every answer has a value: outside\n" in said


def test_measure_that_one_answer_lacks_is_named(report: Report) -> None:
    places = iter(range(IMAGES))
    said = report(lambda draws: darker(draws) | ({} if next(places) else {"brightness": None}))
    assert "\nbrightness" not in said
    assert "\nnot compared, since not every answer has a value: brightness\n" in said
    assert "not compared" not in report(answer)


def test_score_of_several_views_is_not_compared_with_that_of_one(report: Report) -> None:
    said = report(lambda draws: answer(draws) | {"outside": draws.normal(1.0, 0.5), "views": 3})
    assert "several views are merged in 300 answers" in said
    assert "\noutside" not in said
    assert "\nconfidence" not in said
    assert "not compared, since" not in said
    assert "No drift is found" in said


def test_answers_of_several_views_say_their_number(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_images(tmp_path / "photos")
    predict(["--models", str(models), "--json", "--tta", str(tmp_path / "photos")])
    answers = capsys.readouterr().out
    (tmp_path / "answers.jsonl").write_text(answers, "utf-8")
    assert json.loads(answers.splitlines()[0])["views"] > 1
    main([str(tmp_path / "answers.jsonl"), "--models", str(models)])
    assert "several views are merged in 3 answers" in capsys.readouterr().out


def test_answers_of_predict_are_taken(
    models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_images(tmp_path / "photos")
    predict(["--models", str(models), "--json", str(tmp_path / "photos")])
    (tmp_path / "answers.jsonl").write_text(capsys.readouterr().out, "utf-8")
    main([str(tmp_path / "answers.jsonl"), "--models", str(models)])
    said = capsys.readouterr().out
    assert "3 answers, compared with 300 test images" in said
    assert "\nwidth" in said


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("", "holds no answers"),
        ("{", "line 1 is no answer of this model"),
        ('{"label": "red"}', r"line 1 is no answer of this model \('top' is missing or unknown\)"),
        ('{"top": [{"label": "violet", "probability": 1}]}', "'violet' is missing or unknown"),
        ("[]", r"line 1 is no answer of this model \(it has another form\): give"),
        ('{"top": []}', r"\(it has another form\)"),
        ('{"top": [{"label": ["red"], "probability": 1}]}', r"\(it has another form\)"),
        ('{"top": [{"label": "red", "probability": null}]}', r"\(it has another form\)"),
        ('{"top": [{"label": "red", "probability": true}]}', "True is no number"),
        ('{"top": [{"label": "red", "probability": "0.9"}]}', "'0.9' is no number from 0 to 1"),
        ('{"top": [{"label": "red", "probability": 5}]}', "5 is no number from 0 to 1, as conf"),
        (
            '{"top": [{"label": "red", "probability": 1}], "width": -5}',
            r"-5 is no number from 1 to 1e\+09, as width is",
        ),
        ('{"top": [{"label": "red", "probability": 1}], "views": "x"}', "'x' is no number from 1"),
        (
            '{"top": [{"label": "red", "probability": 1}], "model": "0123456789ab"}',
            "line 1 is of another model, 0123456789ab",
        ),
    ],
)
def test_what_is_no_answer_is_a_sentence(
    models: Path, tmp_path: Path, line: str, sentence: str
) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(line, "utf-8")
    with pytest.raises(UserError, match=sentence):
        main([str(path), "--models", str(models)])


@pytest.mark.parametrize(
    "content",
    [
        *(b"{", b"[]", b'{"classes": 3}'),
        b'{"classes": ["a"], "confusion": [[1, 2]], "values": {}}',
        b'{"classes": ["a"], "confusion": [[true]], "values": {}}',
        b'{"classes": ["a"], "confusion": [["1"]], "values": {}}',
        b'{"classes": ["a"], "confusion": [[1.5]], "values": {}}',
        b'{"classes": ["a"], "confusion": [[1]], "values": {"confidence": ["0.5"]}}',
        b'{"classes": ["a"], "confusion": [[1]], "values": {"confidence": [true]}}',
        b'{"classes": ["a"], "confusion": [[1]], "values": {"confidence": []}}',
        b'{"classes": ["a"], "confusion": [[1]], "values": {}}',
    ],
)
def test_damaged_reference_is_a_sentence(models: Path, tmp_path: Path, content: bytes) -> None:
    rewrite(models / "export", "reference.json", content)
    with pytest.raises(UserError, match=r"reference\.json is damaged"):
        main([str(tmp_path / "answers.jsonl"), "--models", str(models)])


def test_missing_answers_are_a_sentence(models: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"No such file or directory: .+answers\.jsonl: give what"):
        main([str(tmp_path / "answers.jsonl"), "--models", str(models)])


def test_export_of_an_earlier_version_is_a_sentence(tmp_path: Path) -> None:
    models = write_models(tmp_path / "models")
    with pytest.raises(UserError, match=r"has no reference\.json: run the export stage again"):
        main([str(tmp_path / "answers.jsonl"), "--models", str(models)])
