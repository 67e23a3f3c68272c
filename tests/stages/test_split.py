import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from builders.images import class_folders, write_raw
from builders.sources import local_params
from builders.splits import split_section

from classifier.data.dataset import load_dataset
from classifier.sources.acquire import acquire
from stages.split import main

ROOT = Path(__file__).parents[2]
BOATS = ROOT.parent / "shared/data/boats.zip"
PETS = class_folders({"cat": 12, "dog": 20, "eel": 5}, prefix="pets/")


def write_params(folder: Path, **changes: object) -> None:
    content = yaml.safe_dump({"split": split_section(**changes)})
    (folder / "params.yaml").write_text(content, "utf-8")


def run_as_program(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stages.split"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_stage_writes_the_data_set_and_its_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_raw(Path("data/raw"), PETS | {"pets/cat/bad.png": b"x"})
    write_params(tmp_path, min_images_per_class=10, on_bad_image="skip")
    main()
    assert sorted(path.name for path in Path("results/split").iterdir()) == [
        "checks.csv",
        "class_counts.csv",
        "duplicates.csv",
        "files.csv",
        "image_histograms.csv",
        "image_measures.csv",
        "image_modes.csv",
        "image_warnings.csv",
        "metrics.json",
        "problems.csv",
        "timing.json",
    ]
    problems = Path("results/split/problems.csv").read_text("utf-8")
    assert problems.startswith('path,reason\npets/cat/bad.png,"it is no image')
    assert len(load_dataset(Path("data/split")).images) == 32
    assert capsys.readouterr().out == (
        "split: used 32 images; not used: 5 dropped, 1 unreadable\n"
        "split: 2 classes; train 22, val 3, test 7\n"
        "split: dropped classes with fewer than 10 images: eel 5\n"
        "split: warning: cannot be read: 1 (pets/cat/bad.png)\n"
    )


def test_fault_of_the_user_is_one_sentence_and_status_1(tmp_path: Path) -> None:
    write_raw(tmp_path / "data/raw", PETS | {"pets/cat/bad.png": b"x"})
    write_params(tmp_path)
    process = run_as_program(tmp_path)
    assert process.returncode == 1
    assert process.stdout == ""
    assert process.stderr == (
        "error: pets/cat/bad.png cannot be used: it is no image in a known format (JPEG, PNG, "
        "WEBP, BMP, GIF, TIFF, PPM, AVIF, HEIF). Remove it, or set split.on_bad_image to skip.\n"
    )


def test_program_needs_no_torch(tmp_path: Path) -> None:
    """It takes seconds to load, and no stage before training has a use for it."""
    program = "import sys, stages.download, stages.split; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


@pytest.mark.shared
@pytest.mark.skipif(not BOATS.exists(), reason="needs ../shared/data/boats.zip")
def test_boats_keep_seven_classes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    acquire(local_params("archive", BOATS), Path("data/raw"))
    write_params(tmp_path, min_images_per_class=40, stored_size=16)
    main()
    dataset = load_dataset(Path("data/split"))
    assert len(dataset.images) == 1412
    assert dataset.classes == [
        "buoy", "cruise ship", "ferry boat", "gondola", "kayak", "paper boat", "sailboat",
    ]  # fmt: skip


def test_stage_applies_the_corrections_of_the_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_raw(Path("data/raw"), PETS)
    write_params(tmp_path)
    Path("data/corrections.csv").write_text("path,class,reason\npets/cat/003.png,dog,it barks\n")
    main()
    assert "split: corrected pets/cat/003.png from cat to dog: it barks" in capsys.readouterr().out
