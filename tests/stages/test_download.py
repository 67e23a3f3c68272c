import json
from pathlib import Path

import pytest
import yaml
from builders.images import class_folders, write_archive
from builders.sources import download_section

from classifier.core.errors import UserError
from stages.download import main


def write_params(folder: Path, **changes: str | None) -> None:
    content = yaml.safe_dump({"download": download_section(**changes)})
    (folder / "params.yaml").write_text(content, "utf-8")


def files_below(folder: Path) -> list[str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path.relative_to(folder).as_posix() for path in files)


def test_stage_writes_the_data_its_description_and_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path)
    main()
    assert files_below(tmp_path) == [
        "data/raw/files.csv",
        "data/raw/images-0.zip",
        "data/raw/labels.csv",
        "data/raw/source.json",
        "params.yaml",
        "results/download/timing.json",
    ]
    assert json.loads(Path("results/download/timing.json").read_bytes())["seconds"] > 0
    assert capsys.readouterr().out == (
        "download: data/raw/images-0.zip holds the images of digits, 0.4 MB\n"
        "download: 1,797 images\n"
        "download: 10 classes: 0 178, 1 182, 2 177, 3 183, 4 181, 5 182, 6 181, 7 179, 8 174, "
        "9 180 (from the first folder)\n"
        "download: the data gives no splits: train, val and test are drawn\n"
    )


def test_projects_in_different_folders_write_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        write_archive(tmp_path / name / "pets.tar.xz", class_folders({"cat": 1, "dog": 1}))
        write_params(tmp_path / name, source="archive", url="pets.tar.xz", watch="pets.tar.xz")
        main()
        results.append({path.name: path.read_bytes() for path in Path("data/raw").iterdir()})
    assert results[0] == results[1]


def test_missing_archive_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_params(tmp_path, source="archive", url="none.zip", watch="none.zip")
    with pytest.raises(UserError, match=r"there is no file none\.zip: correct download\.url"):
        main()
