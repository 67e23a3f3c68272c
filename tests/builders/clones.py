"""Copies of this project as Git repositories, in which tests run DVC."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROLES = ("AUTHOR", "COMMITTER")


@dataclass(frozen=True)
class Clone:
    """A Git repository with this project in it, and a cache folder of its own.

    variables: of the environment, beside those that every clone sets.
    """

    folder: Path
    cache: Path
    variables: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of_work_tree(cls, folder: Path, cache: Path) -> "Clone":
        """The work tree as it is, committed or not, in a new repository."""
        clone = cls(folder, cache)
        listed = ["git", "ls-files", "-co", "--exclude-standard", "-z"]
        names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for name in filter(None, names.split("\0")):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, folder / name)
        clone.run("git", "init", "--quiet", "--initial-branch=main")
        clone.commit("as found")
        return clone

    @classmethod
    def of_pipeline(cls, folder: Path) -> "Clone":
        """A folder with a `dvc.yaml` and what it needs, as a DVC project that has run."""
        project = cls(folder, folder / "cache")
        project.run("git", "init", "--quiet", "--initial-branch=main")
        project.dvc("init", "--quiet")
        project.dvc("repro", "--quiet")
        project.commit("as run")
        return project

    def cloned(self, folder: Path, cache: Path) -> "Clone":
        """Another clone of the last commit, without data."""
        self.run("git", "clone", "--quiet", str(self.folder), str(folder))
        return Clone(folder, cache)

    def copied(self, folder: Path) -> "Clone":
        """Another clone, with the data, out of the same DVC cache."""
        clone = self.cloned(folder, self.cache)
        (folder / ".dvc/config.local").write_text(
            f"[cache]\n    dir = {self.folder / '.dvc/cache'}\n", "utf-8"
        )
        clone.dvc("checkout")
        return clone

    def run(self, *command: str) -> str:
        """The command's standard output; AssertionError with all it said where it fails."""
        process = self.start(*command)
        out, error = process.communicate()
        assert process.returncode == 0, f"{' '.join(command)}\n{out}\n{error}"
        return out

    def start(self, *command: str) -> "subprocess.Popen[str]":
        """The command as a process, the leader of a group of its own."""
        inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        set_here = {
            "PATH": self.path(),
            "CLASSIFIER_CACHE": str(self.cache),
            "OMP_NUM_THREADS": "1",
        }
        who = {f"GIT_{role}_{key}": "test@localhost" for role in ROLES for key in ("NAME", "EMAIL")}
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=inherited | set_here | who | self.variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    @staticmethod
    def path() -> str:
        """Where programs are looked for: first among those of this environment."""
        return os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])

    def dvc(self, *arguments: str) -> str:
        return self.run(sys.executable, "-m", "dvc", *arguments)

    def commit(self, message: str) -> None:
        """Commit everything, new files too."""
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", message)

    def begin_anew(self, *, epochs: int) -> None:
        """Remove the results of earlier runs; from now on runs have this number of epochs.

        One method of quantization with few images, and one view to try, take the code's whole way.
        """
        self.set_params(
            epochs=str(epochs),
            methods="[minmax]",
            calibration_images="16",
            candidates="[shift_left_1]",
            formats="[onnx, torch_export, torchscript]",
        )
        for lost in ("data/raw", "data/split", "models", "results"):
            shutil.rmtree(self.folder / lost, ignore_errors=True)
        (self.folder / "dvc.lock").unlink(missing_ok=True)

    def set_params(self, **replacements: str) -> None:
        path = self.folder / "params.yaml"
        text = path.read_text("utf-8")
        for key, value in replacements.items():
            text, count = re.subn(rf"^( +{key}:).*", rf"\1 {value}", text, count=1, flags=re.M)
            assert count == 1
        path.write_text(text, "utf-8")

    def hashes(self) -> dict[str, str]:
        """SHA-256 of everything that a run writes, but timing.json."""
        folders = ("data", "models", "results")
        files = [path for name in folders for path in (self.folder / name).rglob("*")]
        written = [path for path in files if path.is_file() and path.name != "timing.json"]
        return {
            path.relative_to(self.folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in [*written, self.folder / "dvc.lock"]
        }
