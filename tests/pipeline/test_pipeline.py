"""The pipeline as DVC runs it: whole runs in clones."""

import re
import shutil
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from builders.audit import audit_variables, opened
from builders.clones import ROOT, Clone
from builders.library import edited
from PIL import Image

from classifier.core.code import import_closure

PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))
ALL_STAGES = tuple(PIPELINE["stages"])
# A notebook's backend, another time zone and locale, another order of sets.
AROUND = {
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "TZ": "Pacific/Kiritimati",
    "LC_ALL": "C",
    "PYTHONHASHSEED": "7",
}
# One worker makes the clones, so that they are made once.
in_clones = pytest.mark.xdist_group("pipeline")


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the stages of the second clone record what they open."""
    return tmp_path_factory.mktemp("audit") / "hook"


@pytest.fixture(scope="module")
def clones(
    tmp_path_factory: pytest.TempPathFactory, audit: Path, origin: Clone
) -> tuple[Clone, Clone]:
    """Two clones in folders of different depth, in the second of which everything has run again.

    What surrounds that run differs in all that must not matter, and its cache was empty.
    """
    folder, cache = (tmp_path_factory.mktemp(name) for name in ("clones", "caches"))
    style = folder / "matplotlibrc"
    style.write_text("lines.linewidth: 9\nfont.size: 30\nsavefig.dpi: 20\n", "utf-8")
    around = {"MATPLOTLIBRC": str(style), **AROUND, **audit_variables(audit)}
    copy = origin.copied(folder / "second" / "and deeper")
    second = replace(copy, cache=cache / "second", variables=around)
    second.dvc("repro", "--force", "--no-run-cache")
    return origin.copied(folder / "first"), second


@in_clones
def test_a_forced_repro_in_another_clone_gives_the_same_bytes(clones: tuple[Clone, Clone]):
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
    kept_by_git = {"dvc.lock", "data/.gitignore", "data/corrections.csv", "data/losses.csv"}
    written = [path for path in clones[0].hashes() if path not in kept_by_git]
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


@pytest.fixture(scope="module")
def read(clones: tuple[Clone, Clone], audit: Path) -> dict[str, set[str]]:
    """Files of the project that each stage of the second clone has opened for reading."""
    project = clones[1].folder
    return {
        stage: {name for name in names if name[0] != "." and (project / name).is_file()}
        for stage, names in opened(audit, project).items()
    }


@in_clones
@pytest.mark.parametrize("stage", ALL_STAGES)
def test_a_stage_opens_nothing_of_the_project_but_what_it_declares(
    read: dict[str, set[str]], stage: str
):
    declared = PIPELINE["stages"][stage]
    names = [next(iter(entry)) if isinstance(entry, dict) else entry for entry in outputs(stage)]
    known = {"dvc.yaml", *names, *declared["deps"], *import_closure(f"stages.{stage}")}
    for entry in declared["params"]:
        known.add("versions.yaml" if isinstance(entry, dict) else "params.yaml")
    assert f"stages/{stage}.py" in read[stage]
    assert sorted(name for name in read[stage] if not is_within(name, known)) == []


@in_clones
def test_files_beside_the_source_make_no_stage_stale(clones: tuple[Clone, Clone]):
    package = clones[0].folder / "classifier/core"
    (package / "notes.txt").write_text("to do")
    (package / "__pycache__").mkdir(exist_ok=True)
    (package / "__pycache__/old.cpython-311.pyc").write_bytes(b"old")
    (package / "drafts").mkdir()
    (package / "drafts/idea.md").touch()
    said = clones[0].dvc("status")
    shutil.rmtree(package / "drafts")
    (package / "notes.txt").unlink()
    assert "up to date" in said


@in_clones
def test_a_change_of_what_shows_or_serves_or_searches_makes_no_trained_stage_stale(
    clones: tuple[Clone, Clone],
):
    changed = stale(clones[0], "plotting", "report", "serving", "commands", "sweep")
    assert changed == {"evaluate", "tta_evaluate", "report"}


@in_clones
def test_a_change_in_a_package_makes_the_stages_stale_that_import_it(clones: tuple[Clone, Clone]):
    assert stale(clones[0], "splitting") == {"split"}
    assert stale(clones[0], "core") == set(ALL_STAGES)


@in_clones
def test_another_version_of_a_library_is_shown_makes_stale_and_is_refused(
    clones: tuple[Clone, Clone],
):
    clone = clones[0]
    versions = clone.folder / "versions.yaml"
    before = versions.read_text("utf-8")
    versions.write_text(re.sub(r"(?m)^torch: .*", 'torch: "0.1"', before), "utf-8")
    shown, said = clone.dvc("params", "diff"), clone.dvc("status")
    process = clone.start(sys.executable, "-m", "stages.train")
    error = process.communicate()[1]
    versions.write_text(before, "utf-8")
    assert re.search(r"versions\.yaml +torch +\S+ +0\.1", shown)
    assert set(re.findall(r"^(\w+):$", said, flags=re.M)) == set(ALL_STAGES) - {
        "download",
        "split",
    }
    assert process.returncode == 1
    assert re.fullmatch(r"error: torch 0\.1 is needed, .*: run `make setup`, .*\n", error)


def stale(clone: Clone, *packages: str) -> set[str]:
    """The stages that DVC would run again after an edit in each of these packages."""
    with ExitStack() as edits:
        for package in packages:
            folder = clone.folder / "classifier" / package
            edits.enter_context(edited(min(folder.glob("[!_]*.py"))))
        return set(re.findall(r"^(\w+):$", clone.dvc("status"), flags=re.M))


def outputs(stage: str) -> list[str | dict]:
    """All outputs, metrics and plots that a stage declares."""
    declared = PIPELINE["stages"][stage]
    return [entry for kind in ("outs", "metrics", "plots") for entry in declared.get(kind, [])]


def is_within(name: str, known: set[str]) -> bool:
    """Whether one of `known` is this file or a folder around it."""
    return bool(known & {name, *(path.as_posix() for path in Path(name).parents)})


@in_clones
def test_a_new_image_in_a_watched_folder_reruns_the_download(
    clones: tuple[Clone, Clone], tmp_path: Path
):
    clone, photos = clones[1], tmp_path / "photos"
    for name in ("cat", "dog"):
        (photos / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(photos / name / "first.png")
    clone.set_params(source="folder", url=str(photos), watch=str(photos))
    clone.dvc("repro", "--single-item", "download")
    assert "up to date" in clone.dvc("status", "download")
    Image.new("RGB", (8, 8)).save(photos / "cat" / "second.png")
    assert "modified" in clone.dvc("status", "download")
    clone.run("git", "checkout", "--", ".")
    clone.dvc("checkout")
