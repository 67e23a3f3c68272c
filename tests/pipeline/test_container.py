"""What the Dockerfile copies is enough to serve, without PyTorch, from an empty environment.

Its instructions are followed by hand, so that no Docker engine is needed.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from builders.colours import image_of, write_models

from classifier.core.files import sha256_of, write_bytes
from classifier.serving.limits import Limits, most_memory

REPOSITORY = Path(__file__).parents[2]
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text("utf-8").replace("\\\n", " ")


def instructions(name: str) -> list[str]:
    lines = re.findall(rf"^\s*(?:HEALTHCHECK .*)?{name} (.*)$", DOCKERFILE, re.MULTILINE)
    # What a build takes if it is told nothing else.
    defaults = re.findall(r"^ARG (\w+)=(.*)$", DOCKERFILE, re.MULTILINE)
    for argument, value in defaults:
        lines = [line.replace(f"${{{argument}}}", value) for line in lines]
    return lines


def follow_copies(context: Path, target: Path) -> None:
    """Copy as the Dockerfile does, in which every COPY has one source."""
    for source, destination in (line.split() for line in instructions("COPY")):
        assert destination.startswith("./")
        if source.endswith("/"):
            kept = shutil.ignore_patterns("__pycache__")
            shutil.copytree(context / source, target / destination, ignore=kept)
        else:
            (target / destination).mkdir(parents=True, exist_ok=True)
            shutil.copy(context / source, target / destination)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with what the image's requirements name, and nothing else."""
    folder = tmp_path_factory.mktemp("environment") / "venv"
    uv = [sys.executable, "-m", "uv"]
    lock = REPOSITORY / "docker/requirements.lock"
    subprocess.run([*uv, "venv", "--quiet", "--python", sys.executable, folder], check=True)
    install = ["pip", "sync", "--quiet", "--require-hashes", "--python", folder / "bin/python"]
    subprocess.run([*uv, *install, lock], check=True)
    return folder


def test_image_serves_and_classifies_without_pytorch(environment: Path, tmp_path: Path) -> None:
    context = tmp_path / "context"
    for part in ("classifier", "docker"):
        (context / part).parent.mkdir(exist_ok=True)
        (context / part).symlink_to(REPOSITORY / part)
    models = write_models(context / "models")
    card = f"# Colours\n{sha256_of(models / 'export/manifest.json')}\n"
    write_bytes(models / "MODEL_CARD.md", card.encode())
    app = tmp_path / "app"
    follow_copies(context, app)
    (entry,) = instructions("ENTRYPOINT")
    program, *arguments = shlex.split(entry.strip("[]").replace(",", " "))
    assert program == "python"
    variables = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    # As in a container that may write nothing.
    variables["PYTHONDONTWRITEBYTECODE"] = "1"
    python = str(environment / "bin/python")
    with subprocess.Popen(
        [python, *arguments, "--port", "0"],
        cwd=app,
        env=variables,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            told = process.stdout.readline() + process.stdout.readline()
            port = told.rsplit(":", 1)[1].split()[0]
            url = f"http://127.0.0.1:{port}"
            response = httpx.post(f"{url}/predict", files={"image": image_of("blue")})
            assert response.json()["label"] == "blue"
            assert httpx.get(url).status_code == 200
            assert httpx.get(f"{url}/model").json()["card"] == card
            (check,) = instructions("CMD")
            code = shlex.split(check.strip("[]").replace('", ', '" '))[2]
            subprocess.run([python, "-c", code.replace("8000", port)], check=True)
        finally:
            process.kill()
    listed = subprocess.run(
        [sys.executable, "-m", "uv", "pip", "list", "--python", python],
        capture_output=True,
        text=True,
        check=True,
    )
    assert not re.search(r"^(torch|pandas|matplotlib|scikit-learn) ", listed.stdout, re.MULTILINE)
    command = [python, "-m", "classifier", "predict", "image.png", "--csv"]
    (app / "image.png").write_bytes(image_of("green"))
    done = subprocess.run(
        command, cwd=app, env=variables, capture_output=True, text=True, check=True
    )
    assert "image.png,green,1," in done.stdout


def test_what_is_copied_is_not_kept_out_of_the_context() -> None:
    ignored = (REPOSITORY / ".dockerignore").read_text("utf-8").split()
    allowed = tuple(line[1:].split("*")[0] for line in ignored if line.startswith("!"))
    for line in instructions("COPY"):
        assert line.split()[0].rstrip("/").startswith(tuple(one.rstrip("/") for one in allowed))


def test_image_does_not_run_as_root_and_is_checked() -> None:
    assert instructions("USER") == ["10001"]
    assert "HEALTHCHECK" in DOCKERFILE


@pytest.fixture(scope="module")
def deployment() -> dict[str, Any]:
    """The pods of docker/kubernetes.yaml."""
    first, _ = yaml.safe_load_all((REPOSITORY / "docker/kubernetes.yaml").read_text("utf-8"))
    return first["spec"]["template"]["spec"]


def test_kubernetes_gives_the_memory_and_the_time_that_the_server_needs(
    deployment: dict[str, Any],
) -> None:
    (container,) = deployment["containers"]
    arguments = container["args"]
    processes = int(arguments[arguments.index("--processes") + 1])
    model_bytes = 20 << 20
    needed = most_memory(Limits(), processes, in_processes=True, model_bytes=model_bytes)
    assert container["resources"]["limits"]["memory"] == "2Gi"
    assert needed < 2 << 30
    assert int(container["resources"]["requests"]["cpu"]) == processes
    assert deployment["terminationGracePeriodSeconds"] > Limits().shutdown_seconds
    assert deployment["securityContext"]["runAsUser"] == int(instructions("USER")[0])


def test_kubernetes_asks_paths_that_the_server_has(deployment: dict[str, Any]) -> None:
    (container,) = deployment["containers"]
    source = (REPOSITORY / "classifier/serving/app.py").read_text("utf-8")
    asked = [container[f"{name}Probe"]["httpGet"]["path"] for name in ("liveness", "readiness")]
    assert asked == ["/health/live", "/health/ready"]
    assert all(f'"{path}"' in source for path in asked)
    port = str(container["ports"][0]["containerPort"])
    assert instructions("EXPOSE") == [port]


def test_versions_are_those_that_the_model_was_made_with() -> None:
    def pinned(path: str) -> dict[str, str]:
        text = (REPOSITORY / path).read_text("utf-8")
        return dict(re.findall(r"^([a-z0-9_.-]+)==([^\s;]+)", text, re.MULTILINE))

    ours, image = pinned("requirements.lock"), pinned("docker/requirements.lock")
    assert {name: ours.get(name) for name in image} == image
    on_gpu = pinned("docker/requirements-gpu.lock")
    assert on_gpu.pop("onnxruntime-gpu") == image.pop("onnxruntime")
    assert image.items() <= on_gpu.items()
    assert all(name.startswith("nvidia-") for name in on_gpu.keys() - image.keys())
