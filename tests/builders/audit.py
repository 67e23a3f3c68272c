"""Record which files the stages of a pipeline open for reading."""

from pathlib import Path

# Python runs it at the start of every program; DVC sets DVC_STAGE for what it runs.
_HOOK = """
import os
import sys

if "DVC_STAGE" in os.environ:
    log = os.open(os.environ["OPENED_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(event, args):
        if event not in ("open", "os.listdir", "os.scandir"):
            return
        if event == "open" and args[2] & os.O_ACCMODE != os.O_RDONLY:
            return
        if isinstance(args[0], (str, bytes)):
            path = os.path.realpath(os.fsdecode(args[0]))
            os.write(log, f"{os.environ['DVC_STAGE']}\\t{path}\\n".encode())

    sys.addaudithook(note)
"""


def audit_variables(folder: Path) -> dict[str, str]:
    """Environment variables with which every stage records in `folder` what it opens."""
    folder.mkdir(parents=True)
    (folder / "sitecustomize.py").write_text(_HOOK, "utf-8")
    return {"PYTHONPATH": str(folder), "OPENED_LOG": str(folder / "log")}


def opened(folder: Path, project: Path) -> dict[str, set[str]]:
    """Files and folders of `project` that each stage has opened, as seen from the project.

    folder: that of `audit_variables`. A compiled module stands for its source.
    """
    found: dict[str, set[str]] = {}
    project = project.resolve()
    for line in dict.fromkeys((folder / "log").read_text("utf-8").splitlines()):
        stage, name = line.split("\t")
        path = Path(name)
        if path.parent.name == "__pycache__":
            path = path.parents[1] / f"{path.name.partition('.')[0]}.py"
        if path.is_relative_to(project):
            found.setdefault(stage, set()).add(path.relative_to(project).as_posix())
    return found
