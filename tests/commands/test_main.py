import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from classifier.commands.main import COMMANDS, main
from classifier.core.errors import UserError

REPOSITORY = Path(__file__).parents[2]
# What takes long to import; predict and serve run where it is not installed.
HEAVY = ("torch", "pandas", "matplotlib", "sklearn", "scipy", "onnx", "dvc", "optuna")


def loaded(*arguments: str) -> str:
    """Run a command in a process of its own; return the heavy packages that it imported."""
    code = (
        "import sys\nfrom classifier.commands.main import main\n"
        "try: main(sys.argv[1:])\nexcept SystemExit as end: assert end.code == 0\n"
        f"print('loaded', sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[-1].removeprefix("loaded ")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_every_command_shows_its_usage_and_runs_nothing(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: classifier {name}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "sentence"), [([], "name a command"), (["--wrong"], "there is no option --wrong")]
)
def test_what_is_missing_before_a_command_is_told(arguments: list[str], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        main(arguments)


@pytest.mark.parametrize("name", COMMANDS)
def test_unknown_option_of_every_command_is_one_sentence(name: str) -> None:
    with pytest.raises(UserError, match=f"`classifier {name} --help` describes the options"):
        main([name, "--wrong"])


@pytest.mark.parametrize("name", COMMANDS)
def test_a_double_dash_after_the_command_reaches_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[list[str]] = []
    module = f"classifier.commands.{name.replace('-', '_')}"
    monkeypatch.setattr(f"{module}.main", given.append)
    main([name, "--", "-dash", "--"])
    assert given == [["--", "-dash", "--"]]


@pytest.mark.parametrize(
    "arguments",
    [
        ("predict", ""),
        ("predict", "x.png", "--models", ""),
        ("predict", "x.png", "--plot", ""),
        ("serve", "--record", ""),
        ("serve", "--api-key-file", ""),
        ("drift", ""),
        ("verify", ""),
        ("export-page", ""),
        ("compare", "", "x"),
        ("label-next", ""),
        ("check", ""),
    ],
)
def test_an_empty_path_is_refused_by_every_command(arguments: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match="the path is empty; perhaps a variable"):
        main(list(arguments))


@pytest.mark.parametrize(
    "arguments",
    [
        ("sweep", "--trials"),
        ("sweep", "--workers"),
        ("label-errors", "--count"),
        ("label-next", "folder", "--count"),
        ("review", "--count"),
        ("predict", "x.png", "--top-k"),
        ("cross-validate", "--folds"),
    ],
)
def test_a_count_of_zero_is_refused_by_every_command(arguments: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match=r"0 is (not at least 1|no whole number from 2 to 100)"):
        main([*arguments, "0"])


@pytest.mark.parametrize("command", [("label-errors",), ("label-next", "folder")])
def test_a_prefix_of_paths_without_label_studio_is_refused(command: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match="--path-prefix changes nothing without --label-studio"):
        main([*command, "--path-prefix", "new"])


def test_summary_says_where_there_are_no_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="no results in results/ here: run in the project's folder"):
        main(["summary"])
    assert capsys.readouterr().out == ""


def test_preset_asks_for_no_more_than_a_preset() -> None:
    with pytest.raises(UserError, match="arguments are required: PRESET: "):
        main(["preset"])


def help_of(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    return capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command_says_what_each_argument_is(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _, *groups = help_of(command, capsys).split("arguments:")
    for line in "".join(groups).partition("options:")[0].splitlines():
        assert re.match(r" {10,}|  [A-Z=]+$|  [A-Z=]+ +\w|$", line), line


@pytest.mark.parametrize("command", COMMANDS)
def test_help_says_the_default_of_every_number(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = re.split(r"\n  (?=-)", help_of(command, capsys))[1:]
    for option in (" ".join(each.split()) for each in options):
        assert not re.match(r"--[a-z-]+ N ", option) or "(default: " in option, option


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    assert all(f"  {name}" in shown and text in shown for name, text in COMMANDS.items())


def test_every_module_of_a_command_is_in_the_table() -> None:
    folder = REPOSITORY / "classifier/commands"
    with_main = {
        path.stem.replace("_", "-")
        for path in folder.glob("*.py")
        if "\ndef main(arguments: list[str]) -> None:" in path.read_text("utf-8")
    }
    assert with_main - {"main"} == set(COMMANDS)
    assert find_spec("classifier.__main__") is not None


def test_help_imports_nothing_heavy() -> None:
    assert loaded("--help") == "[]"


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("label-doubts", "label-doubts is now `classifier label-errors`"),
        ("class_sheet", "class_sheet is now `classifier gallery`"),
        ("predcit", "there is no command 'predcit': did you mean predict?"),
        ("xyz", "there is no command 'xyz': `classifier --help` lists all"),
    ],
)
def test_an_unknown_command_gets_a_sentence_with_what_to_type(typed: str, sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        main([typed])
    assert sentence in str(caught.value)


def test_python_m_classifier_is_the_same_program() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "classifier", "check", "--help"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("usage: classifier check")


@pytest.mark.parametrize(
    ("package", "command", "argument"),
    [("scipy", "drift", "answers.jsonl"), ("classifier.static_page", "export-page", "page")],
)
def test_package_that_a_serving_container_lacks_is_named(
    package: str, command: str, argument: str, tmp_path: Path
) -> None:
    """It has the libraries of predict and serve alone, and the Dockerfile copies their packages."""
    code = (
        "import sys\nfrom classifier.commands.main import run\n"
        "class Without:\n"
        "    def find_spec(name, *_):\n"
        f"        if name == {package!r}:\n"
        "            raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Without)\nrun()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, command, argument],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"error: `classifier {command}` needs the package {package}, which is not "
        "installed here: run it where the whole project is.\n"
    )
