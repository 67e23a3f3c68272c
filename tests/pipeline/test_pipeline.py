"""The pipeline as DVC runs it: dvc.yaml against the code, and whole runs in clones."""

import re
from pathlib import Path

import pytest
import yaml
from builders.clones import ROOT, Clone
from PIL import Image

from classifier.commands.check import SCHEMAS
from classifier.core.code import import_closure
from classifier.core.config import SECTIONS, STAGES

CODE = ("classifier/", "stages/")
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))
ALL_STAGES = tuple(PIPELINE["stages"])
# One worker makes the clones, so that they are made once.
in_clones = pytest.mark.xdist_group("pipeline")


@pytest.mark.parametrize("stage", ALL_STAGES)
def test_deps_are_exactly_the_packages_that_a_stage_imports(stage: str):
    declared = {dep for dep in PIPELINE["stages"][stage]["deps"] if dep.startswith(CODE)}
    closure = [Path(name) for name in import_closure(f"stages.{stage}")]
    packages = {path.parent.as_posix() for path in closure if len(path.parts) > 2}
    others = {path.as_posix() for path in closure if len(path.parts) <= 2}
    assert declared == packages | others


@pytest.mark.parametrize("stage", ALL_STAGES)
def test_a_stage_is_a_program_a_section_and_a_description(stage: str):
    declared = PIPELINE["stages"][stage]
    assert declared["cmd"] == f"python -m stages.{stage}"
    assert declared.get("params", []) == ([stage] if stage in STAGES else [])
    assert declared["desc"]


@pytest.mark.parametrize("stage", ALL_STAGES)
def test_results_are_not_cached_and_lie_in_the_stage_s_folder(stage: str):
    declared = PIPELINE["stages"][stage]
    for output in declared.get("metrics", []) + declared.get("plots", []):
        ((path, options),) = output.items()
        assert path.startswith(f"results/{stage}/")
        assert options["cache"] is False


def test_every_section_has_a_schema():
    assert tuple(SCHEMAS) == SECTIONS
    assert ALL_STAGES[:-1] == STAGES


@pytest.fixture(scope="module")
def clones(tmp_path_factory: pytest.TempPathFactory) -> tuple[Clone, Clone]:
    """Two clones in folders of different depth, in which the pipeline has run."""
    folder, cache = (tmp_path_factory.mktemp(name) for name in ("clones", "caches"))
    made = (
        Clone.of_work_tree(folder / "first", cache / "first"),
        Clone.of_work_tree(folder / "second" / "and deeper", cache / "second"),
    )
    for clone in made:
        clone.begin_anew(epochs=2)
        clone.dvc("repro")
        clone.commit("as run")
    return made


@in_clones
def test_two_clones_give_the_same_bytes(clones: tuple[Clone, Clone]):
    first, second = (clone.hashes() for clone in clones)
    assert first == second
    assert {"dvc.lock", "models/model.safetensors", "models/export/model.onnx"} <= set(first)


@in_clones
def test_every_output_is_declared_and_every_declared_one_is_there(clones: tuple[Clone, Clone]):
    declared: set[str] = set()
    for stage in PIPELINE["stages"].values():
        declared |= set(stage.get("outs", []))
        declared |= {next(iter(o)) for o in stage.get("metrics", []) + stage.get("plots", [])}
    for path in declared:
        assert (clones[0].folder / path).exists()
    written = [path for path in clones[0].hashes() if path not in ("dvc.lock", "data/.gitignore")]
    inside = [
        any(path == out or path.startswith(f"{out}/") for out in declared) for path in written
    ]
    assert [path for path, known in zip(written, inside, strict=True) if not known] == [
        path for path in written if path.endswith(".gitignore")
    ]


@in_clones
def test_a_second_repro_has_nothing_to_do(clones: tuple[Clone, Clone]):
    before = clones[0].hashes()
    said = clones[0].dvc("repro")
    assert "Running stage" not in said
    assert "up to date" in said
    assert clones[0].hashes() == before


@in_clones
def test_a_forced_repro_gives_the_same_bytes(clones: tuple[Clone, Clone]):
    before = clones[1].hashes()
    clones[1].dvc("repro", "--force", "--no-run-cache")
    assert clones[1].hashes() == before


@in_clones
def test_a_change_in_the_library_reruns_the_stages_that_use_it(clones: tuple[Clone, Clone]):
    path = clones[0].folder / "classifier" / "metrics.py"
    before = path.read_text("utf-8")
    path.write_text(f"{before}\n# changed\n", "utf-8")
    said = clones[0].dvc("status")
    path.write_text(before, "utf-8")
    changed = re.findall(r"^(\w+):$", said, flags=re.M)
    assert changed == ["evaluate", "tta_evaluate", "report"]


@in_clones
def test_a_new_image_in_a_watched_folder_reruns_the_download(
    clones: tuple[Clone, Clone], tmp_path: Path
):
    clone, photos = clones[1], tmp_path / "photos"
    (photos / "cat").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(photos / "cat" / "first.png")
    clone.set_params(source="folder", url=str(photos), watch=str(photos))
    clone.dvc("repro", "--single-item", "download")
    assert "up to date" in clone.dvc("status", "download")
    Image.new("RGB", (8, 8)).save(photos / "cat" / "second.png")
    assert "modified" in clone.dvc("status", "download")
    clone.run("git", "checkout", "--", ".")
    clone.dvc("checkout")


@in_clones
def test_a_queued_experiment_uses_its_own_copy_of_the_library(clones: tuple[Clone, Clone]):
    clone = clones[1]
    clone.dvc("exp", "run", "--queue", "--set-param", "train.optimizer.lr=0.001")
    # What is in the work tree when the queue starts must not matter.
    path = clone.folder / "classifier" / "training.py"
    library = path.read_text("utf-8")
    path.write_text('raise RuntimeError("not this copy")\n', "utf-8")
    clone.dvc("exp", "run", "--run-all")
    path.write_text(library, "utf-8")
    (revision,) = clone.dvc("exp", "list", "--sha-only").split()
    history = "results/train/history.csv"
    queued, before = (clone.run("git", "show", f"{at}:{history}") for at in (revision, "HEAD"))
    assert len(queued.splitlines()) == len(before.splitlines())
    assert queued != before
