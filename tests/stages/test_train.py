import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from builders.backbones import backbone_params, backbone_spec
from builders.tiny import CLASSES, contents, tiny_params, tiny_section, write_project

from classifier.core.errors import UserError
from classifier.data.augment_params import AugmentParams
from classifier.data.augmentation_samples import augmentation_samples
from classifier.data.dataset import load_dataset
from classifier.data.image_statistics import channel_statistics
from classifier.metrics.temperature import fit_temperature
from classifier.models.bundle import load_bundle
from classifier.models.prediction import predict_logits
from classifier.models.weights.pretrained import write_backbone
from classifier.processing.views import named_view
from classifier.training import run
from classifier.training.setup import describe_model
from classifier.training.step import Loss
from stages import train

REPOSITORY = Path(__file__).parents[2]
OUTPUTS = ("models", "results")
LIVE = ("lr", "train_accuracy", "train_loss", "val_accuracy", "val_loss")


def outputs(folder: Path) -> dict[str, bytes]:
    """What the stage wrote, but timing.json."""
    return {
        f"{part}/{name}": content
        for part in OUTPUTS
        for name, content in contents(folder / part, without="timing.json").items()
    }


def run_in(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Run the stage there on one thread, as the programs below do: more give other bits."""
    patch.chdir(folder)
    patch.setenv("CLASSIFIER_CACHE", str(folder / "cache"))
    torch.set_num_threads(1)
    train.main()


def run_program(folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "PYTHONPATH": str(REPOSITORY),
        "CLASSIFIER_CACHE": str(folder / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "stages.train"]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def metrics_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "results/train/metrics.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in which the stage has run."""
    folder = write_project(tmp_path_factory.mktemp("project"))
    with pytest.MonkeyPatch.context() as patch:
        run_in(folder, patch)
    return folder


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that no stage has run in."""
    return write_project(tmp_path / "project")


def test_stage_writes_the_bundle_and_its_story(trained: Path) -> None:
    assert list(contents(trained / "models")) == ["model.json", "model.safetensors"]
    assert list(contents(trained / "results")) == [
        "train/augmentations.npy",
        "train/history.csv",
        "train/live/metrics.json",
        *(f"train/live/plots/metrics/live_{name}.tsv" for name in LIVE),
        "train/metrics.json",
        "train/timing.json",
    ]


def test_augmentations_of_the_first_training_image_are_kept(trained: Path) -> None:
    dataset, spec = load_dataset(trained / "data/split"), load_bundle(trained / "models").spec
    augment = AugmentParams.model_validate(spec.params["augment"])
    drawn = {"input_size": spec.input_size, "seed": spec.params["seed"], "count": 16}
    expected = augmentation_samples(dataset.images[dataset.rows("train")[0]], augment, **drawn)
    assert len({image.tobytes() for image in expected}) > 8
    kept = np.load(trained / "results/train/augmentations.npy")
    np.testing.assert_array_equal(kept, expected)


def test_metrics_are_flat_and_those_of_the_best_epoch(trained: Path) -> None:
    metrics = metrics_of(trained)
    history = pd.read_csv(trained / "results/train/history.csv")
    best = history.set_index("epoch").loc[metrics["best_epoch"]]
    assert len(metrics) <= 8
    assert all(isinstance(value, int | float) for value in metrics.values())
    assert metrics["epochs"] == len(history) == 3
    assert best["val_loss"] == history["val_loss"].min()
    for name in ("val_loss", "val_accuracy", "train_loss", "train_accuracy"):
        assert metrics[name] == pytest.approx(best[name], abs=1e-6)


def test_metrics_count_the_parameters(trained: Path) -> None:
    model = load_bundle(trained / "models").model
    count = sum(weight.numel() for weight in model.parameters())
    metrics = metrics_of(trained)
    assert (metrics["parameters"], metrics["trainable_parameters"]) == (count, count)


def test_bundle_describes_the_run_and_has_learned(trained: Path) -> None:
    bundle, dataset = load_bundle(trained / "models"), load_dataset(trained / "data/split")
    rows = dataset.rows("test")
    logits = bundle.model(torch.from_numpy(dataset.images[rows]))
    assert (logits.argmax(1).numpy() == dataset.labels[rows]).all()
    assert (bundle.spec.classes, bundle.spec.input_size) == (CLASSES, 8)
    assert bundle.spec.params == tiny_section()
    statistics = channel_statistics(dataset.images, dataset.rows("train"))
    assert (bundle.spec.mean, bundle.spec.std) == statistics


def test_the_temperature_is_that_of_the_models_answers_on_the_validation_split(
    trained: Path,
) -> None:
    bundle, dataset = load_bundle(trained / "models"), load_dataset(trained / "data/split")
    rows, centre = dataset.rows("val"), named_view("identity", 8, 8)
    (logits,) = predict_logits(bundle.model, dataset.images, rows, [centre], batch_size=5)
    expected = fit_temperature(logits, dataset.labels[rows])
    assert bundle.spec.temperature == pytest.approx(expected, rel=1e-3)
    assert bundle.spec.temperature != 1.0


def test_finished_run_leaves_no_state_behind(trained: Path) -> None:
    assert contents(trained / "cache") == {}


def test_program_prints_a_line_an_epoch_and_the_temperature_and_gives_the_same_bytes(
    project: Path, trained: Path
) -> None:
    done = run_program(project)
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[:2] for line in done.stdout.splitlines()] == [
        ["epoch", "1"],
        ["epoch", "2"],
        ["epoch", "3"],
        ["temperature", f"{load_bundle(trained / 'models').spec.temperature:.4f},"],
    ]
    assert outputs(project) == outputs(trained)


def test_program_ends_with_1_and_one_line_where_the_crop_is_too_large(tmp_path: Path) -> None:
    folder = write_project(tmp_path, tiny_section(input_size=9))
    done = run_program(folder)
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("error: train.input_size is 9, larger than")
    assert "split.stored_size 8" in done.stderr


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"epohcs": 1}, "train.epohcs is unknown"),
        ({"linear_probe_epochs": 1}, "it needs backbone.weights"),
    ],
)
def test_wrong_params_are_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], said: str
) -> None:
    folder = write_project(tmp_path, tiny_section(**changes))
    with pytest.raises(UserError, match=said):
        run_in(folder, monkeypatch)
    assert not [part for part in OUTPUTS if (folder / part).exists()]


def test_missing_data_is_reported(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(project / "data/split")
    with pytest.raises(UserError, match=r"data/split/manifest\.csv is missing"):
        run_in(project, monkeypatch)


def test_missing_backbone_is_reported(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(project / "data/backbone")
    with pytest.raises(UserError, match=r"backbone\.json is missing: run `dvc repro backbone`"):
        run_in(project, monkeypatch)


def test_network_that_cannot_take_the_images_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_backbone(backbone_params("alexnet"), project / "data/backbone")
    with pytest.raises(UserError, match="alexnet cannot take images of 8x8"):
        run_in(project, monkeypatch)


def test_run_killed_when_all_was_trained_ends_in_the_same_files(
    project: Path, trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run, "save_bundle", kill)
        with pytest.raises(KeyboardInterrupt):
            run_in(project, patch)
    # DVC deletes a stage's outputs before it runs the stage again.
    for part in OUTPUTS:
        shutil.rmtree(project / part, ignore_errors=True)
    run_in(project, monkeypatch)
    assert outputs(project) == outputs(trained)


def test_description_follows_the_params(project: Path) -> None:
    dataset = load_dataset(project / "data/split")
    backbone = backbone_spec(mean=(1.0, 2.0, 3.0), std=(4.0, 5.0, 6.0))
    params = tiny_params(input_size=6, model={"normalize": "pretrained"})
    spec = describe_model(params, dataset, backbone)
    assert (spec.mean, spec.std, spec.backbone) == (backbone.mean, backbone.std, backbone)
    assert (spec.stored_size, spec.input_size) == (8, 6)


@pytest.mark.parametrize("choice", ["none", "balanced"])
def test_loss_weighs_the_classes_as_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, choice: str
) -> None:
    given: list[torch.Tensor | None] = []

    def note(_state: object, _batches: object, loss: Loss, *_: object, **others: object) -> None:
        given.append(loss.weights)
        raise KeyboardInterrupt

    folder = write_project(tmp_path, tiny_section(class_weights=choice))
    path = folder / "data/split/manifest.csv"
    manifest = pd.read_csv(path)
    in_training = manifest[manifest["split"] == "train"].groupby("label").head(2)
    manifest.loc[in_training.index[in_training["label"] == 0], "split"] = "test"
    manifest.to_csv(path, index=False)
    monkeypatch.setattr(run, "fit", note)
    with pytest.raises(KeyboardInterrupt):
        run_in(folder, monkeypatch)
    if choice == "none":
        assert given == [None]
    else:
        # 34 training images: 10 of the first class, 12 of the others.
        assert given[0] is not None
        assert given[0].tolist() == pytest.approx([34 / 30, 34 / 36, 34 / 36])


def test_checkpoints_of_single_epochs_are_models_to_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: Path
) -> None:
    section = tiny_section(epochs=5, ema_decay=0.5)
    folder = write_project(tmp_path, section, {"checkpoint_epochs": 2})
    run_in(folder, monkeypatch)
    kept = sorted((folder / "cache/checkpoints").glob("*/*"))
    assert [path.name for path in kept] == ["epoch-002", "epoch-004"]
    dataset = load_dataset(folder / "data/split")
    rows = dataset.rows("val")
    with torch.no_grad():
        logits = load_bundle(kept[1]).model(torch.from_numpy(dataset.images[rows]))
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(dataset.labels[rows]))
    history = pd.read_csv(folder / "results/train/history.csv")
    # The history has six decimals.
    assert loss.item() == pytest.approx(history["val_loss"][3], abs=1e-6)


def test_how_often_checkpoints_are_kept_changes_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: Path
) -> None:
    folder = write_project(tmp_path, runtime={"checkpoint_epochs": 1})
    run_in(folder, monkeypatch)
    assert outputs(folder) == outputs(trained)


def test_network_that_answers_every_image_alike_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # At 8x8 nothing of an image comes through 32 times fewer pixels once batch norm is fixed.
    folder = write_project(tmp_path, tiny_section(epochs=1))
    write_backbone(backbone_params("mobilenet_v2"), folder / "data/backbone")
    with pytest.raises(UserError, match=r"same answer for every validation image.*input_size"):
        run_in(folder, monkeypatch)
    assert not (folder / "models/model.safetensors").exists()


def test_validation_images_that_are_all_equal_get_the_same_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_project(tmp_path, tiny_section(epochs=1))
    dataset = load_dataset(folder / "data/split")
    images = np.array(dataset.images)
    images[dataset.rows("val")] = images[0]
    np.save(folder / "data/split/images-0.npy", images)
    run_in(folder, monkeypatch)
    assert (folder / "models/model.safetensors").exists()
