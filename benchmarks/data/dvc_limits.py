"""What DVC does with many shards and many files: push, pull, kill, resume, gc, import, one cache.

    python benchmarks/data/dvc_limits.py IMAGES.zip [--files 20000] [--folder FOLDER]

IMAGES.zip holds small image files, such as CIFAR-10 as PNG files. Works in a temporary project
without Git, with `cache.type` reflink,hardlink,copy. `packed` are 64 files of 3 MiB,
`loose` that many small files in a folder. S3 is moto's server in a process of its own. Two users
share a cache only where this runs as root. Prints a table; takes some minutes and 2 GB.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3
import numpy as np
import yaml
from botocore.exceptions import EndpointConnectionError

ROOT = Path(__file__).parents[2]
DVC = [sys.executable, "-m", "dvc"]
PORT, GROUP = 5987, 12000
S3 = {
    "AWS_ACCESS_KEY_ID": "someone",
    "AWS_SECRET_ACCESS_KEY": "something",
    "AWS_DEFAULT_REGION": "us-east-1",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("archive", type=Path)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name, s3_server() as endpoint:
        work = Path(name)
        make_packed(work / "source" / "packed")
        make_loose(work / "source" / "loose", options.archive, options.files)
        project = start_project(work / "project", endpoint, work / "remote")
        print("| what | command | seconds | result |\n| --- | --- | --- | --- |")
        for kind in ("packed", "loose"):
            shutil.copytree(work / "source" / kind, project / kind)
            report(kind, project, "add", kind)
            report(kind, project, "status")
            for remote in ("folder", "s3"):
                push_and_pull(kind, project, remote)
        collect_garbage(project)
        import_and_use(project, work / "source" / "loose")
        if os.geteuid() == 0:
            share_cache(work)


def push_and_pull(kind: str, project: Path, remote: str) -> None:
    """Push and pull with 8 jobs, each killed once on the way and then run again."""
    place = ["--remote", remote, "--jobs", "8", f"{kind}.dvc"]
    before = count_remote(project, remote)
    seconds = killed(project, lambda: count_remote(project, remote) > before, "push", *place)
    print(
        f"| {kind} to {remote} | push, killed | {seconds:.1f} | "
        f"{count_remote(project, remote) - before:,} objects there |"
    )
    report(f"{kind} to {remote}", project, "push", *place)
    again = report(f"{kind} to {remote}, again", project, "push", *place)
    assert "Everything is up to date" in again, again
    cache = project / ".dvc/cache/files"
    shutil.rmtree(cache)
    shutil.rmtree(project / kind)
    seconds = killed(project, lambda: count_files(cache) > 3, "pull", *place)
    print(
        f"| {kind} from {remote} | pull, killed | {seconds:.1f} | "
        f"{count_files(cache):,} files in the cache |"
    )
    report(f"{kind} from {remote}", project, "pull", *place)
    assert same(project / kind, project.parent / "source" / kind)
    report(f"{kind}, after it", project, "status", f"{kind}.dvc")


def collect_garbage(project: Path) -> None:
    """One of 64 shards changes: what `gc` removes, and what a remote keeps."""
    run(project, "add", "packed")  # the cache was lost in between
    shard = project / "packed/images-07.zip"
    content = shard.read_bytes()
    shard.unlink()
    shard.write_bytes(content + b"another image")
    cache = project / ".dvc/cache/files"
    run(project, "add", "packed")
    before = size_of(cache)
    report("one of 64 shards changed", project, "push", "--remote", "folder", "packed.dvc")
    report("gc of the workspace", project, "gc", "--workspace", "--force")
    print(f"| gc of the workspace | | | {before - size_of(cache):,} bytes fewer in the cache |")
    assert size_of(cache) >= size_of(project / "packed")
    remote = project.parent / "remote"
    before = size_of(remote)
    report("gc of the remote", project, "gc", "-w", "-f", "--cloud", "--remote", "folder")
    print(f"| gc of the remote | | | {before - size_of(remote):,} bytes fewer there |")
    kept = {path.name: path.read_bytes() for path in (project / "packed").iterdir()}
    shutil.rmtree(cache)
    shutil.rmtree(project / "packed")
    report("pull after it", project, "pull", "--remote", "folder", "packed.dvc")
    assert kept == {path.name: path.read_bytes() for path in (project / "packed").iterdir()}


def import_and_use(project: Path, source: Path) -> None:
    """A folder under `dvc import-url` and one under `dvc add`, each as `download.url`."""
    report("import-url of a folder", project, "import-url", str(source), "imported")
    (source / "added.png").write_bytes((source / "0").glob("*.png").__next__().read_bytes() + b" ")
    report("update after one file was added", project, "update", "imported.dvc")
    assert (project / "imported/added.png").exists()
    (project / "imported/added.png").rename(project / "imported/0/added.png")
    for folder in ("imported", "loose"):
        download(project, folder)


def download(project: Path, folder: str) -> None:
    params = yaml.safe_load((ROOT / "params.yaml").read_text("utf-8"))
    params["download"] |= {"source": "folder", "url": folder, "watch": folder}
    (project / "params.yaml").write_text(yaml.safe_dump(params), "utf-8")
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "stages.download"],
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    said = (done.stdout + done.stderr).strip().splitlines()[-1]
    seconds = time.perf_counter() - begin
    print(f"| {folder} as download.url | download stage | {seconds:.1f} | {said} |")


def share_cache(work: Path) -> None:
    """Two users of one group with one cache: the second finds what the first has added."""
    cache = work / "shared-cache"
    cache.mkdir()
    os.chown(cache, 12001, GROUP)
    cache.chmod(0o2770)
    work.chmod(0o755)
    for user in (12001, 12002):
        project = work / f"of-{user}"
        project.mkdir()
        os.chown(project, user, GROUP)
        for command in (
            ["init", "--no-scm", "--quiet"],
            ["cache", "dir", str(cache)],
            ["config", "cache.shared", "group"],
            ["config", "cache.type", "reflink,hardlink,copy"],
        ):
            run(project, *command, user=user)
        copy = project / "packed"
        shutil.copytree(work / "source/packed", copy)
        for path in (copy, *copy.iterdir()):
            os.chown(path, user, GROUP)
        if user == 12002:
            (copy / "images-09.zip").write_bytes(b"another shard")
        report(f"user {user}, one cache", project, "add", "packed", user=user)
    report("user 12002", project, "checkout", "--relink", user=user)
    modes = {oct(path.stat().st_mode & 0o7777) for path in cache.rglob("*") if path.is_dir()}
    print(f"| one cache of two users | | | {size_of(cache):,} bytes, folders {sorted(modes)} |")


def start_project(project: Path, endpoint: str, remote: Path) -> Path:
    project.mkdir()
    for command in (
        ["init", "--no-scm", "--quiet"],
        ["config", "cache.type", "reflink,hardlink,copy"],
        ["remote", "add", "folder", str(remote)],
        ["remote", "add", "s3", "s3://team/dvc"],
        ["remote", "modify", "s3", "endpointurl", endpoint],
    ):
        run(project, *command)
    return project


def report(what: str, project: Path, *command: str, user: int | None = None) -> str:
    begin = time.perf_counter()
    said = run(project, *command, user=user)
    shown = " ".join(part for part in command if part not in ("--remote", "folder", "s3"))
    last = said.strip().splitlines()[-1] if said.strip() else ""
    print(f"| {what} | `dvc {shown}` | {time.perf_counter() - begin:.1f} | {last} |", flush=True)
    return said


def run(project: Path, *command: str, user: int | None = None) -> str:
    done = subprocess.run(
        [*as_user(user), *DVC, *command],
        cwd=project,
        env=os.environ | S3 | {"HOME": str(project), "DVC_NO_ANALYTICS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"dvc {' '.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout


def as_user(user: int | None) -> list[str]:
    """Return how a command is run as another user, who may read the Python of this one."""
    if user is None:
        return []
    may = "-all,+dac_read_search"
    return [
        *("setpriv", "--reuid", str(user), "--regid", str(GROUP), "--clear-groups"),
        *("--inh-caps", may, "--ambient-caps", may, "--bounding-set", may),
        *("env", f"LOGNAME=user{user}"),
    ]


def killed(project: Path, is_under_way, *command: str) -> float:
    """Kill DVC when it is under way, as `kill -9` does; return after how many seconds."""
    begin = time.perf_counter()
    started = subprocess.Popen(
        [*DVC, *command],
        cwd=project,
        env=os.environ | S3 | {"DVC_NO_ANALYTICS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while started.poll() is None and not is_under_way():
        time.sleep(0.02)
    started.send_signal(signal.SIGKILL)
    started.wait()
    return time.perf_counter() - begin


def make_packed(folder: Path) -> None:
    folder.mkdir(parents=True)
    draw = np.random.default_rng(0)
    for number in range(64):
        (folder / f"images-{number:02d}.zip").write_bytes(draw.bytes(3 << 20))


def make_loose(folder: Path, archive: Path, count: int) -> None:
    with zipfile.ZipFile(archive) as file:
        names = [name for name in file.namelist() if name.endswith(".png")][:count]
        for place, name in enumerate(names):
            path = folder / str(place % 10) / f"{place:05d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.read(name))


@contextmanager
def s3_server() -> Iterator[str]:
    started = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(PORT)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    endpoint = f"http://127.0.0.1:{PORT}"
    try:
        os.environ |= S3
        client = boto3.client("s3", endpoint_url=endpoint)
        for _ in range(200):
            try:
                client.create_bucket(Bucket="team")
                break
            except EndpointConnectionError:  # not there yet
                time.sleep(0.1)
        yield endpoint
    finally:
        started.kill()
        started.wait()


def count_remote(project: Path, remote: str) -> int:
    if remote == "folder":
        return count_files(project.parent / "remote")
    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{PORT}")
    pages = client.get_paginator("list_objects_v2").paginate(Bucket="team")
    return sum(page.get("KeyCount", 0) for page in pages)


def count_files(folder: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(folder))


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def same(one: Path, other: Path) -> bool:
    names = sorted(path.relative_to(one) for path in one.rglob("*") if path.is_file())
    return names == sorted(
        path.relative_to(other) for path in other.rglob("*") if path.is_file()
    ) and all((one / name).read_bytes() == (other / name).read_bytes() for name in names)


if __name__ == "__main__":
    main()
