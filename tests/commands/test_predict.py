import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from builders.colours import CLASSES, image_of, write_images, write_models
from PIL import Image

from classifier.commands.main import run as run_classifier

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    write_models(folder / "models")
    write_images(folder / "photos")
    return folder


class Run:
    """Runs the program in this process; keeps its status and what it wrote to standard error."""

    status: int | str | None = None
    errors = ""

    def __init__(self, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._patch, self._capsys = patch, capsys

    def __call__(self, *arguments: str) -> str:
        """What is printed."""
        self._patch.setattr(sys, "argv", ["classifier", "predict", *arguments])
        with pytest.raises(SystemExit) as caught:
            run_classifier()
        self.status = caught.value.code
        printed = self._capsys.readouterr()
        self.errors = printed.err
        return printed.out


@pytest.fixture
def run(project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.chdir(project)
    return Run(monkeypatch, capsys)


def test_table_has_a_line_for_each_image_with_its_class(run: Run) -> None:
    lines = run("photos").splitlines()
    assert run.status == 0
    assert [line.split() for line in lines] == [
        ["100.0%", "red", "photos/a-red.png"],
        ["100.0%", "green", "photos/b-green.jpg"],
        ["100.0%", "blue", "photos/more/c-blue.webp"],
    ]
    # Names stand under each other.
    assert len({line.index("photos") for line in lines}) == 1


def test_json_is_an_object_a_line(run: Run) -> None:
    lines = run("photos/*.png", "photos/more", "--json", "--top-k", "2").splitlines()
    first, second = (json.loads(line) for line in lines)
    assert first["path"] == "photos/a-red.png"
    assert (first["label"], first["index"], second["label"]) == ("red", 0, "blue")
    assert first["top"][0] == {"label": "red", "index": 0, "probability": first["probability"]}
    assert len(first["top"]) == 2


def test_csv_has_a_header_and_the_next_classes(run: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(run("photos", "--csv", "--top-k", "9"))))
    assert [row["label"] for row in rows] == CLASSES
    assert list(rows[0]) == [
        "path",
        "label",
        "index",
        "probability",
        *("label_2", "probability_2", "label_3", "probability_3"),
    ]


def test_bad_file_is_reported_on_standard_error_and_does_not_stop_the_rest(
    run: Run, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    lines = run(str(bad), "missing.png", "photos").splitlines()
    assert (len(lines), run.status) == (3, 1)
    assert f"error: {bad}: it is no image in a known format" in run.errors
    assert "error: missing.png: No such file or directory." in run.errors
    assert "Traceback" not in run.errors


def test_rejected_images_are_unknown(run: Run, tmp_path: Path) -> None:
    (tmp_path / "grey.png").write_bytes(image_of("grey"))
    answer = json.loads(run(str(tmp_path / "grey.png"), "--reject", "0.9", "--json"))
    assert (answer["label"], answer["index"]) == ("unknown", None)
    assert answer["probability"] == pytest.approx(1 / 3, abs=1e-6)
    assert len(run("photos", "--reject", "0.9").splitlines()) == 3


def test_tta_and_int8_give_the_classes_too(run: Run) -> None:
    for option in ("--tta", "--int8"):
        lines = run("photos", option).splitlines()
        assert [line.split()[1] for line in lines] == CLASSES


def test_plot_draws_the_images_beside_their_classes(run: Run, tmp_path: Path) -> None:
    run("photos", "--plot", str(tmp_path / "out.png"))
    with Image.open(tmp_path / "out.png") as image:
        assert image.width > 600
        # All colours of the three images are there.
        colours = {colour for _, colour in image.convert("RGB").getcolors(1 << 20) or []}
    assert {(255, 0, 0), (0, 0, 255)} <= colours


def test_nothing_to_draw_is_reported(run: Run, tmp_path: Path) -> None:
    run("missing.png", "--plot", str(tmp_path / "out.png"))
    assert "is not drawn: no image could be read" in str(run.status)
    assert not (tmp_path / "out.png").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--top-k", "0"], "0 is not at least 1"),
        (["--reject", "1.5"], "1.5 is not between 0 and 1"),
        (["--json", "--csv"], "not allowed with argument"),
        (["--top-k", "x"], "invalid"),
    ],
)
def test_wrong_options_are_refused(run: Run, arguments: list[str], sentence: str) -> None:
    run("photos", *arguments)
    assert run.status == 2
    assert sentence in run.errors


def program(folder: Path, *arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "classifier", "predict", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )


def test_paths_come_from_standard_input(project: Path) -> None:
    done = program(project, "-", "--csv", text="photos/more/c-blue.webp\nphotos/a-red.png\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert [row["label"] for row in csv.DictReader(io.StringIO(done.stdout))] == ["blue", "red"]


def test_missing_model_is_one_sentence(tmp_path: Path) -> None:
    done = program(tmp_path, "a.png")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: models/export/manifest.json is missing: run the export")
    assert done.stderr.count("\n") == 1


def test_reader_that_goes_away_is_no_fault(project: Path) -> None:
    command = f"{sys.executable} -m classifier predict {'photos ' * 2000} | head -1"
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(
        command,
        shell=True,
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (len(done.stdout.splitlines()), done.stderr) == (1, "")
