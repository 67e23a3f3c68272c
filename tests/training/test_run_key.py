from pathlib import Path

import numpy as np
import pytest
import torch
from builders.library import copy_library, edit, edited
from builders.tiny import write_split

from classifier.core import code, versions
from classifier.core.code import import_closure
from classifier.data.dataset import Dataset
from classifier.training import checkpoint
from classifier.training.checkpoint import TRAINING, CheckpointFolder, run_key

CPU = torch.device("cpu")
WEIGHTS = {"layer.weight": torch.ones(2)}


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    return write_split(tmp_path / "split")


def test_key_repeats_itself_and_needs_no_states(tmp_path: Path, dataset: Dataset) -> None:
    key = run_key({"a": 1, "b": {"c": 2.5}}, tmp_path / "split", dataset.images, WEIGHTS, CPU)
    assert key == run_key(
        {"b": {"c": 2.5}, "a": 1}, tmp_path / "split", dataset.images, WEIGHTS, CPU
    )
    CheckpointFolder(key).clear()


def test_key_changes_with_params_weights_data_and_code(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, library = tmp_path / "split", copy_library(tmp_path / "copy")
    monkeypatch.setattr(code, "ROOT", library)
    keys = [run_key({"lr": rate}, folder, dataset.images, WEIGHTS, CPU) for rate in (0.1, 0.2)]
    keys.append(run_key({"lr": 0.1}, folder, dataset.images, {"layer.weight": torch.zeros(2)}, CPU))
    edit(library / "classifier/data/augment.py")
    keys.append(run_key({"lr": 0.1}, folder, dataset.images, WEIGHTS, CPU))
    (folder / "classes.json").write_text("[]")
    keys.append(run_key({"lr": 0.1}, folder, dataset.images, WEIGHTS, CPU))
    others = np.array(dataset.images)
    others[0, 0, 0, 0] += 1
    keys.append(run_key({"lr": 0.1}, folder, others, WEIGHTS, CPU))
    assert len(set(keys)) == 6


def test_key_changes_with_every_file_that_training_imports_and_with_no_other(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = copy_library(tmp_path / "copy")
    monkeypatch.setattr(code, "ROOT", library)

    def key() -> str:
        return run_key({"lr": 0.1}, tmp_path / "split", dataset.images, WEIGHTS, CPU)

    closure = import_closure(TRAINING)
    assert {"classifier/training/loop.py", "classifier/core/random.py"} <= {*closure}
    before = key()
    for name in closure:
        with edited(library / name):
            assert key() != before, name
    for name in ("serving/app.py", "commands/predict.py", "evaluation/compare.py"):
        with edited(library / "classifier" / name):
            assert key() == before, name


def test_key_changes_with_curriculum_device_and_versions(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def key(**options: str) -> str:
        return run_key({"lr": 0.1}, tmp_path / "split", dataset.images, WEIGHTS, CPU, **options)

    keys = [key(), key(curriculum="losses")]
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "device_name", lambda device: "another processor")
        keys.append(key())
    installed = versions.version
    for library in ("torch", "torchvision", "timm", "numpy", "pillow", "scipy"):

        def version(name: str, library: str = library) -> str:
            return "0.1" if name == library else installed(name)

        monkeypatch.setattr(versions, "version", version)
        keys.append(key())
    assert len(set(keys)) == 9


def test_key_stays_where_batches_are_divided_otherwise(
    tmp_path: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "split", dataset.images, WEIGHTS, CPU
    key = run_key({"lr": 0.1, "grad_accumulation_steps": 1}, *data)
    threads = torch.get_num_threads()
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads + 1)
    assert key == run_key({"lr": 0.1, "grad_accumulation_steps": 2}, *data)
