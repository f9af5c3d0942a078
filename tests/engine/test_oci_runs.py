"""Runtime specs run by real runtimes: containers see what the spec asks for."""

import json
import os
import platform
import resource
import shutil
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest

from palan.api.containers import ContainerConfig, HostConfig, Ulimit
from palan.engine.oci import (
    DeviceNode,
    Host,
    Namespaces,
    ProcessLimits,
    SpecInput,
    User,
    bind_mount,
    runtime_spec,
    tmpfs_mount,
)
from palan.engine.oci.capabilities import DEFAULT, KNOWN, from_mask
from palan.engine.oci.rlimits import NAMES
from palan.host import cgroups
from palan.host.facts import go_architecture
from palan.host.spawn import HYBRID_CGROUP2, RuntimeView
from palan.host.spawn import run as run_program


pytestmark = pytest.mark.root

APPLETS = ("sh", "cat", "env", "grep", "hostname", "ls", "mkdir", "stat", "touch", "unshare", "wc")
GROUP = f"palan-test-oci-{os.getpid()}"


def this_host():
    status = Path("/proc/self/status").read_text()
    mask = next(line.split()[1] for line in status.splitlines() if line.startswith("CapBnd"))
    bounding = from_mask(int(mask, 16))
    hard = {
        name: resource.getrlimit(getattr(resource, f"RLIMIT_{name.upper()}"))[1]
        for name in NAMES
        if hasattr(resource, f"RLIMIT_{name.upper()}")
    }
    return Host(
        bounding=bounding,
        architecture=go_architecture(platform.machine())[0],
        kernel=(6, 0),
        cgroup=cgroups.detect().layout.value,
        limits=ProcessLimits(
            hard={name: value for name, value in hard.items() if value >= 0},
            may_raise="CAP_SYS_RESOURCE" in bounding,
            oom_score_floor=int(Path("/proc/self/oom_score_adj").read_text()),
        ),
    )


@dataclass
class Result:
    returncode: int
    stdout: str
    stderr: str


@dataclass
class Runner:
    """Runs shell commands in containers made from runtime specs."""

    runtime: str
    view: RuntimeView | None
    directory: Path
    rootfs: Path

    def __call__(self, script, config=None, host_config=None, **changes):
        given = SpecInput(
            **{
                "config": config or ContainerConfig(),
                "host_config": host_config or HostConfig(shm_size=1 << 20, network_mode="none"),
                "id": "0" * 64,
                "hostname": "box",
                "rootfs": str(self.rootfs),
                "args": ["sh", "-c", script],
                "host": this_host(),
                "cgroups_path": f"/{GROUP}/{uuid.uuid4().hex}",
                **changes,
            }
        )
        return self.run(runtime_spec(given))

    def run(self, spec):
        bundle = self.directory / uuid.uuid4().hex
        bundle.mkdir()
        (bundle / "config.json").write_text(json.dumps(spec))
        argv = [
            self.runtime,
            *("--root", str(self.directory / "state"), "run"),
            *("--bundle", str(bundle), f"palan-test-{bundle.name[:12]}"),
        ]
        done = run_program(argv, view=self.view, timeout=30)
        return Result(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture(scope="module")
def rootfs(tmp_path_factory):
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("busybox is not installed")
    root = tmp_path_factory.mktemp("rootfs")
    for name in ("bin", "sbin", "proc", "sys", "dev", "etc", "tmp", "data"):
        (root / name).mkdir()
    shutil.copy(busybox, root / "bin" / "busybox")
    for name in APPLETS:
        (root / "bin" / name).symlink_to("busybox")
    root.chmod(0o755)
    yield root
    assert cgroups.remove(cgroups.detect().directories(f"/{GROUP}")) == []


@pytest.fixture(scope="module", params=["runc", "crun"])
def run(request, rootfs, tmp_path_factory):
    runtime = shutil.which(request.param)
    if runtime is None:
        pytest.skip(f"{request.param} is not installed")
    # crun needs one generation of cgroups, so on hybrid machines the other one is hidden.
    hybrid = this_host().cgroup == "hybrid"
    view = RuntimeView(HYBRID_CGROUP2) if hybrid and request.param == "crun" else None
    runner = Runner(runtime, view, tmp_path_factory.mktemp("oci"), rootfs)
    tried = runner("true")
    if request.param == "crun" and tried.returncode:
        pytest.skip(f"crun does not work here: {tried.stderr.strip()}")
    assert tried.returncode == 0, tried.stderr
    yield runner
    if view is not None:
        view.close()


def output(completed):
    assert completed.returncode == 0, completed.stderr
    return completed.stdout


def status(completed):
    return dict(line.split(":\t", 1) for line in output(completed).splitlines() if ":\t" in line)


def capabilities(fields, which):
    return from_mask(int(fields[which], 16))


def test_a_plain_container(run):
    fields = status(run("cat /proc/self/status"))
    expected = frozenset(DEFAULT) & this_host().bounding
    for which in ("CapBnd", "CapEff", "CapPrm"):
        assert capabilities(fields, which) == expected
    assert not capabilities(fields, "CapInh") | capabilities(fields, "CapAmb")
    assert fields["Seccomp"] == "2"
    assert fields["NoNewPrivs"] == "0"
    assert output(run("hostname")).strip() == "box"
    assert output(run("echo $$")).strip() == "1"


def test_a_user(run):
    fields = status(run("cat /proc/self/status", user=User(1000, 1001, (1001, 44))))
    assert fields["Uid"].split()[0] == "1000"
    assert fields["Gid"].split()[0] == "1001"
    assert set(fields["Groups"].split()) == {"1001", "44"}
    assert not capabilities(fields, "CapEff") | capabilities(fields, "CapPrm")
    assert capabilities(fields, "CapBnd") == frozenset(DEFAULT) & this_host().bounding


def test_adding_and_dropping_capabilities(run):
    host_config = HostConfig(
        cap_add=["NET_ADMIN"],
        cap_drop=["MKNOD"],
        security_opt=["no-new-privileges"],
        shm_size=1 << 20,
    )
    fields = status(run("cat /proc/self/status", host_config=host_config))
    assert "CAP_NET_ADMIN" in capabilities(fields, "CapEff")
    assert "CAP_MKNOD" not in capabilities(fields, "CapBnd")
    assert fields["NoNewPrivs"] == "1"


def test_a_privileged_container(run):
    kvm = DeviceNode("/dev/palan-null", "c", 1, 3)
    completed = run(
        "cat /proc/self/status; touch /sys/fs/cgroup/x; cat /dev/palan-null; echo fine",
        host_config=HostConfig(privileged=True, shm_size=1 << 20),
        host_devices=[kvm],
    )
    fields = status(completed)
    assert capabilities(fields, "CapEff") == this_host().bounding & frozenset(KNOWN)
    assert fields["Seccomp"] == "0"
    assert "fine" in completed.stdout
    assert "ro," not in output(
        run(
            "grep ' /sys ' /proc/mounts",
            host_config=HostConfig(privileged=True, shm_size=1 << 20),
        )
    )


def test_the_filter_filters(run):
    completed = run("unshare -m true")
    assert completed.returncode != 0
    assert "Operation not permitted" in completed.stderr
    unconfined = HostConfig(
        cap_add=["SYS_ADMIN"], security_opt=["seccomp=unconfined"], shm_size=1 << 20
    )
    assert run("unshare -m true", host_config=unconfined).returncode == 0
    own = json.dumps(
        {
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [
                {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38}
            ],
        }
    )
    custom = HostConfig(security_opt=[f"seccomp={own}"], shm_size=1 << 20)
    assert "not implemented" in run("mkdir /tmp/x", host_config=custom).stderr


def test_masked_and_read_only_paths(run):
    assert output(run("wc -c < /proc/timer_list; ls /sys/firmware | wc -l")).split() == ["0", "0"]
    refused = run("echo 1 > /proc/sys/kernel/panic")
    assert "Read-only file system" in refused.stderr
    assert "Read-only file system" in run("mkdir /sys/x").stderr


def test_a_read_only_root(run):
    host_config = HostConfig(readonly_rootfs=True, shm_size=1 << 20)
    completed = run(
        "touch /dev/shm/x /scratch/y && touch /data/z",
        host_config=host_config,
        mounts=[tmpfs_mount("/scratch", "size=64k")],
    )
    assert completed.returncode != 0
    assert "/data/z: Read-only file system" in completed.stderr


def test_limits_of_processes(run):
    host_config = HostConfig(
        ulimits=[
            Ulimit(name="nofile", soft=100, hard=200),
            Ulimit(name="core", soft=0, hard=0),
            Ulimit(name="memlock", soft=-1, hard=-1),
        ],
        oom_score_adj=300,
        shm_size=1 << 20,
    )
    text = output(
        run("ulimit -Sn; ulimit -Hn; ulimit -c; cat /proc/self/oom_score_adj", None, host_config)
    )
    assert text.split() == ["100", "200", "0", "300"]
    low = HostConfig(oom_score_adj=-900, shm_size=1 << 20)
    assert run("true", host_config=low).returncode == 0, "clamped, not failed"


def test_limits_of_the_container(run):
    host_config = HostConfig(
        memory=64 << 20, memory_swap=-1, pids_limit=20, nano_cpus=500_000_000, shm_size=1 << 20
    )
    completed = run(
        "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max"
        " /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; true",
        host_config=host_config,
    )
    assert output(completed).split() == [str(64 << 20), "20"]


def test_mounts(run, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_text("from the host\n")
    mounts = [
        bind_mount(str(source), "/data/in", propagation="rprivate"),
        bind_mount(str(source), "/data/ro", read_only=True, propagation="rslave"),
        bind_mount(str(source), "/data/rro", read_only=True, recursive_read_only=True),
        tmpfs_mount("/shared", "size=64k,mode=1770,exec"),
    ]
    completed = run(
        "cat /data/in/file; touch /data/in/new; touch /data/ro/x; touch /data/rro/x;"
        " stat -c %a /shared; grep -E ' /(shared|dev/shm) ' /proc/mounts",
        mounts=mounts,
    )
    assert (source / "new").exists()
    assert "/data/ro/x: Read-only file system" in completed.stderr
    assert "/data/rro/x: Read-only file system" in completed.stderr
    lines = output(completed).splitlines()
    assert lines[:2] == ["from the host", "1770"]
    shm = next(line for line in lines if "/dev/shm" in line)
    assert "size=1024k" in shm
    shared = next(line for line in lines if " /shared " in line)
    assert "size=64k" in shared
    assert "noexec" not in shared


def test_ipc_modes(run):
    assert run("ls -d /dev/shm", host_config=HostConfig(ipc_mode="none")).returncode != 0
    shared = run(
        "ls -d /dev/shm",
        host_config=HostConfig(ipc_mode="host"),
        namespaces=Namespaces(ipc=None),
    )
    assert shared.returncode == 0


def test_environment_directory_and_names(run):
    config = ContainerConfig(env=["A=1", "EMPTY="], working_dir="/data", domainname="example.test")
    lines = output(
        run("env; pwd; cat /proc/sys/kernel/domainname", config, home="/root")
    ).splitlines()
    for expected in ("A=1", "EMPTY=", "HOSTNAME=box", "HOME=/root", "/data", "example.test"):
        assert expected in lines


def test_devices(run):
    zero = DeviceNode("/dev/mine", "c", 1, 5, mode=0o640)
    completed = run("stat -c '%a %t %T' /dev/mine; wc -c < /dev/null", devices=[zero])
    assert output(completed).split() == ["640", "1", "5", "0"]


def test_the_init_program(run, tmp_path):
    init = tmp_path / "init"
    init.write_text('#!/bin/sh\necho "$@"\n')
    init.chmod(0o755)
    completed = run("true", init_path=str(init))
    assert output(completed).strip() == "-- sh -c true"


def test_the_hosts_namespaces(run):
    spaces = Namespaces(network=None, pid=None, ipc=None, uts=None, cgroup=None)
    host_config = HostConfig(network_mode="host", pid_mode="host", ipc_mode="host")
    completed = run("hostname; echo $$", host_config=host_config, namespaces=spaces)
    name, pid = output(completed).split()
    assert name == os.uname().nodename
    assert int(pid) > 1


def test_sysctls(run):
    host_config = HostConfig(sysctls={"kernel.msgmax": "9000"}, shm_size=1 << 20)
    completed = run(
        "cat /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_unprivileged_port_start",
        host_config=host_config,
    )
    assert output(completed).split() == ["9000", "0"]
