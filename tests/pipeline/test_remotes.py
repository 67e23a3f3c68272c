"""Data and models shared through a folder, S3 and SSH, each a real one on this machine."""

import getpass
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import boto3
import pytest
from builders.clones import Clone
from builders.library import edit
from moto.server import ThreadedMotoServer

from classifier.core.config import STAGES

SECRET = "not-to-be-found-in-git"
SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
pytestmark = pytest.mark.xdist_group("origin")


@dataclass(frozen=True)
class Remote:
    """shared: options that Git keeps. own: those of .dvc/config.local. variables: environment."""

    url: str
    shared: dict[str, str] = field(default_factory=dict)
    own: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)

    def configure(self, clone: Clone) -> None:
        """What each person does once, and Git knows nothing of."""
        clone.variables.update(self.variables)
        for name, value in self.own.items():
            clone.dvc("remote", "modify", "--local", "shared", name, value)


@pytest.fixture
def folder(tmp_path: Path) -> Remote:
    return Remote(str(tmp_path / "team"))


@pytest.fixture
def s3() -> Iterator[Remote]:
    server = ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    variables = {
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="someone",
        aws_secret_access_key=SECRET,
    )
    client.create_bucket(Bucket="team")
    yield Remote("s3://team/dvc", {"endpointurl": endpoint}, variables=variables)
    server.stop()


@pytest.fixture
def ssh(tmp_path: Path) -> Iterator[Remote]:
    if SSHD is None:
        pytest.skip("there is no sshd")
    for key in ("host", "own"):
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / key)]
        subprocess.run(make, check=True)
    settings = {
        "HostKey": tmp_path / "host",
        "AuthorizedKeysFile": tmp_path / "own.pub",
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        "PasswordAuthentication": "no",
        "Subsystem": "sftp internal-sftp",
    }
    lines = "".join(f"{name} {value}\n" for name, value in settings.items())
    (tmp_path / "sshd_config").write_text(lines, "utf-8")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)
    port, daemon = _listening(tmp_path / "sshd_config")
    try:
        url = f"ssh://127.0.0.1:{port}{tmp_path}/team"
        yield Remote(url, own={"user": getpass.getuser(), "keyfile": str(tmp_path / "own")})
    finally:
        daemon.terminate()
        daemon.wait()


def _listening(config: Path) -> tuple[int, "subprocess.Popen[bytes]"]:
    """Start sshd on a free port; on another one where a program takes it in between."""
    for _ in range(10):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        options = ["-D", "-e", "-f", str(config), "-o", f"ListenAddress=127.0.0.1:{port}"]
        daemon = subprocess.Popen([str(SSHD), *options])
        while daemon.poll() is None:
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", port)) == 0:
                    return port, daemon
            time.sleep(0.05)
    raise AssertionError("sshd does not listen")


# A folder: tests/pipeline/test_docs.py, as the page about sharing says.
@pytest.mark.parametrize("kind", ["s3", "ssh"])
def test_clone_elsewhere_pulls_and_has_nothing_to_do(
    kind: str, origin: Clone, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    remote: Remote = request.getfixturevalue(kind)
    share(origin, remote)
    origin.dvc("push")
    clone = clone_of(origin, tmp_path, remote)
    clone.dvc("pull")
    assert clone.hashes() == origin.hashes()
    assert "Running stage" not in clone.dvc("repro")
    tracked = "".join(
        (clone.folder / name).read_text("utf-8", "replace")
        for name in clone.run("git", "ls-files", ".dvc").split()
    )
    assert remote.url in tracked
    assert SECRET not in tracked
    assert "keyfile" not in tracked


def share(origin: Clone, remote: Remote) -> None:
    # Another test's remote may have left its user there.
    (origin.folder / ".dvc/config.local").unlink(missing_ok=True)
    origin.dvc("remote", "add", "--default", "--force", "shared", remote.url)
    for name, value in remote.shared.items():
        origin.dvc("remote", "modify", "shared", name, value)
    origin.commit("Share through a remote")
    remote.configure(origin)


def clone_of(origin: Clone, tmp_path: Path, remote: Remote) -> Clone:
    clone = origin.cloned(tmp_path / "clone", tmp_path / "cache")
    remote.configure(clone)
    return clone


def test_only_what_is_needed_is_pulled(origin: Clone, tmp_path: Path, folder: Remote) -> None:
    share(origin, folder)
    origin.dvc("push")
    clone = clone_of(origin, tmp_path, folder)
    assert "Running stage" not in clone.dvc("repro", "--pull", "--allow-missing")
    assert not (clone.folder / "data/split").exists()
    edit(clone.folder / "classifier/report/page.py")
    said = clone.dvc("repro", "--pull", "--allow-missing")
    assert re.findall(r"Running stage '(\w+)'", said) == ["report"]
    assert [path.name for path in clone.folder.glob("data/raw/*")] == ["source.json"]


def test_run_of_a_colleague_is_taken_where_the_lock_file_lacks_it(
    origin: Clone, tmp_path: Path, folder: Remote
) -> None:
    share(origin, folder)
    origin.run(sys.executable, "-m", "classifier", "push")
    clone = clone_of(origin, tmp_path, folder)
    (clone.folder / "dvc.lock").unlink()
    said = clone.dvc("repro", "--pull", "--allow-missing")
    assert "Running stage" not in said
    assert said.count("is cached - skipping run") == len(STAGES) + 1  # the report has no section
    assert clone.hashes() == origin.hashes()


def test_sharing_without_a_remote_is_reported(origin: Clone) -> None:
    clone = origin.copied(origin.folder.parent / "without-remote")
    clone.dvc("config", "--unset", "core.remote")
    process = clone.start(sys.executable, "-m", "classifier", "push")
    _, said = process.communicate()
    assert process.returncode == 1
    assert said.splitlines() == [
        "error: there is no remote to push to: `dvc remote add --default NAME ADDRESS`."
    ]
