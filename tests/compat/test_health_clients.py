"""Health checks as the docker command and docker-py use them."""

import json
import time
from collections.abc import Iterator
from typing import Any

import docker as docker_py
import pytest
from docker.types import Healthcheck
from tests.support.crash import eventually
from tests.support.docker_cli import Docker
from tests.support.engine import TestEngine


pytestmark = [
    pytest.mark.root,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

MS = 10**6


@pytest.fixture
def client(engine: TestEngine) -> Iterator[Any]:
    client = docker_py.DockerClient(base_url=engine.url, timeout=30)
    yield client
    client.close()


def test_run_with_a_health_command(docker: Docker):
    docker(
        *("run", "-d", "--name", "web", "--health-cmd", "test -e /tmp/well"),
        *("--health-interval", "50ms", "--health-retries", "1", "--health-timeout", "5s"),
        *("busybox", "sleep", "600"),
    )
    status = ("ps", "--format", "{{.Status}}")
    eventually(lambda: docker(*status).word.endswith("(unhealthy)"))
    docker("exec", "web", "touch", "/tmp/well")
    eventually(lambda: docker(*status).word.endswith("(healthy)"))
    assert docker("ps", "-q", "--filter", "health=unhealthy").word == ""
    assert docker("ps", "-q", "--filter", "health=healthy").word != ""
    shown = json.loads(docker("inspect", "-f", "{{json .State.Health}}", "web").out)
    assert shown["Status"] == "healthy"
    assert shown["Log"][-1]["ExitCode"] == 0
    until = ("events", "--since", "1h", "--until", f"{time.time():.6f}")
    seen = docker(*until, "--filter", "container=web", "--filter", "event=health_status")
    words = [line.split(" (")[0].partition("container ")[2] for line in seen.lines]
    assert [w.rpartition(" ")[0] for w in words] == [
        "health_status: unhealthy",
        "health_status: healthy",
    ]


def test_no_healthcheck(docker: Docker):
    docker("run", "-d", "--name", "web", "--no-healthcheck", "busybox", "sleep", "600")
    assert docker("inspect", "-f", "{{json .State.Health}}", "web").word == "null"
    assert docker("inspect", "-f", "{{.Config.Healthcheck.Test}}", "web").word == "[NONE]"


@pytest.mark.parametrize("version", ["1.29", "1.41", "auto"])
def test_docker_py_waits_for_health(engine: TestEngine, version: str):
    client = docker_py.DockerClient(base_url=engine.url, timeout=30, version=version)
    container = client.containers.run(
        "busybox",
        ["sleep", "600"],
        detach=True,
        healthcheck=Healthcheck(test=["CMD-SHELL", "true"], interval=50 * MS, retries=1),
    )
    container.reload()
    assert container.health in ("starting", "healthy")

    def healthy() -> bool:
        container.reload()
        return bool(container.health == "healthy")

    eventually(healthy)
    assert [c.id for c in client.containers.list(filters={"health": "healthy"})] == [container.id]
    client.close()


def test_docker_py_passes_on_every_field(client: Any):
    fields = {
        "test": ["CMD", "true"],
        "interval": 1000 * MS,
        "timeout": 2000 * MS,
        "retries": 4,
        "start_period": 3000 * MS,
    }
    container = client.containers.create("busybox", ["true"], healthcheck=Healthcheck(**fields))
    shown = container.attrs["Config"]["Healthcheck"]
    assert {
        name: shown["".join(part.capitalize() for part in name.split("_"))] for name in fields
    } == fields
