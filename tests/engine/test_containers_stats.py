"""Stats and top, compared with the containers' real resource usage."""

import json
import time

import pytest
from tests.support.crash import eventually


pytestmark = pytest.mark.root

ZERO = "0001-01-01T00:00:00Z"


def stats(engine, container, query="stream=0&one-shot=1"):
    answer = engine.api.get(f"/containers/{container}/stats?{query}")
    assert answer.status == 200, answer.body
    return answer.json


def streamed(engine, container, count):
    """Return the first samples of a stream, fewer if it ends before."""
    with engine.api.stream(f"/containers/{container}/stats") as answer:
        return [json.loads(line) for line, _ in zip(answer, range(count), strict=False)]


def test_a_busy_container(engine):
    container = engine.run(
        "sh", "-c", "head -c 20000000 /dev/zero > /dev/shm/x; while :; do :; done",
        name="busy", host={"Memory": 64 << 20, "PidsLimit": 30, "NanoCpus": 300_000_000},
    )  # fmt: skip
    eventually(lambda: stats(engine, container)["memory_stats"]["usage"] > 20_000_000)
    started = time.monotonic()
    found = stats(engine, container, "stream=0")
    assert time.monotonic() - started >= 1
    assert (found["id"], found["name"], found["os_type"]) == (container, "/busy", "linux")
    assert found["preread"] < found["read"] != ZERO
    cpu, before = found["cpu_stats"], found["precpu_stats"]
    used = cpu["cpu_usage"]["total_usage"] - before["cpu_usage"]["total_usage"]
    passed = (cpu["system_cpu_usage"] - before["system_cpu_usage"]) / cpu["online_cpus"]
    # Limited to 0.3 processors, while its process would use a whole one.
    assert 0.01 < used / passed < 0.5
    assert cpu["throttling_data"]["periods"] > 0
    assert cpu["cpu_usage"]["usage_in_usermode"] > 0
    memory = found["memory_stats"]
    assert 20_000_000 < memory["usage"] < memory["limit"] == 64 << 20
    assert memory["stats"]
    assert found["pids_stats"] == {"current": 1, "limit": 30}
    assert found["num_procs"] == 0
    assert found["storage_stats"] == {}


def test_one_shot_has_nothing_before(engine):
    container = engine.run("sleep", "1000")
    found = stats(engine, container)
    assert (found["preread"], found["precpu_stats"]["cpu_usage"]["total_usage"]) == (ZERO, 0)
    assert "system_cpu_usage" not in found["precpu_stats"]
    # Versions below 1.41 have no one-shot.
    old = engine.api.at("1.40").get(f"/containers/{container}/stats?stream=0&one-shot=1").json
    assert old["preread"] != ZERO


def test_networks_are_those_inside(engine):
    container = engine.run("sh", "-c", "ping -c 3 -i 0.1 127.0.0.1; sleep 1000")
    found = stats(engine, container)["networks"]
    assert list(found) == ["eth0"]
    what = ("bytes", "packets", "errors", "dropped")
    assert set(found["eth0"]) == {f"{way}_{name}" for way in ("rx", "tx") for name in what}
    joined = engine.run("sleep", "1000", host={"NetworkMode": f"container:{container}"})
    assert list(stats(engine, joined)["networks"]) == ["eth0"]
    for mode in ("host", "none"):
        other = engine.run("sleep", "1000", host={"NetworkMode": mode})
        assert "networks" not in stats(engine, other)


def test_a_stream(engine):
    container = engine.run("sleep", "1000")
    first, second, third = streamed(engine, container, 3)
    assert first["preread"] == ZERO
    assert second["preread"] == first["read"]
    assert third["preread"] == second["read"]
    assert third["precpu_stats"] == second["cpu_stats"]


def test_a_stream_continues_over_a_restart_and_ends_with_the_container(engine):
    container = engine.run("sleep", "1000")
    with engine.api.stream(f"/containers/{container}/stats") as answer:
        assert json.loads(answer.readline())["read"] != ZERO
        engine.api.post(f"/containers/{container}/stop?t=0")
        while json.loads(answer.readline())["read"] != ZERO:
            pass
        engine.api.post(f"/containers/{container}/start")
        while (found := json.loads(answer.readline()))["read"] == ZERO:
            pass
        assert found["pids_stats"]["current"] == 1
        engine.remove(container)
        assert answer.read().count(b"\n") <= 2


def test_stats_of_a_stopped_container(engine):
    container = engine.create("true", name="idle")
    found = stats(engine, container, "stream=0")
    assert (found["name"], found["read"]) == ("/idle", ZERO)
    assert (found["memory_stats"], found["pids_stats"]) == ({}, {})
    assert found["blkio_stats"]["io_service_bytes_recursive"] is None
    (sample,) = streamed(engine, container, 1)
    assert sample == found
    assert engine.api.get("/containers/absent/stats?stream=0").status == 404
    assert engine.api.get("/containers/absent/stats").status == 404


def test_a_paused_container(engine):
    container = engine.run("sleep", "1000")
    engine.api.post(f"/containers/{container}/pause")
    try:
        assert stats(engine, container)["pids_stats"]["current"] == 1
    finally:
        engine.api.post(f"/containers/{container}/unpause")


def test_top(engine):
    container = engine.run("sh", "-c", "sleep 1000 & sleep 2000")
    eventually(lambda: len(top(engine, container).json["Processes"]) == 2)
    found = top(engine, container).json
    assert found["Titles"] == ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"]
    pid = engine.inspect(container)["State"]["Pid"]
    assert str(pid) in [fields[1] for fields in found["Processes"]]
    assert {"sleep 1000", "sleep 2000"} == {fields[-1] for fields in found["Processes"]}
    made = engine.api.post(f"/containers/{container}/exec", {"Cmd": ["sleep", "3000"]}).json["Id"]
    engine.api.post(f"/exec/{made}/start", {"Detach": True})
    commands = [fields[1] for fields in top(engine, container, "-o+pid,args").json["Processes"]]
    assert "sleep 3000" in commands


def test_top_refuses(engine):
    container = engine.run("sleep", "1000")
    for arguments, message in (
        ("-o+args", "Couldn't find PID field in ps output"),
        ("--bogus", "ps: error: unknown gnu long option"),
        ("-o+pid,comm%3DPID", 'specifying "pid,comm=PID" is not allowed'),
    ):
        answer = top(engine, container, arguments)
        assert (answer.status, answer.json["message"]) == (400, message)
    assert top(engine, engine.create("true")).status == 409
    assert top(engine, "absent").status == 404


def top(engine, container, arguments=""):
    return engine.api.get(f"/containers/{container}/top?ps_args={arguments}")
