"""Fields of a container's configuration that the docker command sets rarely or never."""

import io
import json
import shutil
import struct
import tarfile
from pathlib import Path
from typing import Any

import pytest
from tests.support.engine import TestEngine

from palan.host import cgroups


pytestmark = pytest.mark.root

V1 = cgroups.detect().layout is not cgroups.Layout.V2
CGROUPS = Path("/sys/fs/cgroup")


def create(engine, status=201, *, host=None, **config):
    body = {"Image": "busybox", "Cmd": ["sleep", "1000"], "HostConfig": host or {}, **config}
    answer = engine.api.post("/containers/create", body)
    assert answer.status == status, answer.body
    return answer.json


def value(engine, container, controller, name):
    parent = engine.config.cgroup_root.strip("/")
    return (CGROUPS / controller / parent / container / name).read_text().strip()


@pytest.fixture(params=["crun", "runc"])
def runtime(request, engine):
    if request.param not in engine.api.get("/info").json["Runtimes"]:
        pytest.skip(f"{request.param} does not work here")
    return request.param


@pytest.mark.skipif(not V1, reason="cgroup v2 has no such limits")
def test_realtime(engine, runtime):
    if not (CGROUPS / "cpu/cpu.rt_runtime_us").exists():
        assert "real-time" in create(engine, 400, host={"CpuRealtimeRuntime": 1000})["message"]
        return
    host = {
        "Runtime": runtime, "CpuRealtimePeriod": 500_000, "CpuRealtimeRuntime": 10_000,
    }  # fmt: skip
    assert "--cpu-rt-runtime" in create(engine, 400, host=host)["message"]
    own = TestEngine("--cpu-rt-runtime", "100000")
    own.start()
    try:
        own.load_image()
        container = own.run("sleep", "1000", host=host)
        assert value(own, container, "cpu", "cpu.rt_period_us") == "500000"
        assert value(own, container, "cpu", "cpu.rt_runtime_us") == "10000"
        update = {"CpuRealtimeRuntime": 20_000}
        assert own.api.post(f"/containers/{container}/update", update).status == 200
        assert value(own, container, "cpu", "cpu.rt_runtime_us") == "20000"
        answer = own.api.post(f"/containers/{container}/update", {"CpuRealtimeRuntime": 400_000})
        assert answer.status == 400, answer.body
        assert value(own, container, "cpu", "cpu.rt_runtime_us") == "20000"
    finally:
        own.close()


@pytest.mark.skipif(not V1, reason="cgroup v2 has no such limit")
def test_tcp_memory(engine, runtime):
    host = {"Runtime": runtime, "KernelMemoryTCP": 8 << 20}
    body = {"Image": "busybox", "Cmd": ["sleep", "1000"], "HostConfig": host}
    container = engine.api.at("1.51").post("/containers/create", body).json["Id"]
    assert engine.api.post(f"/containers/{container}/start").status == 204
    assert value(engine, container, "memory", "memory.kmem.tcp.limit_in_bytes") == str(8 << 20)


def test_kernel_memory_is_no_more(engine):
    body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"KernelMemory": 8 << 20}}
    answer = engine.api.at("1.41").post("/containers/create", body)
    assert answer.json["Warnings"] == ["Kernel memory limits are no more. Limitation discarded."]


def test_paths_of_its_own(engine, runtime):
    host = {"Runtime": runtime, "MaskedPaths": ["/proc/version"], "ReadonlyPaths": ["/proc/bus"]}
    script = "wc -c < /proc/version; echo 1 > /proc/sys/kernel/domainname && echo open; mount"
    got = engine.output("sh", "-c", script, host=host)
    assert got.splitlines()[0] == "0"
    assert "open" in got.splitlines()
    assert " on /proc/bus " in got
    assert " on /proc/sys " not in got


def test_a_terminal_has_its_size_from_the_start(engine, runtime):
    host = {"Runtime": runtime, "ConsoleSize": [33, 77]}
    assert engine.output("stty", "size", host=host).split() == ["33", "77"]


def test_without_network(engine, runtime):
    host = {"Runtime": runtime, "PortBindings": {"80/tcp": [{"HostPort": "0"}]}}
    made = create(engine, host=host, NetworkDisabled=True)
    assert "Published ports are discarded" in made["Warnings"][0]
    engine.api.post(f"/containers/{made['Id']}/start")
    pid = engine.inspect(made["Id"])["State"]["Pid"]
    names = [line.partition(":")[0].strip() for line in
             Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]]  # fmt: skip
    assert names == ["lo"]


def test_annotations_reach_the_runtime(engine, runtime):
    host = {"Runtime": runtime, "Annotations": {"org.example": "x"}}
    container = engine.run("sleep", "1000", host=host)
    spec = json.loads((engine.exec_root / "containers" / container / "config.json").read_text())
    assert spec["annotations"]["org.example"] == "x"


def test_runtimes_go_by_the_names_of_their_shims_too(engine):
    if "runc" not in engine.api.get("/info").json["Runtimes"]:
        pytest.skip("runc does not work here")
    container = engine.run("sleep", "1000", host={"Runtime": "io.containerd.runc.v2"})
    assert (engine.exec_root / "runtime/runc" / container).is_dir()
    assert engine.inspect(container)["HostConfig"]["Runtime"] == "io.containerd.runc.v2"
    bogus = create(engine, 400, host={"Runtime": "io.containerd.bogus.v2"})["message"]
    assert bogus == "unknown or invalid runtime name: io.containerd.bogus.v2"


def test_fields_without_effect_cause_warnings(engine):
    (warning,) = create(engine, host={"Init": True, "PidMode": "host"})["Warnings"]
    assert warning.endswith("Init discarded.")
    warnings = create(engine, host={"Cgroup": "container:x", "CpuCount": 2})["Warnings"]
    assert warnings == [
        "linux does not support CPU count. Count discarded.",
        "Joining the cgroup of another container is not supported; Cgroup discarded.",
    ]
    assert "pquota" in create(engine, 400, host={"StorageOpt": {"size": "1G"}})["message"]


def test_devices_by_name(runtime, tmp_path):
    (tmp_path / "vendor.json").write_text(
        json.dumps({
            "cdiVersion": "0.6.0",
            "kind": "vendor.com/thing",
            "containerEdits": {"env": ["THING=all"]},
            "devices": [{"name": "one", "containerEdits": {
                "deviceNodes": [{"path": "/dev/thing", "hostPath": "/dev/null"}],
                "mounts": [{"hostPath": str(tmp_path), "containerPath": "/thing"}],
                "hooks": [{"hookName": "createRuntime", "path": "/bin/sh",
                           "args": ["sh", "-c", f"cat > {tmp_path}/state"]}],
            }}],
        })
    )  # fmt: skip
    engine = TestEngine("--cdi-spec-dir", tmp_path)
    engine.start()
    try:
        engine.load_image()
        info = engine.api.get("/info").json
        assert info["CDISpecDirs"] == [str(tmp_path)]
        assert info["DiscoveredDevices"] == [{"Source": "cdi", "ID": "vendor.com/thing=one"}]
        asked = [{"Driver": "cdi", "DeviceIDs": ["vendor.com/thing=one"]}]
        host = {"Runtime": runtime, "DeviceRequests": asked}
        script = "echo $THING; echo x > /dev/thing && stat -c %t:%T /dev/thing; ls /thing"
        got = engine.output("sh", "-c", script, host=host)
        assert got.split()[:2] == ["all", "1:3"]
        assert "vendor.json" in got
        assert "bundle" in (tmp_path / "state").read_text()
        asked[0]["DeviceIDs"] = ["vendor.com/thing=two"]
        refused = create(engine, 400, host=host)["message"]
        assert refused == (
            "CDI device injection failed: unresolvable CDI devices vendor.com/thing=two"
        )
        gpu = [{"Driver": "", "Count": -1, "Capabilities": [["gpu"]]}]
        assert create(engine, 400, host={"DeviceRequests": gpu})["message"] == (
            'could not select device driver "" with capabilities: [[gpu]]'
        )
    finally:
        engine.close()


# ---- what is confined -------------------------------------------------------------

NET_BIND_SERVICE = 10


def put(engine, container, name, content, capability=None):
    """Put a program into a container, with a capability of the file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(content), 0o755
        if capability is not None:
            value = struct.pack("<IIIII", 0x02000001, 1 << capability, 0, 0, 0)
            text = value.decode("utf-8", "surrogateescape")
            entry.pax_headers = {"SCHILY.xattr.security.capability": text}
        tar.addfile(entry, io.BytesIO(content))
    target = f"/containers/{container}/archive?path=/"
    answer = engine.api.call("PUT", target, buffer.getvalue())
    assert answer.status == 200, answer.body


@pytest.mark.parametrize("options", [[], ["no-new-privileges"]])
def test_a_user_has_the_capabilities_of_a_programs_file(engine, runtime, options):
    host = {"Runtime": runtime, "SecurityOpt": options}
    command = ["/busybox-with", "grep", "-E", "Cap(Prm|Eff)", "/proc/self/status"]
    container = create(engine, Cmd=command, User="1000", host=host)["Id"]
    busybox = Path(shutil.which("busybox") or "").read_bytes()
    put(engine, container, "busybox-with", busybox, NET_BIND_SERVICE)
    assert engine.api.post(f"/containers/{container}/start").status == 204
    assert engine.wait(container) == 0
    text = engine.api.get(f"/containers/{container}/logs?stdout=1").body.decode(errors="replace")
    assert text.count(f"{1 << NET_BIND_SERVICE:016x}") == 2


def test_mounts_in_and_over_proc_are_refused(engine, runtime, tmp_path):
    image = engine.run("ln", "-s", "proc/sys", "/elsewhere")
    engine.wait(image)
    assert engine.api.post(f"/commit?container={image}&repo=withlink").status == 201
    (tmp_path / "file").write_text("own\n")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"Binds": [f"{tmp_path}:/proc/sys"]}, "inside /proc"),
        ({"Binds": [f"{tmp_path}/file:/proc//self/../version"]}, "inside /proc"),
        ({"Binds": [f"{tmp_path}:/proc"]}, "not of type proc"),
        ({"Tmpfs": {"/proc": ""}}, "not of type proc"),
        ({"Tmpfs": {"/proc/scsi": ""}}, "inside /proc"),
        ({"Binds": [f"{tmp_path}:/elsewhere/kernel"]}, "inside /proc"),
        ({"Binds": ["vol:/proc/bus"]}, "inside /proc"),
    ]
    for host, words in cases:
        container = create(engine, host={"Runtime": runtime, **host}, Image="withlink")["Id"]
        answer = engine.api.post(f"/containers/{container}/start")
        assert answer.status == 400, (host, answer.body)
        assert f"cannot be mounted because it is {words}" in answer.message
        assert engine.inspect(container)["State"]["ExitCode"] == 128
        engine.remove(container)
    for bind in (f"{tmp_path}/file:/proc/uptime", "/proc:/proc"):
        host = {"Runtime": runtime, "Binds": [bind]}
        assert engine.output("cat", "/proc/uptime", host=host)
