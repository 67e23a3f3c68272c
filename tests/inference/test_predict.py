import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from builders.colours import CROP, IMAGE_SIZE, SPEC, image_of, rewrite, write_models
from builders.images import encode, noise
from builders.splits import split_up
from builders.tiny import tiny_bundle, write_rules

from classifier.core.errors import UserError
from classifier.core.files import json_bytes
from classifier.inference.onnx_runtime import INT8_FILE, ONNX_FILE, load_onnx
from classifier.inference.predict import Runtime, load_model
from classifier.processing.decision import Decision
from classifier.processing.images import center_crop
from classifier.processing.made_for import model_digest
from classifier.processing.softmax import merge_views, probabilities

REPOSITORY = Path(__file__).parents[2]
RUNTIMES: tuple[Runtime, Runtime] = ("onnx", "openvino")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_models(tmp_path_factory.mktemp("models"))


def refusal(folder: Path, **options: object) -> str:
    with pytest.raises(UserError) as caught:
        load_model(folder, **options)  # pyright: ignore[reportArgumentType] (any of them)
    return str(caught.value)


def test_three_lines_give_the_class_of_a_file(models: Path, tmp_path: Path) -> None:
    (tmp_path / "sea.png").write_bytes(image_of("blue"))
    model = load_model(models)
    answer = model.predict(str(tmp_path / "sea.png"))
    assert (answer.label, answer.index) == ("blue", 2)
    assert answer.probability == answer.probabilities[2] == answer.top(1)[0].probability
    assert answer.probabilities.sum() == pytest.approx(1)


def test_path_and_bytes_give_the_same_answer(models: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encode(noise(30, 20)))
    model = load_model(models)
    answers = [model.predict(path), model.predict(path.read_bytes())]
    assert answers[0].probabilities.tolist() == answers[1].probabilities.tolist()


def test_images_are_decoded_exactly_as_the_split_stage_stores_them(
    models: Path, tmp_path: Path
) -> None:
    # A TIFF header with one entry: orientation 6, to be turned a quarter.
    turned = "49492a0008000000" + "0100" + "120103000100000006000000" + "00000000"
    exif = b"Exif\0\0" + bytes.fromhex(turned)
    members: dict[str, bytes] = {}
    for number in range(6):
        place = f"all/{'xy'[number % 2]}/{number}"
        # Large JPEG files are scaled down by their decoder.
        members[f"{place}-large.jpg"] = encode(noise(700, 500, number), "JPEG")
        members[f"{place}-wide.jpg"] = encode(noise(900, 40, number), "JPEG", exif=exif)
        members[f"{place}-grey.png"] = encode(noise(40, 30, number)[:, :, 0])
        members[f"{place}-other.webp"] = encode(noise(60, 64, number), "WEBP")
    dataset = split_up(tmp_path, members, stored_size=IMAGE_SIZE)
    model = load_model(models)
    for path, stored in zip(dataset.manifest["path"], dataset.images[:], strict=True):
        np.testing.assert_array_equal(model.decode(members[path]), stored)


def test_views_are_merged_as_tta_json_says(models: Path, tmp_path: Path) -> None:
    views = ("top_left", "bottom_right+flip")
    folder = write_models(tmp_path, views=views, merge="log_probabilities")
    pixels = noise(IMAGE_SIZE, IMAGE_SIZE)
    answer = load_model(folder, tta=True).answers(pixels[np.newaxis])[0]
    predict = load_onnx((folder / "export" / ONNX_FILE).read_bytes())
    corners = [pixels[:CROP, :CROP], pixels[-CROP:, -CROP:][:, ::-1]]
    given = [predict(np.ascontiguousarray(corner[np.newaxis])).logits for corner in corners]
    expected = merge_views(np.stack(given), SPEC.temperature, "log_probabilities")[0]
    assert answer.probabilities.tolist() == expected.tolist()


def test_without_tta_the_centre_alone_is_seen_at_the_models_temperature(models: Path) -> None:
    pixels = noise(IMAGE_SIZE, IMAGE_SIZE)[np.newaxis]
    predict = load_onnx((models / "export" / ONNX_FILE).read_bytes())
    logits = predict(np.ascontiguousarray(center_crop(pixels, CROP))).logits
    expected = probabilities(logits, SPEC.temperature)[0]
    assert load_model(models).answers(pixels)[0].probabilities.tolist() == expected.tolist()


def test_int8_runs_the_other_file(models: Path) -> None:
    float32, int8 = load_model(models), load_model(models, int8=True)
    pixels = noise(IMAGE_SIZE, IMAGE_SIZE)[np.newaxis]
    assert float32.version != int8.version
    assert float32.answers(pixels)[0].probability != int8.answers(pixels)[0].probability


@pytest.mark.parametrize("int8", [False, True])
def test_openvino_gives_the_same_answers_to_several_threads_at_once(
    models: Path, int8: bool
) -> None:
    expected, model = (
        load_model(models, runtime=runtime, int8=int8, threads=1) for runtime in RUNTIMES
    )
    assert model.version == expected.version
    images = [noise(IMAGE_SIZE, IMAGE_SIZE, seed)[np.newaxis] for seed in range(40)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(model.answers, images))
    for (answer,), image in zip(answers, images, strict=True):
        probabilities = expected.answers(image)[0].probabilities
        assert answer.probabilities == pytest.approx(probabilities, abs=1e-5)


def test_openvino_that_is_not_installed_is_reported(
    models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(UserError, match="install the extra `openvino`"):
        load_model(models, runtime="openvino")


def test_torch_has_no_int8_file(tmp_path: Path) -> None:
    tiny_bundle(tmp_path / "models", stored_size=IMAGE_SIZE, input_size=8)
    with pytest.raises(UserError, match="no int8 file for the runtime torch"):
        load_model(tmp_path / "models", runtime="torch", int8=True)


def test_torch_runs_the_bundle_itself(tmp_path: Path) -> None:
    network = tiny_bundle(tmp_path / "models", stored_size=IMAGE_SIZE, input_size=8)
    model = load_model(tmp_path / "models", runtime="torch")
    pixels = noise(IMAGE_SIZE, IMAGE_SIZE)[np.newaxis]
    seen = network(torch.from_numpy(center_crop(pixels, 8).copy()))
    expected = seen.softmax(1).detach().numpy()[0]
    np.testing.assert_allclose(model.answers(pixels)[0].probabilities, expected, atol=1e-6)


def test_export_of_another_model_than_the_bundle_is_refused(tmp_path: Path) -> None:
    folder = write_models(tmp_path)
    (folder / "model.json").write_bytes((folder / "model.json").read_bytes() + b"\n")
    assert "was made from another model.json" in refusal(folder)


def test_export_of_another_decision_than_the_one_beside_it_is_refused(tmp_path: Path) -> None:
    folder = write_models(tmp_path)
    (folder / "decision.json").write_text('{"reject_below": 0.5}')
    assert "was made from another decision.json" in refusal(folder)
    write_models(tmp_path)
    (folder / "tta.json").write_text("{}")
    load_model(folder)
    assert "was made from another tta.json" in refusal(folder, tta=True)


def test_export_folder_works_alone_wherever_it_is(tmp_path: Path) -> None:
    folder = write_models(tmp_path / "models", reject_below=0.9, views=["flip"])
    copy = (folder / "export").rename(tmp_path / "exp")
    shutil.rmtree(folder)
    model = load_model(copy, tta=True)
    assert model.predict(image_of("red")).label == "red"
    assert (model.decision.reject_below, [view.name for view in model.views]) == (0.9, ["flip"])


def test_threshold_of_the_export_is_used_unless_another_is_given(tmp_path: Path) -> None:
    folder = write_models(tmp_path, reject_below=0.9)
    doubtful = image_of("grey")
    assert load_model(folder).predict(doubtful).label == "unknown"
    assert load_model(folder, reject_below=0.0).predict(doubtful).label != "unknown"
    assert load_model(folder, reject_below=0.999).decision.reject_below == 0.999


def test_weights_run_with_the_decision_beside_them(tmp_path: Path) -> None:
    folder = tmp_path / "models"
    tiny_bundle(folder)
    write_rules(folder, reject_below=0.7)
    assert load_model(folder, runtime="torch").decision.reject_below == 0.7
    (folder / "decision.json").unlink()
    assert "decision.json is missing" in refusal(folder, runtime="torch")


@pytest.mark.parametrize("file", ["decision.json", "outside.safetensors", "tta.json"])
def test_rules_and_views_of_an_earlier_model_are_refused(file: str, tmp_path: Path) -> None:
    folder = tmp_path / "models"
    tiny_bundle(folder)
    earlier = (folder / file).read_bytes()
    with (folder / "model.json").open("a") as description:
        description.write("\n")
    write_rules(folder)
    load_model(folder, runtime="torch", tta=True)
    (folder / file).write_bytes(earlier)
    assert f"{file} was made for another model" in refusal(folder, runtime="torch", tta=True)


def test_export_of_other_weights_than_those_beside_it_is_refused(tmp_path: Path) -> None:
    folder = write_models(tmp_path)
    (folder / "model.safetensors").write_bytes(b"trained")
    decision = json_bytes(Decision(reject_below=None, model=model_digest(folder)).model_dump())
    rewrite(folder / "export", "decision.json", decision)
    (folder / "decision.json").write_bytes(decision)
    load_model(folder)
    (folder / "model.safetensors").write_bytes(b"trained again")
    assert "export/decision.json was made for another model than this one" in refusal(folder)
    (folder / "model.json").unlink()
    load_model(folder)  # of what is beside it, only a part was pulled


def test_damaged_and_missing_files_are_reported_with_what_to_do(tmp_path: Path) -> None:
    assert "there is no folder" in refusal(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    assert "run the export stage" in refusal(tmp_path / "empty")
    folder = write_models(tmp_path)
    (folder / "export/tta.json").unlink()
    assert "tta.json is missing, but manifest.json names it" in refusal(folder, tta=True)
    (folder / "export" / ONNX_FILE).write_bytes(b"x")
    assert "is not what the export wrote" in refusal(folder)
    manifest = json.loads((folder / "export/manifest.json").read_text())
    del manifest["files"][INT8_FILE]
    (folder / "export/manifest.json").write_text(json.dumps(manifest))
    assert "use the float model" in refusal(folder, int8=True)


def test_export_from_before_the_white_level_says_what_to_run(tmp_path: Path) -> None:
    folder = write_models(tmp_path)
    content = json.loads((folder / "export/model.json").read_bytes())
    del content["white_level"]
    rewrite(folder / "export", "model.json", json.dumps(content).encode())
    assert "run the export stage again" in refusal(folder)


def test_model_of_another_folder_is_not_found_and_the_working_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sentence = refusal(Path("models"))
    assert f"there is no folder models in {tmp_path}, where you are" in sentence


def test_onnx_path_imports_nothing_heavy(models: Path) -> None:
    code = (
        "import sys; from classifier.inference.predict import load_model\n"
        "import classifier.commands.main, classifier.commands.predict\n"
        f"load_model({str(models)!r}, tta=True)\n"
        "heavy = {'torch', 'torchvision', 'pandas', 'matplotlib', 'sklearn', 'scipy', 'onnx'}\n"
        "print(sorted(heavy & {name.split('.')[0] for name in sys.modules}))"
    )
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("threshold", "sentence"),
    [
        ({"reject_below": 80}, "reject_below is 80: give a probability between 0 and 1"),
        ({"reject_below": float("nan")}, "reject_below is nan: give a probability"),
        ({"outside_above": float("nan")}, "outside_above is NaN: give an outside score"),
    ],
)
def test_threshold_that_no_answer_can_be_compared_with_is_refused(
    models: Path, threshold: dict[str, float], sentence: str
) -> None:
    assert sentence in refusal(models, **threshold)


def test_outside_score_is_not_compared_where_there_is_none(tmp_path: Path) -> None:
    folder = write_models(tmp_path / "models")
    assert load_model(folder, outside_above=float("inf")).decision.outside_above == float("inf")
    with pytest.raises(UserError, match="this model gives no outside score"):
        load_model(folder, outside_above=2.0)
