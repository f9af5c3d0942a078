"""Debian's docker-compose 1.29, which uses docker-py."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
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


NETWORKS = """
version: "2.4"
services:
  web:
    image: busybox
    command: sleep 600
    networks:
      front: {aliases: [www], ipv4_address: 10.237.1.80}
      back: {}
  store:
    image: busybox
    command: sleep 600
    networks: [back]
  probe:
    image: busybox
    command: sh -c "ping -c1 -W2 www && ping -c1 -W2 web && ! ping -c1 -W1 store"
    networks: [front]
    depends_on: [web]
networks:
  front:
    ipam: {config: [{subnet: 10.237.1.0/24, gateway: 10.237.1.1}]}
    driver_opts: {com.docker.network.driver.mtu: "1400"}
  back: {internal: true, enable_ipv6: false, labels: {tier: back}}
"""


def compose_in(directory: Path, engine: TestEngine) -> Callable[..., str]:
    """Runs docker-compose in a directory."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("DOCKER_", "COMPOSE_"))}
    env = {**inherited, "DOCKER_HOST": engine.url, "COMPOSE_PROJECT_NAME": "proj"}

    def compose(*arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            ["docker-compose", "--no-ansi", *arguments],
            check=False, cwd=directory, env=env, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == code, done
        return done.stdout

    return compose


def test_networks_of_a_project(engine: TestEngine, tmp_path: Path):
    (tmp_path / "docker-compose.yml").write_text(NETWORKS)
    compose = compose_in(tmp_path, engine)
    compose("up", "-d")
    try:
        found = {n["Name"]: n for n in engine.api.get("/networks").json}
        assert found["proj_back"]["Internal"]
        assert found["proj_back"]["Labels"]["tier"] == "back"
        web = engine.inspect("proj_web_1")["NetworkSettings"]["Networks"]
        assert web["proj_front"]["IPAddress"] == "10.237.1.80"
        assert {"web", "www"} <= set(web["proj_front"]["DNSNames"])
        assert engine.wait("proj_probe_1") == 0, compose("logs", "probe")
        compose("exec", "-T", "web", "ping", "-c1", "-W2", "store")
    finally:
        compose("down", "-v", "-t", "0")
    assert not {n["Name"] for n in engine.api.get("/networks").json} & {"proj_front", "proj_back"}


def test_containers_are_made_anew_on_their_networks(engine: TestEngine, tmp_path: Path):
    (tmp_path / "docker-compose.yml").write_text(NETWORKS)
    compose = compose_in(tmp_path, engine)
    compose("up", "-d", "web", "store")
    try:
        before = engine.inspect("proj_web_1")["Id"]
        compose("up", "-d", "--force-recreate", "--scale", "store=2", "-t", "0", "web", "store")
        web = engine.inspect("proj_web_1")
        assert web["Id"] != before
        found = web["NetworkSettings"]["Networks"]
        assert found["proj_front"]["IPAddress"] == "10.237.1.80"
        assert found.keys() == {"proj_front", "proj_back"}
        told = compose("exec", "-T", "web", "nslookup", "store")
        assert told.count("Address: ") == 2, told
    finally:
        compose("down", "-v", "-t", "0")


def test_the_life_of_a_project(engine: TestEngine, tmp_path: Path):
    (tmp_path / "docker-compose.yml").write_text(PROJECT)
    (tmp_path / "file").write_text("of the host\n")
    compose = compose_in(tmp_path, engine)

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
    compose("up", "-d")  # nothing has changed, so nothing is recreated
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
