"""Fixtures for tests with third-party clients."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.docker_cli import Docker
from tests.support.engine import TestEngine


@pytest.fixture
def docker(engine: TestEngine, tmp_path: Path) -> Iterator[Docker]:
    """Yield the docker CLI with an engine without containers and volumes."""
    if shutil.which("docker") is None:
        pytest.skip("there is no docker CLI on PATH (Debian: docker.io; Docker: docker-ce-cli)")
    yield Docker(engine, tmp_path / "docker-config")
    engine.remove_all()
    engine.api.post('/volumes/prune?filters={"all":["1"]}'.replace('"', "%22"))
