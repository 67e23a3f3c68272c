from pathlib import Path

import pandas as pd
import pytest

from classifier.commands import compare as program
from classifier.core.errors import UserError
from classifier.evaluation import compare

ACTUAL = ["NA", "007", "007", "b", "b"] * 8


def write(path: Path, predicted: list[str], order: int = 1, **columns: str) -> Path:
    paths = [f"{i:02d}.png" for i in range(len(predicted))]
    table = pd.DataFrame({"path": paths, "actual": ACTUAL[: len(predicted)]})
    table = table.assign(predicted=predicted, confidence=0.5, **columns)[::order]
    table.to_csv(path, index=False)
    return path


def test_two_runs_are_compared_in_one_sentence(tmp_path: Path, capsys):
    before = write(tmp_path / "before.csv", ["x"] * 10 + ACTUAL[10:])
    # The order of rows and further columns do not matter.
    after = write(tmp_path / "after.csv", ["x", *ACTUAL[1:]], order=-1, answer="unknown")
    program.main([str(before), str(after)])
    assert capsys.readouterr().out == (
        "accuracy from 0.7500 to 0.9750 on 40 images (corrected: 9, regressed: 0); the gain, "
        "+0.2250 (95% interval +0.0737 to +0.3548, McNemar p = 0.0039), is distinguishable from "
        "zero.\n"
    )


def test_few_images_are_not_celebrated(tmp_path: Path):
    before = write(tmp_path / "before.csv", ["x"] * 3 + ACTUAL[3:])
    said = compare.compare(before, write(tmp_path / "after.csv", ACTUAL))
    assert "(corrected: 3, regressed: 0)" in said
    assert said.endswith("is not distinguishable from zero.")


def test_other_images_and_other_classes_are_refused(tmp_path: Path):
    whole, part = write(tmp_path / "a.csv", ACTUAL), write(tmp_path / "b.csv", ACTUAL[:30])
    with pytest.raises(UserError, match=r"different test images \(40 and 30, 30 in common\)"):
        compare.compare(whole, part)
    with pytest.raises(UserError, match="differ in the actual classes"):
        compare.compare(whole, write(tmp_path / "c.csv", ACTUAL, actual="b"))


@pytest.mark.parametrize("content", ["", "path,actual\na,b\n", "path,actual,predicted\n", "\xff"])
def test_what_is_no_predictions_file_is_refused(tmp_path: Path, content: str):
    (tmp_path / "bad.csv").write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError, match=r"bad\.csv .* no predictions\.csv"):
        compare.compare(tmp_path / "bad.csv", tmp_path / "bad.csv")


def test_a_missing_file_and_a_missing_argument_are_reported(tmp_path: Path):
    with pytest.raises(UserError, match="is missing: run the evaluate stage"):
        compare.compare(tmp_path / "none.csv", tmp_path / "none.csv")
    with pytest.raises(SystemExit):
        program.main(["one.csv"])
