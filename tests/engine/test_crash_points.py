"""``kill -9`` of the engine at many points of create, start, exit and remove.

The points are moments after the request was sent, in steps of a few milliseconds; the engine has
no code for this test.  ``tests/soak`` does the same for hours.
"""

import contextlib
import http.client
import statistics

import pytest
from tests.support.chaos import LONG, SHORT, Chaos, acknowledged
from tests.support.crash import eventually, running


pytestmark = [pytest.mark.root, pytest.mark.timeout(300)]

QUICK, SLOW = 2.0, 8.0
"""Limits in seconds for most starts after a crash, and for all: the machine may be busy."""


@pytest.fixture(scope="module")
def whole():
    with running() as engine:
        chaos = Chaos(engine)
        yield chaos
    assert statistics.median(chaos.starts) < QUICK
    assert max(chaos.starts) < SLOW


@pytest.fixture
def chaos(whole):
    yield whole
    whole.reset_checks()


def steps(first, last, count):
    """Return moments in seconds, evenly spread over milliseconds from ``first`` to ``last``."""
    return [(first + (last - first) * i / (count - 1)) / 1000 for i in range(count)]


@pytest.mark.parametrize("delay", steps(0, 30, 6))
def test_create(chaos, delay):
    answer = chaos.kill_during(
        lambda: chaos.api.post("/containers/create?name=web", LONG), delay
    )  # fmt: skip
    chaos.start()
    found = chaos.states()
    if acknowledged(answer, 201):
        assert found == {answer.json["Id"]: "created"}
    if not found:  # the name is free again
        found = [chaos.engine.create("true", name="web")]
    for container in found:
        chaos.assert_works(container)
    chaos.assert_clean()


@pytest.mark.parametrize("delay", steps(0, 110, 12))
def test_start(chaos, delay):
    container = chaos.api.post("/containers/create", LONG).json["Id"]
    answer = chaos.kill_during(lambda: chaos.api.post(f"/containers/{container}/start"), delay)
    chaos.start()
    state = chaos.states()[container]
    assert state in ("created", "running")
    if acknowledged(answer, 204):
        assert state == "running"
    chaos.assert_works(container)
    chaos.assert_clean()


@pytest.mark.parametrize("delay", steps(20, 120, 6))
def test_exit(chaos, delay):
    def work():
        chaos.api.post(f"/containers/{container}/start")
        return chaos.api.post(f"/containers/{container}/wait")

    container = chaos.api.post("/containers/create", SHORT).json["Id"]
    answer = chaos.kill_during(work, delay)
    chaos.start()
    if acknowledged(answer, 200):
        assert answer.json["StatusCode"] == 3
    if chaos.states()[container] != "created":
        eventually(lambda: chaos.states()[container] == "exited")
        assert chaos.engine.inspect(container)["State"]["ExitCode"] == 3
    chaos.assert_clean()


@pytest.mark.parametrize("delay", steps(0, 80, 8))
def test_remove(chaos, delay):
    container = chaos.engine.run(*LONG["Cmd"], **{k: LONG[k] for k in ("Volumes", "ExposedPorts")})
    answer = chaos.kill_during(
        lambda: chaos.api.delete(f"/containers/{container}?force=1&v=1"), delay
    )  # fmt: skip
    chaos.start()
    left = chaos.states()
    if acknowledged(answer, 204):
        assert not left
    if left:
        chaos.assert_works(container)
    chaos.assert_clean()


@pytest.mark.parametrize("delay", steps(0, 100, 5))
def test_auto_remove(chaos, delay):
    """``docker run --rm``: create, start, end and removal in a row."""

    def work():
        body = {**SHORT, "HostConfig": {"AutoRemove": True}, "Volumes": {"/data": {}}}
        container = chaos.api.post("/containers/create", body).json["Id"]
        return chaos.api.post(f"/containers/{container}/start")

    answer = chaos.kill_during(work, delay)
    chaos.start()
    if acknowledged(answer, 204):
        eventually(lambda: not chaos.states())
    else:
        assert all(state in ("created", "running") for state in chaos.states().values())
    chaos.assert_clean()


@pytest.mark.parametrize("delay", steps(0, 150, 6))
def test_sigterm(chaos, delay):
    """An operation that a client waits for is completed, or the state is as after a crash."""

    def work():
        answers = []
        for call in (
            lambda: chaos.api.post(f"/containers/{container}/start"),
            lambda: chaos.api.post(f"/containers/{container}/kill"),
            lambda: chaos.api.delete(f"/containers/{container}?v=1"),
        ):
            with contextlib.suppress(OSError, http.client.HTTPException):
                answers.append(call())
        return answers

    container = chaos.api.post("/containers/create", LONG).json["Id"]
    answers = chaos.kill_during(work, delay, gently=True)
    assert all(answer.status in (204, 404, 409) for answer in answers), answers
    chaos.start()
    assert set(chaos.states().values()) <= {"created", "running", "exited"}
    chaos.assert_clean()
