"""The pages say what is true: tables, links, names, commands; and their recipes work."""

import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from builders import pages
from builders.clones import ROOT, Clone
from builders.colours import image_of, write_models
from builders.web.serving import running, served

from classifier.commands.main import COMMANDS, main
from classifier.core.config import SECTIONS, read_params
from classifier.core.params_edit import flatten
from classifier.inference.predict import load_model
from classifier.serving.metrics import ServingMetrics

TEXTS = {path.name: path.read_text("utf-8") for path in pages.PAGES}
# Recipes: every page but the list of error messages and the list of old names.
GUIDES = {name: text for name, text in TEXTS.items() if name not in ("bad-input.md", "renamed.md")}
README, HOW_TO = TEXTS["README.md"], TEXTS["how-to.md"]
in_origin = pytest.mark.xdist_group("origin")


def section(page: str, title: str) -> str:
    """What stands below a heading of the second level."""
    return page.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize(
    ("page", "name", "table"),
    [
        ("README.md", "packages", pages.packages_table()),
        ("README.md", "commands", pages.commands_table()),
        ("renamed.md", "renamed", pages.renamed_table()),
    ],
)
def test_a_generated_table_is_that_of_the_code(page: str, name: str, table: str) -> None:
    assert pages.between(TEXTS[page], name) == table


def test_readme_is_short_and_names_every_package_and_folder() -> None:
    assert len(README.splitlines()) < 200
    packages = {path.parent.name for path in ROOT.glob("classifier/*/__init__.py")}
    assert set(pages.PACKAGES) == packages
    entries = {name.split("/")[0] for name in tracked()}
    described = re.findall(r"`([^`]+)`", section(README, "Where things are"))
    assert {name for name in entries if not name.startswith(".")} <= {
        name.rstrip("/") for name in described
    }


def tracked(*patterns: str) -> list[str]:
    """Return the names of the files that Git tracks."""
    return subprocess.check_output(["git", "ls-files", *patterns], cwd=ROOT, text=True).splitlines()


def anchors(page: str) -> set[str]:
    """Return the names by which links lead to the headings of a page, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("name", tracked("*.md"))
def test_links_lead_somewhere(name: str) -> None:
    path = ROOT / name
    for target, _, anchor in re.findall(r"\]\(([^)#]*)(#([^)]*))?\)", path.read_text("utf-8")):
        if not target.startswith(("https:", "results/")):
            page = path.parent / target if target else path
            assert page.is_file(), target
            assert not anchor or anchor in anchors(page.read_text("utf-8")), (target, anchor)


def test_results_that_a_page_names_are_written_by_a_stage_or_a_command() -> None:
    # The stage of the recipe is not one of ours; what a run cost is not declared.
    others = "results/baseline/metrics.json results/train/timing.json"
    # Written by a command; Git tracks them.
    others += " results/cross_validate/metrics.json results/cross_validate/per_class.csv"
    others += " results/cross_validate/predictions.csv"
    declared = (ROOT / "dvc.yaml").read_text("utf-8") + others
    by_commands = (ROOT / ".gitignore").read_text("utf-8")
    for text in GUIDES.values():
        for path in re.findall(r"\bresults/[\w./]+\w", text):
            stem = path.rpartition(".")[0] or path
            assert path in declared or f"/{stem}." in by_commands or f"/{path}/" in by_commands, (
                path
            )


def test_parameters_that_a_page_names_exist() -> None:
    known = flatten(read_params(ROOT / "params.yaml"))
    for name, text in GUIDES.items():
        named = re.findall(rf"(?<![\w./-])((?:{'|'.join(SECTIONS)})(?:\.\w+)+)", text)
        for parameter in named:
            if not parameter.endswith((".py", ".md", ".csv", ".png", ".json", ".html")):
                assert any(f"{key}.".startswith(f"{parameter}.") for key in known), (
                    name,
                    parameter,
                )


def test_commands_that_a_page_names_have_these_options(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = [line for text in GUIDES.values() for line in pages.commands(text)]
    inline = [
        code for text in TEXTS.values() for code in re.findall(r"`(classifier [a-z-]+.*?)`", text)
    ]
    for line in [*lines, *inline]:
        for called in re.findall(r"\bclassifier ([a-z][a-z-]+)([^|&>]*)", line):
            name, rest = called
            assert name in COMMANDS, line
            with pytest.raises(SystemExit):
                main([name, "--help"])
            shown = capsys.readouterr().out
            for option in re.findall(r"(?<!\S)--[a-z0-9-]+", rest):
                assert option in shown, line


def test_every_metric_of_the_server_is_named() -> None:
    shown = ServingMetrics("v", lambda: 0.0).text().decode()
    names = re.findall(r"^# TYPE (\w+)", shown, re.MULTILINE)
    named = re.findall(r"`(classifier_\w+)(?:\{\w+\})?`", section(TEXTS["serving.md"], "Over HTTP"))
    assert {name for name in names if not name.endswith("_created")} == set(named)


def test_every_parameter_of_load_model_is_in_its_table() -> None:
    table = section(TEXTS["serving.md"], "In a Python program")
    rows = re.findall(r"^\| `(\w+)` \| `?([^|`]+)`? \|", table, re.MULTILINE)
    parameters = inspect.signature(load_model).parameters.values()
    defaults = {one.name: str(one.default) for one in parameters}
    assert {name: default.strip().strip('"') for name, default in rows} == defaults


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a trained model, its export elsewhere, and a photo."""
    write_models(tmp_path / "models")
    shutil.copytree(tmp_path / "models/export", tmp_path / "exp")
    (tmp_path / "photo.jpg").write_bytes(image_of("red"))
    (tmp_path / "holiday").mkdir()
    (tmp_path / "holiday/1.jpg").write_bytes(image_of("blue"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", ["README.md", "export.md"])
def test_python_examples_run(page: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    examples = pages.blocks(TEXTS[page], "python")
    assert examples
    for example in examples:
        exec(compile(example, page, "exec"), {})
        assert capsys.readouterr().out.startswith("red")


def test_predictions_of_the_readme_run(project: Path) -> None:
    (line,) = [line for line in pages.commands(README) if line.startswith("classifier predict")]
    done = subprocess.run(
        [sys.executable, "-m", *shlex.split(line)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert [row.split()[1] for row in done.stdout.splitlines()] == ["red", "blue"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("page", ["README.md", "serving.md"])
def test_requests_are_answered(page: str, project: Path) -> None:
    requests = [line for line in pages.commands(TEXTS[page]) if line.startswith("curl")]
    assert requests
    with running(served(project / "models")) as url:
        for line in requests:
            command = shlex.split(line.replace("localhost:8000", url))
            done = subprocess.run([*command, "-sS"], capture_output=True, text=True, check=True)
            assert '"label":"red"' in done.stdout


@in_origin
def test_a_stage_is_added_as_the_recipe_says(origin: Clone, tmp_path: Path) -> None:
    clone = origin.copied(tmp_path / "clone")
    recipe = section(HOW_TO, "Add a stage").replace("\n   ", "\n")
    library, program = pages.blocks(recipe, "python")
    params, pipeline = pages.blocks(recipe, "yaml")
    (clone.folder / "classifier/evaluation/baseline.py").write_text(library, "utf-8")
    (clone.folder / "stages/baseline.py").write_text(program, "utf-8")
    edit(clone, "classifier/core/config.py", r"^(STAGES = .*)\)$", r'\1, "baseline")')
    edit(
        clone,
        "classifier/commands/check.py",
        r'^( +)("runtime": .*)$',
        r'\1"baseline": BaselineParams,\n\1\2',
    )
    edit(
        clone,
        "classifier/commands/check.py",
        r"^(from classifier\.core\.errors .*)$",
        r"\1\nfrom classifier.evaluation.baseline import BaselineParams",
    )
    with (clone.folder / "params.yaml").open("a", encoding="utf-8") as file:
        file.write(f"\n{params}")
    edit(clone, "dvc.yaml", r"^  report:$", f"{pipeline.rstrip()}\n  report:")
    listing, running_it = pages.blocks(recipe, "sh")
    closure = clone.run("bash", "-euc", listing.replace("python", sys.executable, 1)).split()
    deps = yaml.safe_load(pipeline)["baseline"]["deps"]
    assert {name for name in closure if "/" in name} == {
        name for name in deps if name.startswith("classifier/")
    }
    for line in running_it.splitlines():
        program, *arguments = shlex.split(line)
        if program == "classifier":
            clone.run(sys.executable, "-m", "classifier", *arguments)
        elif program == "dvc":
            assert "Running stage 'baseline'" in clone.dvc(*arguments)
        else:
            clone.run(sys.executable, *arguments, "-p", "no:cacheprovider")
    assert (clone.folder / "results/baseline/metrics.json").is_file()


def edit(clone: Clone, name: str, pattern: str, replacement: str) -> None:
    path = clone.folder / name
    text, count = re.subn(
        pattern, replacement, path.read_text("utf-8"), count=1, flags=re.MULTILINE
    )
    assert count == 1, name
    path.write_text(text, "utf-8")


@in_origin
def test_a_conflict_in_the_lock_file_is_resolved_as_the_recipe_says(
    origin: Clone, tmp_path: Path
) -> None:
    clone = origin.copied(tmp_path / "clone")
    clone.run("git", "checkout", "--quiet", "-b", "other")
    # A fast stage, whose outputs neither change alters, so that the later ones need not run.
    changes = {"other": {"allow_missing_classes": "true"}, "main": {"on_bad_image": "skip"}}
    for branch, change in changes.items():
        clone.run("git", "checkout", "--quiet", branch)
        clone.set_params(**change)
        clone.dvc("repro", "--single-item", "split")
        clone.commit(branch)
    (recipe,) = pages.blocks(
        section(HOW_TO, "Merge two branches that conflict in `dvc.lock`"), "sh"
    )
    merge, *rest = recipe.splitlines()
    assert clone.start("bash", "-c", merge).wait() != 0
    clone.run("bash", "-euc", "\n".join(rest).replace("\ndvc", f"\n{sys.executable} -m dvc"))
    assert clone.run("git", "status", "--porcelain") == ""
    assert "<<<<" not in (clone.folder / "dvc.lock").read_text("utf-8")
    assert "Running stage" not in clone.dvc("repro")


@in_origin
def test_the_data_set_changes_and_the_disk_is_freed_as_the_recipes_say(
    origin: Clone, tmp_path: Path
) -> None:
    clone = origin.copied(tmp_path / "clone")
    # A cache of its own: nothing of what other clones share is to be removed.
    clone.dvc("config", "--local", "--unset", "cache.dir")
    shutil.copytree(origin.folder / ".dvc/cache", clone.folder / ".dvc/cache", dirs_exist_ok=True)
    # Another seed of the split stands for other images.
    (changing,) = pages.blocks(section(HOW_TO, "Change the data set"), "sh")
    clone.set_params(seed="5")
    status, repro, *rest = changing.splitlines()
    assert "split" in clone.run("bash", "-euc", with_dvc(status))
    assert repro == "dvc repro"
    clone.dvc("repro", "split")
    clone.run("bash", "-euc", with_dvc("\n".join(rest)))
    (freeing,) = pages.blocks(section(HOW_TO, "Free disk space"), "sh")
    dry, really = freeing.splitlines()
    clone.run("bash", "-euc", with_dvc(dry))
    clone.run("bash", "-euc", f"yes | {with_dvc(really)}")


def with_dvc(script: str) -> str:
    """The script with this environment's DVC."""
    return re.sub(r"^dvc ", f"{sys.executable} -m dvc ", script, flags=re.MULTILINE)


@in_origin
def test_data_and_models_are_shared_as_the_page_says(origin: Clone, tmp_path: Path) -> None:
    clone = origin.copied(tmp_path / "clone")
    sending, fetching = pages.blocks(TEXTS["sharing.md"], "sh")[:2]
    remote = str(tmp_path / "remote")
    script = with_dvc(sending).replace("/mnt/team/dvc", remote)
    clone.run(
        "bash", "-euc", script.replace("classifier push", f"{sys.executable} -m classifier push")
    )
    other = clone.cloned(tmp_path / "other", tmp_path / "cache")
    said = other.run("bash", "-euc", with_dvc(fetching))
    assert "Running stage" not in said
    assert other.hashes() == clone.hashes()
