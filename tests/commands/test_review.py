from pathlib import Path

import pandas as pd
import pytest
from builders.tiny import CLASSES, tiny_bundle, write_split

from classifier.commands.review import CORRECTIONS, DUPLICATES, find_review
from classifier.sources.corrections import Correction, write_corrections

COLUMNS = ["path", "class", "split", "other_path", "other_class", "other_split"]
COLUMNS += ["kind", "contradiction", "leak"]


@pytest.fixture
def wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> pd.DataFrame:
    """The rows of the manifest of three images whose labels were exchanged."""
    monkeypatch.chdir(tmp_path)
    manifest = write_split(tmp_path / "data/split").manifest
    tiny_bundle(tmp_path / "models")
    rows = [3, 30, 45]
    manifest.loc[rows, "label"] = (manifest["label"][rows] + 1) % 3
    manifest["class"] = [CLASSES[label] for label in manifest["label"]]
    manifest.to_csv("data/split/manifest.csv", index=False)
    DUPLICATES.parent.mkdir(parents=True)
    pd.DataFrame(columns=COLUMNS).to_csv(DUPLICATES, index=False)
    return manifest.loc[rows]


def test_labels_that_are_wrong_are_shown_first(wrong: pd.DataFrame) -> None:
    cases = find_review(3).cases.values()
    assert {case.path for case in cases} == set(wrong["path"])


def test_what_was_decided_by_path_or_by_hash_is_not_shown_again(wrong: pd.DataFrame) -> None:
    by_path, digest = wrong["path"].iloc[0], wrong["sha256"].iloc[1]
    decided = [by_path, f"sha256:{digest.upper()}"]
    write_corrections(CORRECTIONS, [Correction(name, "exclude", "") for name in decided])
    shown = {case.path for case in find_review(None).cases.values()}
    assert wrong["path"].iloc[2] in shown
    assert not shown & set(wrong["path"].iloc[:2])
