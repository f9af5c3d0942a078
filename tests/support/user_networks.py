"""Helpers for tests of user-defined networks."""

import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.support.crash import exec_output
from tests.support.engine import TestEngine


SLEEP = ("sleep", "600")

Make = Callable[..., str]


@pytest.fixture
def network(engine: TestEngine) -> Iterator[Make]:
    """Yield a function that creates networks (removed at the end): id, or error message."""
    made: list[str] = []

    def make(name: str, status: int = 201, **body: Any) -> str:
        answer = engine.api.post("/networks/create", {"Name": name, **body})
        assert answer.status == status, answer.body
        if status != 201:
            return str(answer.json["message"])
        made.append(answer.json["Id"])
        return made[-1]

    yield make
    engine.remove_all()
    for made_id in made:
        assert engine.api.delete(f"/networks/{made_id}").status in (204, 404)


def subnet(text: str, **more: Any) -> dict[str, Any]:
    """Return the IPAM of a network with one subnet."""
    return {"Config": [{"Subnet": text, **more}]}


def networks_of(engine: TestEngine, container: str) -> Any:
    """Return the networks that a container is connected to, by name."""
    return engine.inspect(container)["NetworkSettings"]["Networks"]


def connect_to(
    engine: TestEngine, network: str, container: str, status: int = 200, **endpoint: Any
) -> str:
    """Connect a container, and return the error message, if any."""
    body = {"Container": container, "EndpointConfig": endpoint}
    answer = engine.api.post(f"/networks/{network}/connect", body)
    assert answer.status == status, answer.body
    return str(answer.json["message"]) if status != 200 else ""


def disconnect_from(
    engine: TestEngine, network: str, container: str, status: int = 200, **more: Any
) -> str:
    """Disconnect a container, and return the error message, if any."""
    body = {"Container": container, **more}
    answer = engine.api.post(f"/networks/{network}/disconnect", body)
    assert answer.status == status, answer.body
    return str(answer.json["message"]) if status != 200 else ""


def interfaces(engine: TestEngine, container: str) -> dict[str, str]:
    """Return the IPv4 addresses inside of a running container, by interface."""
    text = exec_output(engine, container, "ip", "-o", "addr")
    return {line.split()[1]: line.split()[3] for line in text.splitlines() if " inet " in line}


def route_of(engine: TestEngine, container: str) -> str:
    """Return the gateway of a running container's default route."""
    text = exec_output(engine, container, "ip", "route")
    return next((line.split()[2] for line in text.splitlines() if line.startswith("default")), "")


def link_exists(name: str) -> bool:
    """Return whether the host has an interface of that name."""
    command = ["ip", "link", "show", name]
    return not subprocess.run(command, check=False, capture_output=True).returncode
