"""What the server keeps of its answers."""

import json
import os
import resource
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from builders.colours import image_of, write_models
from builders.web.serving import running, served

from classifier.core.errors import UserError
from classifier.serving.answer_record import AnswerRecord
from classifier.serving.service import Service
from classifier.serving.workers.image_worker import Outcome

ANSWER = Outcome({"label": "red", "probabilities": {"red": 1.0}}, measures={"width": 9})


def recording(folder: Path) -> Service:
    before = served(write_models(folder / "models"))
    options = replace(before.options, record=folder / "answers.jsonl")
    return Service(before.model, options)


def test_answers_are_recorded_without_images_and_counted(tmp_path: Path) -> None:
    with running(recording(tmp_path)) as url:
        files = [("image", ("secret.png", image_of("red", 40))), ("image", ("bad.png", b"text"))]
        httpx.post(f"{url}/predict", files=files)
        metrics = httpx.get(f"{url}/metrics").text
    (line,) = (tmp_path / "answers.jsonl").read_text("utf-8").splitlines()
    recorded = json.loads(line)
    assert (recorded["label"], recorded["top"][0]["label"]) == ("red", "red")
    assert (recorded["width"], recorded["height"], recorded["brightness"]) == (40, 40, 76.24)
    assert recorded["model"]
    assert recorded["time"]
    assert "probabilities" not in recorded
    assert "secret" not in line
    for name in ("confidence", "brightness", "width", "height"):
        assert f"classifier_{name}_count 1.0" in metrics
    assert 'classifier_width_bucket{le="64.0"} 1.0' in metrics
    assert "classifier_outside_count 0.0" in metrics  # this model gives no scores


def test_record_names_no_training_images(tmp_path: Path) -> None:
    similar = {"path": "patients/ann.png", "label": "red", "similarity": 0.9, "tile": 0}
    record = AnswerRecord(tmp_path / "answers.jsonl")
    record.write([Outcome({"label": "red", "similar": [similar]})], "v")
    text = (tmp_path / "answers.jsonl").read_text("utf-8")
    assert json.loads(text)["label"] == "red"
    assert "ann" not in text


def test_a_file_of_another_kind_gets_no_answers(tmp_path: Path) -> None:
    photo = tmp_path / "boat.png"
    photo.write_bytes(image_of("red", 9))
    with pytest.raises(UserError, match=r"boat\.png holds something else than answers: name"):
        AnswerRecord(photo)
    assert photo.read_bytes() == image_of("red", 9)


def test_a_record_is_continued(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    for version in ("1", "2"):
        AnswerRecord(path).write([ANSWER], version)
    assert [json.loads(line)["model"] for line in path.open("rb")] == ["1", "2"]


def test_record_that_cannot_be_written_is_logged_once_and_taken_up_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    record = AnswerRecord(folder / "answers.jsonl")
    (folder / "answers.jsonl").unlink()
    folder.rmdir()
    record.write([ANSWER], "v")
    record.write([ANSWER], "v")
    assert caplog.text.count("answers are not recorded") == 1
    folder.mkdir()
    record.write([ANSWER], "v")
    assert len((folder / "answers.jsonl").read_text("utf-8").splitlines()) == 1


def test_disk_that_is_full_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    record = AnswerRecord(path)
    record.write([ANSWER], "v")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, hard))
    try:
        record.write([ANSWER], "full")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    record.write([ANSWER], "w")
    lines = path.read_text("utf-8").splitlines()
    assert [json.loads(line)["model"] for line in lines] == ["v", "w"]


def test_folder_that_is_missing_is_told_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--record: No such file or directory: .+ name a file in"):
        AnswerRecord(tmp_path / "missing/answers.jsonl")


def test_pipe_that_nobody_may_read_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "answers")
    with pytest.raises(UserError, match=r"--record: No such device or address: .+ name a file"):
        AnswerRecord(tmp_path / "answers")


def test_pipe_with_a_reader_is_written_to(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "answers")
    reader = os.open(tmp_path / "answers", os.O_RDONLY | os.O_NONBLOCK)
    AnswerRecord(tmp_path / "answers").write([ANSWER], "v")
    assert json.loads(os.read(reader, 65_536))["model"] == "v"
    os.close(reader)
