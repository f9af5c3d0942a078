"""docker-compose 1.29, the one of Debian, which speaks to the engine through docker-py.

Networks of a project's own are pending, so the services use the default bridge and the host's.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.support.crash import eventually
from tests.support.engine import TestEngine


pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(
        shutil.which("docker-compose") is None, reason="there is no docker-compose on PATH"
    ),
]

PROJECT = """
version: "2.4"
services:
  web:
    image: busybox
    network_mode: bridge
    command: sh -c "while :; do echo hello | nc -l -p 80 >/dev/null; done"
    ports: ["127.0.0.1::80"]
    environment: {GREETING: hello}
    volumes: ["data:/data", "./file:/etc/file:ro"]
    labels: {tier: front}
    mem_limit: 64m
  job:
    image: busybox
    network_mode: host
    command: sh -c "echo job done; cat /data/x"
    volumes: ["data:/data"]
    depends_on: [web]
volumes:
  data: {}
"""


def test_the_life_of_a_project(engine: TestEngine, tmp_path: Path):
    (tmp_path / "docker-compose.yml").write_text(PROJECT)
    (tmp_path / "file").write_text("of the host\n")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("DOCKER_", "COMPOSE_"))}
    env = {**inherited, "DOCKER_HOST": engine.url, "COMPOSE_PROJECT_NAME": "proj"}

    def compose(*arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            ["docker-compose", "--no-ansi", *arguments],
            check=False, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == code, done
        return done.stdout

    def states() -> dict[str, str]:
        lines = engine.api.get("/containers/json?all=1").json
        return {line["Labels"]["com.docker.compose.service"]: line["State"] for line in lines}

    compose("up", "-d")
    eventually(lambda: states() == {"web": "running", "job": "exited"})
    script = "echo from exec > /data/x; cat /etc/file; echo $GREETING"
    assert compose("exec", "-T", "web", "sh", "-c", script) == "of the host\nhello\n"
    compose("up", "-d", "job")
    eventually(lambda: "from exec" in compose("logs", "job"))
    assert compose("run", "--rm", "job", "echo", "one", "more") == "one more\n"
    assert compose("port", "web", "80").startswith("127.0.0.1:")
    before = json.dumps(engine.inspect("proj_web_1")["Id"])
    compose("up", "-d")  # nothing has changed, so nothing is made anew
    assert json.dumps(engine.inspect("proj_web_1")["Id"]) == before
    compose("restart", "-t", "0", "web")
    compose("pause", "web")
    assert states()["web"] == "paused"
    compose("unpause", "web")
    compose("stop", "-t", "0")
    assert states()["web"] == "exited"
    assert "Exit 137" in compose("ps")
    compose("start", "web")
    compose("down", "-v", "-t", "0")
    assert states() == {}
    assert engine.api.get("/volumes").json["Volumes"] == []
