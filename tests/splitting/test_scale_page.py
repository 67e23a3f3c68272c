import tarfile
from pathlib import Path

import pytest
from builders.images import class_folders
from builders.pages import ROOT, blocks
from builders.sources import local_params, write_files
from builders.splits import split_params

from classifier.data.dataset import load_dataset
from classifier.sources.acquire import acquire
from classifier.splitting.split import split


def test_webdataset_shards_of_the_page_hold_every_image_of_the_data_set_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    members = class_folders({"cat": 9, "dog": 7})
    write_files(tmp_path / "images", members)
    acquire(local_params("folder", tmp_path / "images", shards=3), Path("data/raw"))
    split(Path("data/raw"), Path("data/split"), split_params(duplicate_similarity=None))
    (recipe,) = blocks((ROOT / "docs/scale.md").read_text("utf-8"), "python")
    exec(compile(recipe, "scale.md", "exec"), {})
    manifest = load_dataset(Path("data/split")).manifest
    found = {}
    for shard in Path("webdataset").iterdir():
        with tarfile.open(shard) as tar:
            contents = {
                name: file.read() for name in tar.getnames() if (file := tar.extractfile(name))
            }
        for name, content in contents.items():
            row = manifest.iloc[int(Path(name).stem)]
            assert shard.name.startswith(f"{row['split']}-")
            assert contents[f"{Path(name).stem}.cls"] == str(row["label"]).encode()
            if name.endswith(".png"):
                found[row["path"]] = content
    assert found == members
