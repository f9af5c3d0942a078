"""Containers that run out of memory, whichever of their processes is killed."""

import json
import time
from urllib.parse import quote

import pytest
from tests.support.crash import eventually, killed


pytestmark = pytest.mark.root


def oom_events(engine, container):
    filters = quote(json.dumps({"container": [container], "event": ["oom"]}))
    answer = engine.api.get(f"/events?filters={filters}&since=1&until={time.time():.3f}")
    return len(answer.body.splitlines())


@pytest.mark.parametrize("victim", ["child", "exec"])
def test_lack_of_memory_is_noted_at_once(engine, victim):
    child = "tail /dev/zero; " if victim == "child" else ""
    container = engine.run(
        "sh", "-c", f"{child}sleep 600", host={"Memory": 16 << 20, "MemorySwap": 16 << 20}
    )
    if victim == "exec":
        body = {"Cmd": ["tail", "/dev/zero"]}
        exec_id = engine.api.post(f"/containers/{container}/exec", body).json["Id"]
        assert engine.api.post(f"/exec/{exec_id}/start", {"Detach": True}).status == 200
    eventually(lambda: engine.inspect(container)["State"]["OOMKilled"])
    assert engine.inspect(container)["State"]["Running"]
    assert oom_events(engine, container) >= 1
    engine.remove(container)


def test_processes_that_wait_for_memory_are_noted(own_engine):
    engine = own_engine
    if not engine.api.get("/info").json["OomKillDisable"]:
        pytest.skip("cgroup v2 has no such option")
    host = {"Memory": 16 << 20, "MemorySwap": 16 << 20, "OomKillDisable": True}
    container = engine.run("awk", 'BEGIN { x = "a"; while (1) x = x x }', host=host)
    eventually(lambda: engine.inspect(container)["State"]["OOMKilled"])
    assert engine.inspect(container)["State"]["Running"]
    assert oom_events(engine, container) == 1
    with killed(engine):
        pass
    assert engine.inspect(container)["State"]["OOMKilled"]
    assert oom_events(engine, container) == 1
    engine.remove(container)
