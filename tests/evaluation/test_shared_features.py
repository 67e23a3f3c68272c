from pathlib import Path

import numpy as np
import pytest
import yaml
from builders.backbones import write_random_backbone
from builders.projects import EVALUATE
from builders.tiny import contents, tiny_section, write_project

from classifier.data.dataset import load_dataset
from classifier.data.stored_images import Images
from classifier.models.extractor import FeatureExtractor
from classifier.processing.views import View
from stages import evaluate, train


def project_of_a_frozen_backbone(folder: Path) -> None:
    """Write a project that trains on features in bfloat16."""
    section = tiny_section(head="logistic", model={"freeze": "backbone"}, precision="bf16")
    write_project(folder, section)
    write_random_backbone(folder)
    path = folder / "params.yaml"
    params = yaml.safe_load(path.read_text()) | {"evaluate": EVALUATE}
    path.write_text(yaml.safe_dump(params))


def written() -> dict[str, bytes]:
    evaluate.main()
    results = contents(Path("results/evaluate"), without="timing.json")
    return results | contents(Path("models"))


def test_evaluation_shares_the_features_of_the_training_and_gives_the_same_bytes_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project_of_a_frozen_backbone(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLASSIFIER_CACHE", str(tmp_path / "cache"))
    train.main()
    computed: list[int] = []
    compute = FeatureExtractor._compute

    def note(self: FeatureExtractor, images: Images, rows: np.ndarray, view: View) -> np.ndarray:
        computed.extend(rows.tolist())
        return compute(self, images, rows, view)

    monkeypatch.setattr(FeatureExtractor, "_compute", note)
    first = written()
    assert computed == load_dataset(tmp_path / "data/split").rows("test").tolist()
    monkeypatch.setenv("CLASSIFIER_CACHE", str(tmp_path / "empty"))
    assert written() == first
