"""Pulling, pushing and running on demand with credentials that lie where docker keeps them."""

import base64
import json
import os
from pathlib import Path

import pytest
from tests.support.engine import TestEngine
from tests.support.registry import PASSWORD, USER, docker_registry

import palan
from palan.api.system import AuthConfig
from palan.client import errors


pytestmark = pytest.mark.root


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
