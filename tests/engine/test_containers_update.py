"""Update of containers: the kernel enforces the new limits at once, and after restarts."""

import os
import threading
from pathlib import Path

import pytest

from palan.host import cgroups


pytestmark = pytest.mark.root

MB = 1 << 20
LAYOUT = cgroups.detect()
V1 = LAYOUT.layout is not cgroups.Layout.V2


@pytest.fixture(params=["crun", "runc"])
def container(request, engine):
    """Return a running container, one for each of the runtimes that work here."""
    if request.param not in engine.api.get("/info").json["Runtimes"]:
        pytest.skip(f"{request.param} does not work here")
    return engine.run("sleep", "1000", host={"Runtime": request.param})


def limit(engine, container, controller, v1, v2):
    """Return the content of a file of the container's cgroup."""
    pid = engine.inspect(container)["State"]["Pid"]
    for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        if (V1 and controller in names.split(",")) or (not V1 and not names):
            tree = LAYOUT.controllers[controller]
            return (tree / path.lstrip("/") / (v1 if V1 else v2)).read_text().strip()
    raise AssertionError(controller)


def update(engine, container, *, status=200, **body):
    answer = engine.api.post(f"/containers/{container}/update", body)
    assert answer.status == status, answer.body
    return answer.json


def limits(engine, container):
    return {
        "memory": limit(engine, container, "memory", "memory.limit_in_bytes", "memory.max"),
        "swap": limit(
            engine, container, "memory", "memory.memsw.limit_in_bytes", "memory.swap.max"
        ),
        "pids": limit(engine, container, "pids", "pids.max", "pids.max"),
        "cpus": limit(engine, container, "cpuset", "cpuset.cpus", "cpuset.cpus"),
        "reserved": limit(
            engine, container, "memory", "memory.soft_limit_in_bytes", "memory.low"
        ),
    }  # fmt: skip


def quota(engine, container):
    if V1:
        return limit(engine, container, "cpu", "cpu.cfs_quota_us", "")
    return limit(engine, container, "cpu", "", "cpu.max").split()[0]


def test_limits_of_a_running_container(engine, container):
    asked = {
        "Memory": 64 * MB, "MemorySwap": 128 * MB, "MemoryReservation": 32 * MB,
        "PidsLimit": 50, "CpusetCpus": "0", "NanoCpus": 500_000_000, "CpuShares": 256,
    }  # fmt: skip
    assert update(engine, container, **asked) == {"Warnings": None}
    wanted = {
        "memory": str(64 * MB),
        "swap": str((128 if V1 else 64) * MB),
        "pids": "50",
        "cpus": "0",
        "reserved": str(32 * MB),
    }
    assert limits(engine, container) == wanted
    assert quota(engine, container) == "50000"
    if V1:
        assert limit(engine, container, "cpu", "cpu.shares", "") == "256"
    told = engine.inspect(container)["HostConfig"]
    assert {name: told[name] for name in asked} == asked
    # First larger than memory and swap together were, then smaller again.
    update(engine, container, Memory=256 * MB, MemorySwap=512 * MB)
    assert limits(engine, container)["memory"] == str(256 * MB)
    update(engine, container, Memory=32 * MB, MemorySwap=32 * MB, PidsLimit=-1)
    assert limits(engine, container)["pids"] == "max"
    assert limits(engine, container)["swap"] == str((32 if V1 else 0) * MB)
    update(engine, container, MemorySwap=-1, PidsLimit=50)
    other = engine.run("sleep", "1000", host={"CpuQuota": 20_000})
    assert quota(engine, other) == "20000"
    update(engine, other, CpuQuota=-1)
    assert quota(engine, other) == ("-1" if V1 else "max")
    assert engine.inspect(container)["HostConfig"]["MemorySwap"] == -1

    answer = engine.api.post(f"/containers/{container}/restart?t=0")
    assert answer.status == 204, answer.body
    assert limits(engine, container)["memory"] == str(32 * MB)
    assert limits(engine, container)["pids"] == "50"
    assert quota(engine, container) == "50000"


def test_options_that_exclude_each_other(engine):
    one = engine.run("sleep", "1000", name="one", host={"Memory": 64 * MB})
    two = engine.create("true", name="two", host={"AutoRemove": True, "NanoCpus": 500_000_000})
    prefix = f"Cannot update container {one}: "
    assert update(engine, one, status=409, Memory=256 * MB)["message"] == (
        f"{prefix}Memory limit should be smaller than already set memoryswap limit,"
        " update the memoryswap at the same time"
    )
    assert update(engine, two, status=409, CpuQuota=5000)["message"].endswith(
        "CPU Quota cannot be updated as NanoCPUs has already been set"
    )
    assert update(engine, two, status=409, CpuPeriod=5000)["message"].endswith(
        "CPU Period cannot be updated as NanoCPUs has already been set"
    )
    assert "AutoRemove is enabled" in update(
        engine, two, status=409, RestartPolicy={"Name": "always"}
    )["message"]  # fmt: skip
    update(engine, two, RestartPolicy={"Name": "no"})
    update(engine, one, status=400, Memory=1024)
    update(engine, one, status=400, RestartPolicy={"Name": "sometimes"})
    update(engine, one, status=400, CpusetCpus="4000")
    update(engine, one, status=400, BlkioDeviceReadBps=[{"Path": "/dev/absent", "Rate": 1}])
    update(engine, "absent", status=404)
    assert engine.inspect(one)["HostConfig"]["Memory"] == 64 * MB


def test_limits_that_cannot_be_changed_cause_warnings(engine):
    container = engine.create("true")
    warnings = update(
        engine, container, OomKillDisable=True, ShmSize=5, CpuShares=5,
        Ulimits=[{"Name": "nofile", "Soft": 5, "Hard": 5}], Devices=[],
    )["Warnings"]  # fmt: skip
    assert sorted(warnings) == [
        "OomKillDisable cannot be changed by an update. OomKillDisable discarded.",
        "Ulimits cannot be changed by an update. Ulimits discarded.",
    ]
    told = engine.inspect(container)["HostConfig"]
    assert (told["CpuShares"], told["Ulimits"]) == (5, None)


def test_a_refusal_of_the_kernel_changes_nothing(engine, container):
    update(engine, container, Memory=64 * MB, MemorySwap=64 * MB, PidsLimit=30)
    full = "head -c 40000000 /dev/zero > /dev/shm/x"
    asked = {"Cmd": ["sh", "-c", full], "AttachStdout": True}
    made = engine.api.post(f"/containers/{container}/exec", asked)
    engine.api.post(f"/exec/{made.json['Id']}/start", {})
    before = limits(engine, container)
    if V1:
        answer = update(
            engine, container, status=400, PidsLimit=10, Memory=8 * MB, MemorySwap=8 * MB
        )
        assert answer["message"].startswith(f"Cannot update container {container}: ")
        assert limits(engine, container) == before
        assert engine.inspect(container)["HostConfig"]["Memory"] == 64 * MB


@pytest.mark.skipif(not V1, reason="the files are those of cgroup v1")
def test_a_refused_limit_leaves_the_container_unlimited(engine, container):
    before = limits(engine, container)
    shares = limit(engine, container, "cpu", "cpu.shares", "")
    asked = {"Memory": 64 * MB, "MemorySwap": 64 * MB, "CpuShares": 300, "CpuQuota": 50_000}
    # The parent cgroup has no real-time processor time.
    update(engine, container, status=400, **asked, CpuRealtimeRuntime=900_000, PidsLimit=10)
    assert limits(engine, container) == before
    assert limit(engine, container, "cpu", "cpu.shares", "") == shares
    assert quota(engine, container) == "-1"
    told = engine.inspect(container)["HostConfig"]
    assert (told["Memory"], told["CpuShares"], told["PidsLimit"]) == (0, 0, None)


def test_rates_of_devices(engine, container):
    devices = [path for path in Path("/dev").iterdir() if path.is_block_device()]
    if not devices or not V1:
        pytest.skip("no block device, or cgroup v2, where it needs the controller to be enabled")
    device = devices[0]
    number = device.stat().st_rdev
    rules = [{"Path": str(device), "Rate": 1 * MB}]

    def rates():
        name = "blkio.throttle.write_bps_device"
        return limit(engine, container, "blkio", name, "io.max")

    update(engine, container, BlkioDeviceWriteBps=rules)
    wanted = f"{os.major(number)}:{os.minor(number)} {1 * MB}"
    assert rates() == wanted
    # Versions below 1.55 do not have it.
    old = engine.api.at("1.54")
    assert old.post(f"/containers/{container}/update", {"BlkioDeviceWriteBps": []}).status == 200
    engine.api.post(f"/containers/{container}/restart?t=0")
    assert rates() == wanted
    update(engine, container, BlkioDeviceWriteBps=[])
    assert rates() == ""


def test_a_policy_counts_from_now_on(own_engine):
    container = own_engine.create("sh", "-c", "sleep 0.2; exit 1")
    update(own_engine, container, RestartPolicy={"Name": "on-failure", "MaximumRetryCount": 1})
    own_engine.kill()
    own_engine.start()
    assert own_engine.api.post(f"/containers/{container}/start").status == 204
    for _ in range(2):
        own_engine.wait(container)
    assert own_engine.inspect(container)["RestartCount"] == 1
    assert own_engine.inspect(container)["State"]["Status"] == "exited"


def test_many_at_once_and_with_everything_else(engine):
    """The last change wins; the values of one change stay together, and no response is a 500."""
    container = engine.run("sleep", "1000", name="busy")
    seen = []

    def many(method, path, *bodies):
        for body in bodies:
            seen.append(engine.api.call(method, path, body).status)  # noqa: PERF401

    updates = [{"CpuShares": 100 + n, "PidsLimit": 100 + n} for n in range(12)]
    others = [
        ("POST", f"/containers/{container}/update", *updates),
        ("POST", f"/containers/{container}/update", *reversed(updates)),
        ("POST", f"/containers/{container}/restart?t=0", None, None, None),
        ("POST", f"/containers/{container}/kill", None, None),
        ("POST", f"/containers/{container}/rename?name=other", None),
        ("GET", f"/containers/{container}/top", *[None] * 5),
        ("GET", f"/containers/{container}/stats?stream=0&one-shot=1", *[None] * 5),
    ]
    threads = [threading.Thread(target=many, args=args) for args in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(seen) <= {200, 204, 304, 409}, seen
    engine.api.post(f"/containers/{container}/start")
    told = engine.inspect(container)["HostConfig"]
    assert told["PidsLimit"] == told["CpuShares"]
    assert limits(engine, container)["pids"] == str(told["PidsLimit"])
