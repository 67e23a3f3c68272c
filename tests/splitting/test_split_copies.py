import io
from pathlib import Path

import numpy as np
import pytest
from builders.images import class_folders, encode, noise, write_raw
from builders.splits import PETS, split_params, split_up
from builders.tiny import contents

from classifier.data.dataset import Dataset
from classifier.splitting.split import split

COPIED = encode(noise(8, 8, 1))
# Another file with the same pixels.
COPY = encode(noise(8, 8, 1), "BMP")


def with_copies(prefix: str, other: str) -> dict[str, bytes]:
    copies = {f"{prefix}dog/copy.bmp": COPY, f"{other}dog/image.png": COPIED}
    return copies | {f"{prefix}black cat/copy.png": COPIED}


def groups_of(dataset: Dataset) -> dict[str, int]:
    manifest = dataset.manifest[dataset.manifest["group"] > 0]
    return dict(zip(manifest["path"], manifest["group"], strict=True))


@pytest.mark.parametrize("seed", range(4))
def test_copies_fall_into_one_split_across_classes(tmp_path: Path, seed: int) -> None:
    dataset = split_up(tmp_path, PETS | with_copies("pets/", "pets/"), seed=seed)
    expected = ["pets/black cat/copy.png", "pets/dog/copy.bmp", "pets/dog/image.png"]
    assert groups_of(dataset) == dict.fromkeys(expected, 1)
    manifest = dataset.manifest
    assert len(set(manifest["split"][manifest["group"] == 1])) == 1


def test_kept_copies_are_drawn_one_by_one(tmp_path: Path) -> None:
    copies = with_copies("pets/", "pets/")
    parts = []
    for seed in range(6):
        kept = split_up(tmp_path / str(seed), PETS | copies, duplicates="keep", seed=seed)
        assert set(groups_of(kept)) == set(copies)
        parts.append(len(set(kept.manifest["split"][kept.manifest["group"] == 1])))
    assert max(parts) > 1


def test_dropped_copies_leave_one_and_no_gap(tmp_path: Path) -> None:
    raw = write_raw(tmp_path / "raw", PETS | with_copies("pets/", "pets/"))
    result = split(raw, tmp_path / "split", split_params(duplicates="drop"))
    assert [pair.kind for pair in result.duplicates.pairs] == ["pixels", "file"]
    split_up(tmp_path / "alone", PETS | {"pets/black cat/copy.png": COPIED})
    with_them, alone = contents(tmp_path / "split"), contents(tmp_path / "alone/split")
    shown = np.load(io.BytesIO(with_them.pop("duplicate_images.npy")))
    assert shown.shape == (2, 2, 8, 8, 3)
    assert len(np.load(io.BytesIO(alone.pop("duplicate_images.npy")))) == 0
    assert with_them == alone


def test_given_splits_keep_their_copies_and_dropping_spares_the_test_split(tmp_path: Path) -> None:
    members = class_folders({"black cat": 16, "dog": 8}, prefix="data/train/")
    members |= class_folders({"black cat": 2, "dog": 3}, prefix="data/test/")
    members |= with_copies("data/train/", "data/test/")
    dataset = split_up(tmp_path, members)
    assert dataset.leaked("test").sum() == 1
    assert len(dataset.images) == len(members)
    dropped = split_up(tmp_path / "dropped", members, duplicates="drop")
    gone = {"data/train/dog/copy.bmp", "data/train/black cat/copy.png"}
    assert set(members) - set(dropped.manifest["path"]) == gone
    assert not dropped.leaked("test").any()
