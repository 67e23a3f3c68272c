import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from builders.colours import CLASSES, image_of, write_images, write_models
from builders.images import write_archive
from builders.predict_program import Run, program
from PIL import Image
from pillow_heif import from_pillow

REPOSITORY = Path(__file__).parents[2]


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
    assert (first["width"], first["height"], first["brightness"]) == (20, 20, 76.24)


def test_csv_has_a_header_and_the_next_classes(run: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(run("photos", "--csv", "--top-k", "9"))))
    assert [row["label"] for row in rows] == CLASSES
    assert list(rows[0]) == [
        "path",
        "label",
        "index",
        "probability",
        "reason",
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


def test_table_gives_the_probability_of_a_refused_image_to_its_class(
    run: Run, tmp_path: Path
) -> None:
    (tmp_path / "grey.png").write_bytes(image_of("grey"))
    line = run(str(tmp_path / "grey.png"), "--reject", "0.9").rstrip("\n")
    assert line.split()[0] == "unknown"
    assert line.endswith("grey.png  (low confidence; most probable: red, 33.3%)")


def test_tta_and_int8_give_the_classes_too(run: Run) -> None:
    for option in ("--tta", "--int8"):
        lines = run("photos", option).splitlines()
        assert [line.split()[1] for line in lines] == CLASSES


def test_pages_that_are_not_looked_at_are_told(run: Run, tmp_path: Path) -> None:
    frame = Image.new("RGB", (20, 20), "red")
    frame.save(tmp_path / "a.tif", save_all=True, append_images=[Image.new("RGB", (20, 20))])
    told = "it has several pages, of which the first is taken"
    assert json.loads(run(str(tmp_path / "a.tif"), "--json"))["warnings"] == [told]
    assert run.errors == f"warning: {tmp_path / 'a.tif'}: {told}\n"


def test_tta_without_further_views_is_told(run: Run, tmp_path: Path) -> None:
    models = write_models(tmp_path / "models", views=["identity"])
    assert len(run("photos", "--tta", "--models", str(models)).splitlines()) == 3
    told = "--tta adds no view: tta.json names the centre crop alone."
    assert run.errors.splitlines()[0] == told
    models = write_models(tmp_path / "mirrored", views=["flip"])
    assert len(run("photos", "--tta", "--models", str(models)).splitlines()) == 3
    assert told not in run.errors


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
        (["--top-k", "x"], "argument --top-k: 'x' is no whole number: "),
        # A photo that stands after --plot must not become a chart.
        (["--plot", "a.jpg"], "a.jpg does not end in .png, as the chart does"),
    ],
)
def test_wrong_options_are_refused(run: Run, arguments: list[str], sentence: str) -> None:
    run("photos", *arguments)
    assert str(run.status).startswith("error: argument ")
    assert sentence in str(run.status)
    assert str(run.status).endswith("`classifier predict --help` describes the options.")


def test_folder_is_accounted_for_on_standard_error(run: Run, tmp_path: Path) -> None:
    write_images(tmp_path)
    for name in ("notes.txt", "more/list.txt", "film.mov", ".DS_Store", ".cache/x.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"no image")
    (tmp_path / "photo").write_bytes(image_of("red", kind="JPEG"))  # has no ending
    os.mkfifo(tmp_path / "pipe.png")
    assert len(run(str(tmp_path)).splitlines()) == 4
    assert run.status == 0
    assert run.errors == (
        "used 4 images; not used: 2 .txt, 1 .mov, 1 hidden, 1 special, 1 system\n"
    )


def test_archive_is_accounted_for_and_its_damaged_image_named(run: Run, tmp_path: Path) -> None:
    members = {"a.png": image_of("red"), "b.png": b"x", "c.txt": b"", "__MACOSX/._a.png": b""}
    path = write_archive(tmp_path / "some.zip", members)
    assert len(run(str(path), "--json").splitlines()) == 1
    assert run.status == 1
    error, account = run.errors.splitlines()
    assert error.startswith(f"error: {path}/b.png: it is no image")
    assert account == "used 1 image; not used: 1 .txt, 1 system, 1 unreadable"


def test_one_image_needs_no_account(run: Run) -> None:
    run("photos/a-red.png")
    assert run.errors == ""


def test_photo_of_a_phone_is_answered(run: Run, tmp_path: Path) -> None:
    image = from_pillow(Image.open(io.BytesIO(image_of("blue"))))
    image.save(tmp_path / "IMG_0001.HEIC", quality=90)
    (tmp_path / "b.avif").write_bytes(image_of("green", kind="AVIF"))
    lines = run(str(tmp_path)).splitlines()
    assert [line.split()[1] for line in lines] == ["blue", "green"]


def test_complaint_of_a_decoder_comes_with_the_name(run: Run, tmp_path: Path) -> None:
    content = image_of("red")
    chunk = b"\0\0\0\x03tEXtx\0y" + b"\0\0\0\0"  # with a wrong checksum
    (tmp_path / "a.png").write_bytes(content[:33] + chunk + content[33:])
    run(str(tmp_path / "a.png"))
    assert run.status == 0
    assert run.errors.startswith(f"warning: {tmp_path}/a.png: text or other data beside")


def test_missing_model_is_one_sentence(tmp_path: Path) -> None:
    done = program(tmp_path, "a.png")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: there is no folder models in {tmp_path}, where you are")
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
