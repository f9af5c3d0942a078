"""Pull, push and run with credentials from docker's configuration."""

import base64
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.engine import TestEngine
from tests.support.registry import PASSWORD, USER, docker_registry

import palan
from palan.api.system import AuthConfig
from palan.client import errors


pytestmark = pytest.mark.root


@pytest.mark.usefixtures("docker")
def test_the_command_and_docker_log_in_for_each_other(engine: TestEngine, tmp_path: Path) -> None:
    registry, config = tmp_path / "registry", tmp_path / "config"
    registry.mkdir()
    environ = {**os.environ, "DOCKER_CONFIG": str(config), "DOCKER_HOST": engine.url}

    def run(*words: str, data: str = "") -> tuple[int, str]:
        done = subprocess.run(
            words, check=False, capture_output=True, text=True, env=environ, input=data
        )
        return done.returncode, done.stdout + done.stderr

    ours = (sys.executable, "-m", "palan")
    with docker_registry(registry, authenticated=True) as address:
        login = ("login", "-u", USER, "--password-stdin", address)
        code, said = run(*ours, *login, data="wrong")
        assert (code, "401" in said) == (1, True), said
        assert not (config / "config.json").exists()
        assert run(*ours, *login, data=PASSWORD)[0] == 0
        made = json.loads((config / "config.json").read_text())
        run("docker", "tag", "busybox:latest", f"{address}/box:1")
        assert run("docker", "push", "-q", f"{address}/box:1")[0] == 0
        assert run(*ours, "login", address)[0] == 0
        assert run("docker", *login, data=PASSWORD)[0] == 0
        assert json.loads((config / "config.json").read_text()) == made
        assert run(*ours, "logout", address)[0] == 0
        assert run(*ours, "push", f"{address}/box:1")[0] == 1
        run("docker", "rmi", f"{address}/box:1")


def test_credentials_are_found_and_sent(engine: TestEngine, tmp_path: Path) -> None:
    registry = tmp_path / "registry"
    registry.mkdir()
    config = tmp_path / "config"
    config.mkdir()
    with docker_registry(registry, authenticated=True) as address:
        text = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        (config / "config.json").write_text(json.dumps({"auths": {address: {"auth": text}}}))
        environ = {**os.environ, "DOCKER_CONFIG": str(config)}
        name = f"{address}/team/box"
        with palan.Client(engine.url, environ=environ) as docker:
            docker.images.tag("busybox:latest", repo=name, tag="1")
            with pytest.raises(errors.ClientError):
                docker.images.push(name, tag="1", registry_auth="").wait()
            (pushed,) = docker.images.push(name, tag="1").wait()
            assert pushed["Digest"].startswith("sha256:")
            docker.images.remove(f"{name}:1")

            with pytest.raises(errors.ClientError):
                docker.images.pull(f"{name}:1", registry_auth="")
            with pytest.raises(errors.ClientError):
                docker.images.pull(
                    f"{name}:1", registry_auth=AuthConfig(username=USER, password="wrong")
                )
            seen: list[str] = []
            image = docker.images.pull(
                f"{name}:1", progress=lambda step: seen.append(step.status or "")
            )
            assert f"{name}:1" in image.repo_tags
            assert seen
            docker.images.remove(f"{name}:1")

            result = docker.containers.run(f"{name}:1", ["echo", "on demand"])
            assert result.stdout == b"on demand\n"
            assert docker.images.distribution_inspect(f"{name}:1").descriptor.digest
            answer = docker.system.auth(username=USER, password=PASSWORD, server_address=address)
            assert answer.status == "Login Succeeded"
            with pytest.raises(errors.ClientError):
                docker.containers.run(f"{name}:none", ["true"])
            docker.images.remove(f"{name}:1", force=True)
