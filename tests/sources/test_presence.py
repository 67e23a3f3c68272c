from pathlib import Path

import pytest
from builders.sources import download_params, local_params, write_files

from classifier.core.errors import UserError
from classifier.sources.presence import check_present


def test_a_folder_that_is_gone_is_named_with_the_way_back(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"download\.url is .*photos.*dvc checkout data/raw"):
        check_present(local_params("folder", tmp_path / "photos"))
    (tmp_path / "photos").mkdir()
    check_present(local_params("folder", tmp_path / "photos"))


def test_a_web_address_is_not_looked_up(tmp_path: Path) -> None:
    params = download_params(
        source="archive",
        url="https://host.example/a.zip",
        checksum=f"sha256:{'0' * 64}",
        watch=str(tmp_path),
    )
    check_present(params)


def test_a_watched_path_that_is_gone_is_named(tmp_path: Path) -> None:
    gone = download_params(source="digits", url=None, checksum=None, watch=str(tmp_path / "x"))
    with pytest.raises(UserError, match=r"download\.watch is .*x"):
        check_present(gone)


def test_a_table_beside_the_watched_folder_is_named(tmp_path: Path) -> None:
    write_files(tmp_path, {"photos/a.png": b"x", "labels.csv": b"id,kind\n"})
    table = {"file": str(tmp_path / "labels.csv"), "path": "id", "class": "kind"}
    with pytest.raises(UserError, match=r"lies outside of download\.watch"):
        check_present(local_params("folder", tmp_path / "photos", labels=table))
    watch = str(tmp_path)
    check_present(local_params("folder", tmp_path / "photos", labels=table, watch=watch))
