from pathlib import Path

import numpy as np
import pytest

from classifier.core.code import ROOT
from classifier.core.errors import UserError
from classifier.core.stage import check_versions

STAGES = sorted(path.stem for path in (ROOT / "stages").glob("[!_]*.py"))


def write(folder: Path, versions: str, declared: str = "numpy") -> Path:
    """A dvc.yaml whose stage `train` declares libraries, and a versions.yaml."""
    params = f"params: [train, {{versions.yaml: [{declared}]}}]"
    (folder / "dvc.yaml").write_text(f"stages: {{train: {{{params}}}, report: {{}}}}", "utf-8")
    (folder / "versions.yaml").write_text(versions, "utf-8")
    return folder


def test_installed_versions_are_accepted(tmp_path: Path) -> None:
    check_versions("train", write(tmp_path, f'numpy: "{np.__version__}"'))


def test_other_version_is_refused_with_both_and_the_remedy(tmp_path: Path) -> None:
    said = rf"numpy 0\.1 is needed, and {np.__version__} is installed: run `make setup`"
    with pytest.raises(UserError, match=said):
        check_versions("train", write(tmp_path, 'numpy: "0.1"'))


def test_library_that_is_not_installed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"missing-library 1\.0 is needed, and none is installed"):
        check_versions("train", write(tmp_path, 'missing-library: "1.0"', "missing-library"))


def test_optional_library_may_be_missing_but_not_another_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("classifier.core.stage.OPTIONAL", {"missing-library", "numpy"})
    check_versions("train", write(tmp_path, 'missing-library: "1.0"', "missing-library"))
    with pytest.raises(UserError, match=r"numpy 0\.1 is needed"):
        check_versions("train", write(tmp_path, 'numpy: "0.1"'))


def test_libraries_that_a_stage_does_not_declare_do_not_matter(tmp_path: Path) -> None:
    versions = f'numpy: "{np.__version__}"\npillow: "0.1"'
    check_versions("train", write(tmp_path, versions))
    check_versions("report", write(tmp_path, 'numpy: "0.1"'))


def test_declaration_without_names_stands_for_all_libraries(tmp_path: Path) -> None:
    folder = write(tmp_path, 'numpy: "0.1"')
    pipeline = folder / "dvc.yaml"
    pipeline.write_text(pipeline.read_text("utf-8").replace("[numpy]", "null"), "utf-8")
    with pytest.raises(UserError, match=r"numpy 0\.1 is needed"):
        check_versions("train", folder)


def test_how_a_library_was_built_does_not_matter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("classifier.core.versions.version", lambda name: "2.15.0+cu128")
    check_versions("train", write(tmp_path, 'numpy: "2.15.0"'))


@pytest.mark.parametrize("missing", ["dvc.yaml", "versions.yaml"])
def test_missing_file_is_named_with_the_remedy(tmp_path: Path, missing: str) -> None:
    (write(tmp_path, 'numpy: "0.1"') / missing).unlink()
    with pytest.raises(UserError, match=f"{missing} is missing: .* `git checkout {missing}`"):
        check_versions("train", tmp_path)
