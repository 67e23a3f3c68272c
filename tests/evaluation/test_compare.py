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
    before = write(tmp_path / "before.csv", ["x"] * 5 + ACTUAL[5:20])
    said = compare.compare(before, write(tmp_path / "after.csv", ACTUAL[:20]))
    assert "(corrected: 5, regressed: 0)" in said
    assert "interval +0.0000 to" in said
    assert said.endswith("McNemar p = 0.062), is not distinguishable from zero.")


def test_runs_are_compared_on_the_images_that_both_tested(tmp_path: Path):
    whole, part = write(tmp_path / "a.csv", ACTUAL), write(tmp_path / "b.csv", ["x", *ACTUAL[1:30]])
    said = compare.compare(whole, part)
    assert said.startswith(
        "accuracy from 1.0000 to 0.9667 on the 30 images that both tested, of 40 and 30 (corrected"
    )


def test_images_are_told_by_their_content(tmp_path: Path):
    contents = [f"{i:016x}" for i in range(40)]
    before = pd.read_csv(write(tmp_path / "before.csv", ACTUAL), dtype=str, keep_default_na=False)
    before.assign(content=contents).to_csv(tmp_path / "before.csv", index=False)
    # Each image has the name that its neighbour had, one is another one, and one comes twice.
    after = before.assign(path=before["path"].to_numpy()[::-1], content=contents)
    after.loc[0, "content"] = "another"
    after.loc[2, "content"] = contents[1]
    after.loc[5:, "predicted"] = "x"
    after.to_csv(tmp_path / "after.csv", index=False)
    said = compare.compare(tmp_path / "before.csv", tmp_path / "after.csv")
    assert "from 1.0000 to 0.0789 on the 38 images that both tested, of 40 and 40" in said


def test_images_with_another_label_are_left_out_and_counted(tmp_path: Path):
    before, after = write(tmp_path / "a.csv", ACTUAL), write(tmp_path / "b.csv", ACTUAL)
    table = pd.read_csv(after, dtype=str, keep_default_na=False)
    table.loc[:2, "actual"] = "corrected"
    table.to_csv(after, index=False)
    assert "the 37 images that both tested, of 40 and 40, without 3 whose label differs" in (
        compare.compare(before, after)
    )
    with pytest.raises(UserError, match="and the labels of all 40 common ones differ: compare"):
        compare.compare(before, write(tmp_path / "c.csv", ACTUAL, actual="z"))


def test_runs_without_a_common_image_are_refused(tmp_path: Path):
    other = pd.read_csv(write(tmp_path / "a.csv", ACTUAL), dtype=str, keep_default_na=False)
    other.assign(path="other/" + other["path"]).to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(
        UserError, match=r"a\.csv \(40 test images\) and .+b\.csv \(40\) have no im"
    ):
        compare.compare(tmp_path / "a.csv", tmp_path / "b.csv")


@pytest.mark.parametrize(
    "content",
    [
        "",
        "path,actual\na,b\n",
        "path,actual,predicted\n",
        "path,actual,predicted\na,b,b\na,b,c\n",
        "\xff",
    ],
)
def test_what_is_no_predictions_file_is_refused(tmp_path: Path, content: str):
    (tmp_path / "bad.csv").write_bytes(content.encode("latin-1"))
    with pytest.raises(UserError, match=r"bad\.csv .* no predictions\.csv"):
        compare.compare(tmp_path / "bad.csv", tmp_path / "bad.csv")


def test_a_missing_file_and_a_missing_argument_are_reported(tmp_path: Path):
    with pytest.raises(UserError, match="is missing: run the evaluate stage"):
        compare.compare(tmp_path / "none.csv", tmp_path / "none.csv")
    with pytest.raises(UserError, match="the following arguments are required: AFTER"):
        program.main(["one.csv"])
