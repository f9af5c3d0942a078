"""The engine's information about itself: version, info, df and events are accurate."""

import json
import os
import platform
import threading
import time
from pathlib import Path

import pytest

import palan
from palan.api.version import MAX_VERSION


pytestmark = pytest.mark.root


def info(engine):
    return engine.api.get("/info").json


def events(engine, query):
    answer = engine.api.get(f"/events?{query}")
    assert answer.status == 200, answer.body
    return [json.loads(line) for line in answer.body.splitlines()]


# ---- ping and version ----------------------------------------------------------------


def test_ping(engine):
    for api in (engine.api, engine.api.at(None), engine.api.at("1.24")):
        answer = api.get("/_ping")
        assert (answer.status, answer.body) == (200, b"OK")
        assert answer.headers["api-version"] == str(MAX_VERSION)
        assert answer.headers["ostype"] == "linux"
        assert answer.headers["docker-experimental"] == "false"
        head = api.call("HEAD", "/_ping")
        assert (head.status, head.body) == (200, b"")
        assert head.headers["api-version"] == str(MAX_VERSION)


def test_version(engine):
    shown = engine.api.get("/version").json
    assert shown["Version"] == palan.__version__
    assert (shown["ApiVersion"], shown["MinAPIVersion"]) == (str(MAX_VERSION), "1.24")
    assert shown["Os"] == "linux"
    assert shown["KernelVersion"] == platform.release()
    names = [component["Name"] for component in shown["Components"]]
    assert names[0] == "Engine"
    assert engine.api.at(None).get("/version").json == shown


def test_versions_beyond_the_range(engine):
    old = engine.api.at("1.23").get("/version")
    assert old.status == 400
    assert b"client version 1.23 is too old" in old.body
    next_version = f"{MAX_VERSION.major}.{MAX_VERSION.minor + 1}"
    new = engine.api.at(next_version).get("/version")
    assert new.status == 400
    assert (
        f"client version {next_version} is too new. Maximum supported API version is {MAX_VERSION}"
        in new.message
    )


# ---- info ----------------------------------------------------------------------------


def test_info_about_the_machine(engine):
    shown = info(engine)
    assert shown["NCPU"] == os.cpu_count()
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert abs(shown["MemTotal"] - pages) < pages // 10
    assert shown["Architecture"] == platform.machine()
    assert shown["KernelVersion"] == platform.release()
    assert shown["Name"] == platform.node()
    assert shown["OSType"] == "linux"
    pure = Path("/sys/fs/cgroup/cgroup.controllers").exists()
    assert shown["CgroupVersion"] == ("2" if pure else "1")
    assert shown["CgroupDriver"] == "cgroupfs"
    assert shown["IPv4Forwarding"] is (
        Path("/proc/sys/net/ipv4/ip_forward").read_text().strip() == "1"
    )


def test_info_about_the_engine(engine):
    shown = info(engine)
    assert shown["DockerRootDir"] == str(engine.data_root)
    assert shown["ServerVersion"] == palan.__version__
    assert shown["Debug"] is True
    assert shown["DefaultRuntime"] in shown["Runtimes"]
    for runtime in shown["Runtimes"].values():
        assert os.access(runtime["path"], os.X_OK)
    assert shown["LiveRestoreEnabled"] is True
    assert shown["Driver"] == "overlay2"
    assert {"bridge", "host", "null"} <= set(shown["Plugins"]["Network"])
    assert shown["Swarm"]["LocalNodeState"] == "inactive"
    assert "name=seccomp,profile=builtin" in shown["SecurityOptions"]


def test_counts(engine):
    before = info(engine)
    assert before["Containers"] == 0
    running, paused = engine.run("sleep", "600"), engine.run("sleep", "600")
    engine.api.post(f"/containers/{paused}/pause")
    ended = engine.run("true")
    engine.wait(ended)
    engine.create("true")
    shown = info(engine)
    counts = [shown[f"Containers{state}"] for state in ("", "Running", "Paused", "Stopped")]
    assert counts == [4, 1, 1, 2]
    assert shown["Images"] == before["Images"] == len(engine.api.get("/images/json").json)
    engine.remove(running)


def test_the_id_stays(own_engine):
    before = info(own_engine)["ID"]
    own_engine.stop()
    own_engine.start()
    assert info(own_engine)["ID"] == before


# ---- df ------------------------------------------------------------------------------


def test_disk_usage(engine):
    container = engine.run("sh", "-c", "head -c 100000 /dev/zero >/file", host={"Binds": ["df:/v"]})
    engine.wait(container)
    Path(engine.api.get("/volumes/df").json["Mountpoint"], "file").write_bytes(bytes(5000))
    shown = engine.api.get("/system/df").json
    (line,) = shown["Containers"]
    assert 100_000 <= line["SizeRw"] < 110_000
    assert line["SizeRootFs"] > line["SizeRw"]
    assert shown["ContainerUsage"]["TotalCount"] == 1
    assert shown["ContainerUsage"]["Reclaimable"] == line["SizeRw"]
    (volume,) = (v for v in shown["Volumes"] if v["Name"] == "df")
    assert volume["UsageData"] == {"RefCount": 1, "Size": 5000}
    (image,) = (i for i in shown["Images"] if "busybox:latest" in (i["RepoTags"] or ()))
    assert image["Containers"] == 1
    assert shown["LayersSize"] >= image["Size"] > 1_000_000
    assert shown["BuildCache"] == []
    engine.remove(container)
    engine.api.delete("/volumes/df")


def test_disk_usage_of_some_kinds(engine):
    assert set(engine.api.get("/system/df?type=container&type=volume").json) == {
        "Containers", "ContainerUsage", "Volumes", "VolumeUsage",
    }  # fmt: skip
    assert "Containers" not in engine.api.get("/system/df?verbose=1").json
    assert "ContainerUsage" not in engine.api.at("1.51").get("/system/df").json
    answer = engine.api.get("/system/df?type=bogus")
    assert (answer.status, answer.message) == (400, "unknown object type: bogus")


# ---- events --------------------------------------------------------------------------


def test_events_of_a_container(engine):
    since = time.time()
    container = engine.run("sh", "-c", "exit 3", name="eventful", Labels={"color": "blue"})
    engine.wait(container)
    engine.remove(container)
    query = f"since={since:.6f}&until={time.time():.6f}"
    found = events(engine, f'{query}&filters={{"container":["eventful"]}}')
    assert [event["Action"] for event in found] == ["create", "start", "die", "destroy"]
    for event in found:
        assert event["Actor"]["ID"] == container
        assert event["Actor"]["Attributes"]["color"] == "blue"
        assert event["Actor"]["Attributes"]["image"] == "busybox:latest"
        assert event["timeNano"] // 10**9 == event["time"]
    assert found[2]["Actor"]["Attributes"]["exitCode"] == "3"
    network = events(engine, f'{query}&filters={{"type":["network"]}}')
    assert [event["Action"] for event in network] == ["connect", "disconnect"]
    assert {event["Actor"]["Attributes"]["container"] for event in network} == {container}


def test_events_as_they_come(engine):
    found = []
    ready = threading.Event()

    def follow():
        until = time.time() + 1.5
        ready.set()
        found.extend(events(engine, f'until={until:.3f}&filters={{"volume":["comes-and-goes"]}}'))

    thread = threading.Thread(target=follow)
    thread.start()
    ready.wait()
    deadline = time.monotonic() + 1
    while not info(engine)["NEventsListener"] and time.monotonic() < deadline:
        time.sleep(0.01)
    engine.api.post("/volumes/create", {"Name": "comes-and-goes"})
    engine.api.delete("/volumes/comes-and-goes")
    thread.join()
    assert [event["Action"] for event in found] == ["create", "destroy"]


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_events_outlive_the_engine(own_engine, how):
    since = time.time()
    container = own_engine.run("sleep", "600", name="old")
    getattr(own_engine, how)()
    own_engine.start()
    own_engine.remove(container)
    found = events(
        own_engine,
        f'since={since:.6f}&until={time.time():.6f}&filters={{"container":["old"]}}',
    )
    actions = [event["Action"] for event in found]
    assert actions[:2] == ["create", "start"]
    assert actions[-1] == "destroy"
    times = [event["timeNano"] for event in found]
    assert times == sorted(set(times))


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("since=20&until=10", "`since` time (20) cannot be after `until` time (10)"),
        ("since=yesterday", "invalid value for 'since': invalid timestamp \"yesterday\""),
        ("filters={", "invalid filter"),
    ],
)
def test_events_that_make_no_sense(engine, query, message):
    answer = engine.api.get(f"/events?{query}")
    assert answer.status == 400
    assert answer.message.startswith(message)


# ---- the rest ------------------------------------------------------------------------


def test_the_contract_is_served(engine):
    answer = engine.api.get("/openapi.json")
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json"
    document = answer.json
    assert document["info"]["version"] == str(MAX_VERSION)
    assert "/containers/{id}/start" in document["paths"]


def test_absent_objects(engine):
    for api in (engine.api, engine.api.at(None)):
        answer = api.get("/nonsense")
        assert (answer.status, answer.message) == (404, "page not found")


def test_swarm_mode_is_off(engine):
    answer = engine.api.get("/swarm")
    assert answer.status in (501, 503)
