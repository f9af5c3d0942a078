"""An event is in the database, with its change, at the moment of the answer."""

import contextlib
import http.client
import json
import sqlite3
import threading
import time
from urllib.parse import quote

import pytest
from tests.support.build import build
from tests.support.crash import eventually, running


pytestmark = pytest.mark.root


def recorded(engine):
    """Return the newest events in the database, as another process sees them."""
    with sqlite3.connect(f"file:{engine.config.paths.database}?mode=ro", uri=True) as connection:
        rows = connection.execute("SELECT event FROM events ORDER BY number DESC LIMIT 8")
        return [f"{e['Type']} {e['Action']}" for e in (json.loads(row[0]) for row in rows)]


def test_events_are_committed_before_the_answer(shared_engine):
    engine = shared_engine

    def call(method, target, *events, body=None):
        answer = engine.api.call(method, target, body)
        found = recorded(engine)
        assert answer.status < 300, answer.body
        assert set(events) <= set(found), (target, found)
        return answer

    for _ in range(5):
        call("POST", "/volumes/create", "volume create", body={"Name": "told"})
        call("DELETE", "/volumes/told", "volume destroy")
        call("POST", "/volumes/prune", "volume prune")
        call("POST", "/networks/create", "network create", body={"Name": "told"})
        call("DELETE", "/networks/told", "network destroy")
        call("POST", "/networks/prune", "network prune")
        call("POST", "/images/busybox/tag?repo=told&tag=1", "image tag")
        call("DELETE", "/images/told:1", "image untag")
        body = {"Image": "busybox", "Cmd": ["sleep", "60"], "HostConfig": {"NetworkMode": "none"}}
        call("POST", "/containers/create?name=told", "container create", body=body)
        call("POST", "/containers/told/rename?name=told2", "container rename")
        call("POST", "/containers/told2/update", "container update", body={"CpuShares": 512})
        call("POST", "/containers/told2/start", "container start", "network connect")
        call("POST", "/containers/told2/pause", "container pause")
        call("POST", "/containers/told2/unpause", "container unpause")
        call(
            "POST", "/containers/told2/exec", "container exec_create: true ",
            body={"Cmd": ["true"]},
        )  # fmt: skip
        call("POST", "/containers/told2/kill", "container kill")
        engine.wait("told2")
        call(
            "POST",
            f"/commit?container=told2&repo={quote('told')}",
            "image create",
            "container commit",
        )
        call("DELETE", "/images/told", "image delete")
        call("DELETE", "/containers/told2", "container destroy")
        call("POST", "/containers/prune", "container prune")


def test_the_container_of_an_interrupted_build_step_dies_and_is_destroyed():
    with running() as engine:

        def interrupted():
            with contextlib.suppress(OSError, http.client.HTTPException):
                build(engine, "FROM busybox\nRUN sleep 1000\n")

        steps = threading.Thread(target=interrupted)
        steps.start()
        eventually(lambda: "container start" in recorded(engine))
        engine.kill()
        steps.join()
        engine.start()
        found = recorded(engine)
        assert {"container die", "container destroy", "network disconnect"} <= set(found)
        assert found.index("container destroy") < found.index("container die")


@pytest.mark.parametrize("delay", [0.002, 0.006, 0.012])
def test_a_network_that_is_gone_has_its_event(delay):
    with running() as engine:
        made = engine.api.post("/networks/create", {"Name": "gone"}).json["Id"]

        def remove():
            with contextlib.suppress(OSError, http.client.HTTPException):
                engine.api.delete("/networks/gone")

        removal = threading.Thread(target=remove)
        removal.start()
        time.sleep(delay)
        engine.kill()
        removal.join()
        engine.start()
        is_gone = engine.api.get(f"/networks/{made}").status == 404
        assert ("network destroy" in recorded(engine)) is is_gone
