"""dvc.yaml against the code: what each stage declares, and what it imports."""

import ast
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from builders.clones import ROOT

from classifier.commands.check import SCHEMAS
from classifier.core.code import DATA_SUFFIXES, PACKAGES, import_closure
from classifier.core.config import SECTIONS, STAGES
from classifier.core.versions import LIBRARIES

CODE = ("classifier/", "stages/")
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text("utf-8"))
ALL_STAGES = tuple(PIPELINE["stages"])
INIT_FILES = [path for name in PACKAGES for path in sorted((ROOT / name).rglob("__init__.py"))]
# What a library is imported as, where that is not its name.
IMPORTED_AS = {
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "faiss": "faiss-cpu",
    "pillow_heif": "pillow-heif",
}
# Stages that decode image files; the others import what decodes them, and read data/split.
DECODE_FILES = {"split", "evaluate"}
# Libraries whose releases leave no trace in a result, and why.
WITHOUT_TRACE = {
    "distributed": "computes what this machine would",
    "huggingface_hub": "brings files of a pinned revision",
    "platformdirs": "names folders outside of the project",
    "psutil": "asks about processes",
    "pyarrow": "reads the values that are in a table",
    "pydantic": "checks values",
    "pydantic_core": "checks values",
    "threadpoolctl": "sets numbers of threads",
    "tqdm": "prints",
    "yaml": "reads the values that are in params.yaml",
}


def library_imports(path: Path) -> set[str]:
    """Libraries that a source file imports when it runs, and not only for annotations.

    Those of Python and of this project are left out.
    """
    tree = ast.parse(path.read_text("utf-8"))
    annotations = [
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    ]
    names: set[str] = set()
    for node in ast.walk(tree):
        if node in annotations:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    tops = {name.split(".")[0] for name in names}
    others = tops - {*PACKAGES, *sys.stdlib_module_names}
    return {IMPORTED_AS.get(name, name) for name in others}


@pytest.mark.parametrize("stage", ALL_STAGES)
def test_deps_are_exactly_the_packages_that_a_stage_imports(stage: str) -> None:
    declared = {dep for dep in PIPELINE["stages"][stage]["deps"] if dep.startswith(CODE)}
    closure = [Path(name) for name in import_closure(f"stages.{stage}")]
    packages = {path.parents[-3].as_posix() for path in closure if len(path.parts) > 2}
    assert declared == packages | {f"stages/{stage}.py"}
    # The two top-level packages, which are no deps, hold nothing that a result could depend on.
    others = {path.as_posix() for path in closure if len(path.parts) <= 2}
    assert others - {f"stages/{stage}.py"} == {"classifier/__init__.py", "stages/__init__.py"}


# The library's own also sets what must hold in every process before a library is imported.
@pytest.mark.parametrize("stage", ALL_STAGES)
def test_data_that_a_program_names_is_declared(stage: str) -> None:
    tree = ast.parse((ROOT / "stages" / f"{stage}.py").read_text("utf-8"))
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    named = {text for text in texts if isinstance(text, str) and text.startswith("data/")}
    declared = [*PIPELINE["stages"][stage]["deps"], *PIPELINE["stages"][stage].get("outs", [])]
    assert not {name for name in named if not any(of.startswith(name) for of in declared)}


@pytest.mark.parametrize("path", INIT_FILES[1:], ids=str)
def test_init_files_hold_a_docstring_alone(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    assert len(tree.body) == 1
    assert ast.get_docstring(tree)


@pytest.mark.parametrize("stage", ALL_STAGES)
def test_versions_are_those_of_the_libraries_that_a_stage_imports(stage: str) -> None:
    *_, declared = PIPELINE["stages"][stage]["params"]
    files = [name for name in import_closure(f"stages.{stage}") if name.endswith(".py")]
    imported = set().union(*(library_imports(ROOT / name) for name in files))
    assert imported <= {*LIBRARIES, *WITHOUT_TRACE}
    if stage == "export":
        # What torch.onnx.export writes with, and what is imported by a computed name.
        imported |= {"onnx-ir", "onnxscript", "executorch"}
    if stage == "report":
        # The model card names the versions of all.
        assert declared == {"versions.yaml": None}
        return
    if stage not in DECODE_FILES:
        imported.discard("pillow-heif")
    assert declared == {"versions.yaml": [name for name in LIBRARIES if name in imported]}


@pytest.mark.parametrize("stage", ALL_STAGES)
def test_a_stage_is_a_program_a_section_and_a_description(stage: str) -> None:
    declared = PIPELINE["stages"][stage]
    assert declared["cmd"] == f"python -m stages.{stage}"
    assert declared["params"][:-1] == ([stage] if stage in STAGES else [])
    assert declared["desc"]


@pytest.mark.parametrize("stage", ALL_STAGES)
def test_results_are_not_cached_and_lie_in_the_stage_s_folder(stage: str) -> None:
    declared = PIPELINE["stages"][stage]
    for output in declared.get("metrics", []) + declared.get("plots", []):
        ((path, options),) = output.items()
        assert path.startswith(f"results/{stage}/")
        assert options["cache"] is False


def test_every_section_has_a_schema() -> None:
    assert tuple(SCHEMAS) == SECTIONS
    # DVC shows metrics in the order of dvc.yaml, where train therefore comes later.
    assert sorted(ALL_STAGES[:-1]) == sorted(STAGES)


def test_pages_of_packages_are_known_to_dvc_and_to_the_wheel() -> None:
    patterns = (ROOT / ".dvcignore").read_text("utf-8").splitlines()
    allowed = {line for line in patterns if line.startswith("!/classifier/**/*.")}
    assert allowed == {f"!/classifier/**/*{suffix}" for suffix in (".py", *DATA_SUFFIXES)}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    package_data = project["tool"]["setuptools"]["package-data"]
    files = [path for path in (ROOT / "classifier").rglob("*") if path.suffix in DATA_SUFFIXES]
    assert files
    for path in files:
        package = next(folder for folder in path.parents if (folder / "__init__.py").is_file())
        patterns = package_data[".".join(package.relative_to(ROOT).parts)]
        assert any(path in package.glob(pattern) for pattern in patterns), path
