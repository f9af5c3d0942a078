"""Compiled seccomp filters have the same effect as the runtime's own."""

import base64
import json
import shutil
import uuid
from pathlib import Path
from typing import Any

import pytest
from tests.support.crash import exec_output

from palan.host import cgroups
from palan.host.seccomp_bpf import ANNOTATION, uses_shared_library
from palan.host.spawn import HYBRID_CGROUP2, RuntimeView, run


pytestmark = pytest.mark.root

BY_RUNTIME = {"run.oci.seccomp.palan-test": "any word about filters leaves them to crun"}
CUSTOM = json.dumps(
    {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        "syscalls": [
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
            {
                "names": ["kill"],
                "action": "SCMP_ACT_ERRNO",
                "args": [
                    {"index": 1, "value": 10, "op": "SCMP_CMP_EQ"},
                    {"index": 1, "value": 12, "op": "SCMP_CMP_EQ"},
                ],
            },
        ],
    }
)
HOSTS: dict[str, dict[str, Any]] = {
    "default": {},
    "custom": {"SecurityOpt": [f"seccomp={CUSTOM}"]},
    "administrator": {"CapAdd": ["SYS_ADMIN"]},
    "all": {"CapAdd": ["ALL"]},
    "none": {"CapDrop": ["ALL"]},
    "no-new-privileges": {"SecurityOpt": ["no-new-privileges"]},
    "unconfined": {"SecurityOpt": ["seccomp=unconfined"]},
    "privileged": {"Privileged": True},
}
FILTERED = [name for name in HOSTS if name not in ("unconfined", "privileged")]

# Without the calls that end, stop or fork the caller, or never return.
ALL_CALLS = """
import ctypes
call = ctypes.CDLL(None, use_errno=True).syscall
call.restype = ctypes.c_long
for number in range(470):
    if number in {15, 34, 35, 48, 56, 57, 58, 60, 101, 130, 162, 219, 230, 231, 335, 336, 435}:
        continue
    ctypes.set_errno(0)
    result = call(number, *[ctypes.c_long(-1)] * 6)
    print(number, ctypes.get_errno() if result == -1 else 0)
for number in (101, 435):
    ctypes.set_errno(0)
    print(number, call(number, *[ctypes.c_long(0)] * 6) and ctypes.get_errno())
for family in (1, 2, 16, 17, 38, 40, 44):
    ctypes.set_errno(0)
    print("socket", family, call(41, family, 3, 0) == -1 and ctypes.get_errno() or 0)
for persona in (0, 8, 0x20000, 4, 0x40000, 0xffffffff):
    ctypes.set_errno(0)
    print("persona", persona, call(135, persona) == -1 and ctypes.get_errno() or 0)
"""


@pytest.fixture(autouse=True)
def with_crun(engine):
    crun = shutil.which("crun")
    if engine.api.get("/info").json["DefaultRuntime"] != "crun" or crun is None:
        pytest.skip("crun is not what containers are run by")
    if not uses_shared_library(Path(crun)):
        pytest.skip("crun has a libseccomp of its own")


def started(engine, *command, **host):
    return engine.run(*command, host={"NetworkMode": "none", **host})


def spec_of(engine, container):
    return json.loads((engine.exec_root / "containers" / container / "config.json").read_bytes())


def made_by_crun(spec, directory):
    """Return the program that crun itself makes for a container with the same profile."""
    name = f"palan-test-{uuid.uuid4().hex[:12]}"
    spec["annotations"].pop(ANNOTATION)
    spec["linux"]["cgroupsPath"] = f"/{name}"
    bundle = directory / name
    bundle.mkdir()
    (bundle / "config.json").write_text(json.dumps(spec))
    hybrid = cgroups.detect().layout is cgroups.Layout.HYBRID
    view = RuntimeView(HYBRID_CGROUP2) if hybrid else None
    crun = ["crun", "--root", str(directory / "state")]
    try:
        made = run([*crun, "create", "--bundle", str(bundle), name], view=view, timeout=20)
        assert made.returncode == 0, made.stderr
        return (directory / "state" / name / "seccomp.bpf").read_bytes()
    finally:
        run([*crun, "delete", "--force", name], view=view, timeout=20)
        if view is not None:
            view.close()


@pytest.mark.parametrize("kind", FILTERED)
def test_it_is_the_runtimes_own_program(engine, tmp_path, kind):
    container = started(engine, "sleep", "1000", **HOSTS[kind])
    spec = spec_of(engine, container)
    assert spec["linux"]["seccomp"], "for a runtime that does not know the annotation"
    ours = base64.b64decode(spec["annotations"][ANNOTATION])
    # The first process waits in the container's mount namespace; another container's serves too.
    theirs = made_by_crun(spec, tmp_path)
    assert ours.endswith(theirs)
    assert len(ours) - len(theirs) < 8 * 20, "only what refuses newer calls"
    state = engine.exec_root / "runtime" / "crun" / container / "seccomp.bpf"
    assert state.read_bytes() == ours


@pytest.mark.parametrize("kind", HOSTS)
def test_container_and_exec_have_it(engine, kind):
    container = started(engine, "sh", "-c", "grep Seccomp: /proc/self/status; exec sleep 1000",
                        **HOSTS[kind])  # fmt: skip
    mode = "2" if kind in FILTERED else "0"
    assert (
        exec_output(engine, container, "grep", "Seccomp:", "/proc/self/status").split()[1] == mode
    )
    assert exec_output(engine, container, "grep", "Seccomp:", "/proc/1/status").split()[1] == mode
    has_annotation = ANNOTATION in spec_of(engine, container).get("annotations", {})
    assert has_annotation == (kind in FILTERED)


def test_the_effect_of_the_filter(engine):
    def refused(*command, **host):
        return engine.output(*command, host={"NetworkMode": "none", **host})

    unshare = ("unshare", "-m", "true")
    assert "Operation not permitted" in refused(*unshare)
    assert refused(*unshare, **HOSTS["administrator"]) == ""
    assert "Function not implemented" in refused("mkdir", "/x", **HOSTS["custom"])
    kill = ("sh", "-c", "for n in 10 12 0; do kill -$n $$ && echo $n; done")
    assert refused(*kill, **HOSTS["custom"]).split()[-1] == "0"


@pytest.mark.parametrize("kind", ["default", "administrator"])
def test_every_call_ends_as_with_the_runtimes_own(engine, kind):
    if not Path("/usr/bin/python3").exists():
        pytest.skip("there is no Python on the host to try calls with")

    def results(annotations):
        host = {"NetworkMode": "none", "Binds": ["/:/host:ro"], "Annotations": annotations}
        command = ("chroot", "/host", "/usr/bin/python3", "-c", ALL_CALLS)
        return engine.output(*command, host={**host, **HOSTS[kind]}).splitlines()

    compiled, interpreted = results({}), results(BY_RUNTIME)
    assert len(compiled) > 400, compiled[-5:]
    # Calls that libseccomp does not know yet are missing, and not forbidden.
    newest = max(n for n in range(470) if f"{n} 38" not in compiled)
    newer = {str(number) for number in range(newest + 1, 470)}
    assert newest > 435
    assert [line for line in compiled if line.split()[0] not in newer] == [
        line for line in interpreted if line.split()[0] not in newer
    ]
    errors = dict(line.rsplit(" ", 1) for line in compiled)
    assert errors["435"] == ("38" if kind == "default" else "22"), "clone3"
    assert errors["250"] == "1", "keyctl"
    assert errors["socket 38"] == "1", "AF_ALG"
    assert errors["persona 0"] == "0"
    assert errors["persona 4"] == "1"


def test_annotations_of_users(engine):
    body = {
        "Image": "busybox:latest",
        "Cmd": ["true"],
        "HostConfig": {"Annotations": {ANNOTATION: "AAAA"}},
    }
    answer = engine.api.post("/containers/create", body)
    assert answer.status == 400
    assert ANNOTATION in answer.message
    container = started(engine, "sleep", "1000", Annotations=BY_RUNTIME)
    assert spec_of(engine, container)["annotations"] == BY_RUNTIME
    assert engine.inspect(container)["HostConfig"]["Annotations"] == BY_RUNTIME
    container = started(engine, "sleep", "1000", Annotations={"com.example": "x"})
    assert set(spec_of(engine, container)["annotations"]) == {"com.example", ANNOTATION}


def test_an_engine_with_an_empty_store(own_engine):
    own_engine.run("sleep", "1000", host={"NetworkMode": "none"})
    (kept,) = (own_engine.data_root / "seccomp").iterdir()
    kept.write_bytes(b"\0" * 100)
    own_engine.kill()
    own_engine.start()
    container = own_engine.run("sleep", "1000", host={"NetworkMode": "none"})
    assert ANNOTATION in spec_of(own_engine, container)["annotations"]
    assert (
        exec_output(own_engine, container, "grep", "Seccomp:", "/proc/1/status").split()[1] == "2"
    )
