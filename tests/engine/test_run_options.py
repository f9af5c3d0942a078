"""Options of ``docker run``: their effects on the container."""

import contextlib
import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.engine import IMAGE, TestEngine

from palan.host import cgroups, mounts


pytestmark = pytest.mark.root

V1 = cgroups.detect().layout is not cgroups.Layout.V2
CGROUPS = Path("/sys/fs/cgroup")
SECTION = "== "


@dataclass
class Docker:
    """The docker command line with a test's engine."""

    engine: TestEngine
    runtime: str = ""

    def __call__(self, *arguments, fails=False):
        done = subprocess.run(
            ["docker", *map(str, arguments)],
            env={**os.environ, "DOCKER_HOST": self.engine.url}, stdin=subprocess.DEVNULL,
            check=False, capture_output=True, text=True, timeout=30,
        )  # fmt: skip
        assert bool(done.returncode) == fails, (arguments, done.stdout, done.stderr)
        return done.stderr.strip() if fails else done.stdout

    def run(self, *options, script, image=IMAGE):
        """Run a script, and return its output by the argument of the ``say`` before it."""
        runtime = ["--runtime", self.runtime] if self.runtime else []
        say = f'say() {{ echo "{SECTION}$1"; }}\n'
        text = self("run", "--rm", *runtime, *options, image, "sh", "-c", say + script)
        parts = text.split(SECTION)[1:]
        return {part.partition("\n")[0]: part.partition("\n")[2].strip() for part in parts}

    def start(self, *options):
        """Run a container in the background, and return its full id."""
        runtime = ["--runtime", self.runtime] if self.runtime else []
        return self("run", "-d", *runtime, *options, IMAGE, "sleep", "1000").strip()

    def exec(self, container, script):
        return self("exec", container, "sh", "-c", script).strip()

    def pid(self, container):
        return self.engine.inspect(container)["State"]["Pid"]


@pytest.fixture
def docker(engine):
    return Docker(engine)


@pytest.fixture(params=["crun", "runc"])
def on(engine, request):
    """Return the command line, for each runtime."""
    if request.param not in engine.api.get("/info").json["Runtimes"]:
        pytest.skip(f"{request.param} does not work here")
    return Docker(engine, request.param)


def of(text):
    """Parse ``NAME: value`` lines."""
    return {line.split(":", 1)[0]: line.split(":", 1)[1].strip() for line in text.splitlines()}


def link(path):
    return str(Path(path).readlink())


def bits(mask):
    return {number for number in range(64) if int(mask, 16) >> number & 1}


# ---- the process ------------------------------------------------------------------

CAP_CHOWN, CAP_NET_ADMIN, CAP_NET_RAW = 0, 12, 13


def test_the_identity_of_the_process(on, tmp_path):
    env_file = tmp_path / "env"
    env_file.write_text("# a comment\nFROM_FILE=yes\nHERE\n")
    got = on.run(
        *("--user", "app", "--group-add", "extra", "--group-add", "4321"),
        *("-w", "/made/for/it", "-e", "A=1", "-e", "EMPTY=", "--env-file", env_file),
        *("--ulimit", "nofile=100:200", "--ulimit", "core=0", "--oom-score-adj", "321"),
        *("--cap-add", "NET_ADMIN", "--cap-drop", "NET_RAW", "--security-opt=no-new-privileges"),
        *("--hostname", "box", "--domainname", "example.test", "--init"),
        script="""
            say id; id -u; id -g; id -G
            say pwd; pwd
            say env; env
            say limits; ulimit -n; ulimit -Hn; ulimit -c; cat /proc/self/oom_score_adj
            say status; grep -E '^(Cap|NoNewPrivs)' /proc/self/status
            say names; hostname; cat /proc/sys/kernel/domainname; cat /etc/hostname
            say init; tr '\\0' ' ' < /proc/1/cmdline
        """,
    )
    assert got["id"].split() == ["1000", "1000", "1000", "2000", "4321"]
    assert got["pwd"] == "/made/for/it"
    env = set(got["env"].splitlines())
    assert {"A=1", "EMPTY=", "FROM_FILE=yes", "HOME=/home", "HOSTNAME=box"} <= env
    assert not any(line.startswith("HERE") for line in env)
    assert got["limits"].split() == ["100", "200", "0", "321"]
    status = of(got["status"])
    assert bits(status["CapEff"]) == set()
    assert {CAP_CHOWN, CAP_NET_ADMIN} <= bits(status["CapBnd"])
    assert CAP_NET_RAW not in bits(status["CapBnd"])
    assert status["NoNewPrivs"] == "1"
    assert got["names"].split() == ["box", "example.test", "box"]
    assert got["init"].startswith("/sbin/docker-init -- sh -c")


@pytest.mark.parametrize(
    ("user", "ids"),
    [
        ("1234", "1234 0 0"),
        ("1234:5678", "1234 5678 5678"),
        ("app:extra", "1000 2000 2000"),
        ("app", "1000 1000 1000 2000"),
        ("", "0 0 0"),
    ],
)
def test_users(docker, user, ids):
    got = docker.run("--user", user, script="say id; echo $(id -u) $(id -g) $(id -G)")
    assert got["id"] == ids


def test_a_user_that_is_not_there(docker):
    message = docker("run", "--user", "nobody-here", IMAGE, "true", fails=True)
    assert "unable to find user nobody-here: no matching entries in passwd file" in message


def test_entrypoint_and_command(docker):
    assert docker("run", "--rm", "--entrypoint", "echo", IMAGE, "a", "b") == "a b\n"
    assert docker("run", "--rm", "--entrypoint", "", IMAGE, "echo", "c") == "c\n"


def test_a_working_directory_that_is_a_file(docker):
    message = docker("run", "-w", "/etc/passwd", IMAGE, "true", fails=True)
    assert "passwd" in message
    assert "not a directory" in message.lower()


def test_capabilities_all_and_none(on):
    script = "say status; grep ^Cap /proc/self/status"
    everything = of(on.run("--cap-add", "ALL", script=script)["status"])
    own = of(Path("/proc/self/status").read_text())
    assert bits(everything["CapEff"]) == bits(own["CapBnd"])
    nothing = of(on.run("--cap-drop", "ALL", "--cap-add", "CHOWN", script=script)["status"])
    assert bits(nothing["CapEff"]) == bits(nothing["CapBnd"]) == {CAP_CHOWN}
    assert bits(nothing["CapInh"]) == bits(nothing["CapAmb"]) == set()


# ---- names and addresses ----------------------------------------------------------


def test_hosts_and_resolvers(docker):
    got = docker.run(
        *("--hostname", "box", "--domainname", "example.test"),
        *("--add-host", "one:10.1.2.3", "--add-host", "six:[2001:db8::1]"),
        *("--add-host", "gate:host-gateway"),
        *("--dns", "10.9.8.7", "--dns-search", "a.test", "--dns-search", "b.test"),
        *("--dns-option", "ndots:3"),
        script="""
            say hosts; cat /etc/hosts
            say resolv; cat /etc/resolv.conf
            say address; ip -4 -o addr show eth0
            say route; ip route show default
        """,
    )
    hosts = [line.split() for line in got["hosts"].splitlines()]
    address = got["address"].split()[3].partition("/")[0]
    gateway = got["route"].split()[2]
    for line in (
        ["127.0.0.1", "localhost"],
        ["10.1.2.3", "one"],
        ["2001:db8::1", "six"],
        [gateway, "gate"],
        [address, "box.example.test", "box"],
    ):
        assert line in hosts
    lines = got["resolv"].splitlines()
    assert "nameserver 10.9.8.7" in lines
    assert "search a.test b.test" in lines
    assert "options ndots:3" in lines


def test_host_network_has_the_hosts_files(docker):
    got = docker.run("--network", "host", script="""
        say hostname; hostname
        say hosts; cat /etc/hosts
        say net; readlink /proc/self/ns/net
    """)  # fmt: skip
    assert got["hostname"] == os.uname().nodename
    assert got["hosts"] == Path("/etc/hosts").read_text().strip()
    assert got["net"] == link("/proc/self/ns/net")


def test_no_network(docker, engine):
    script = "say links; ls /sys/class/net; say lo; ip addr show lo; say hosts; cat /etc/hosts"
    got = docker.run("--network", "none", "--add-host", "gate:host-gateway", script=script)
    assert got["links"] == "lo"
    (bridge,) = engine.api.get("/networks/bridge").json["IPAM"]["Config"]
    assert f"{bridge['Gateway']}\tgate" in got["hosts"]
    assert "LOOPBACK,UP" in got["lo"]
    container = engine.run("sh", "-c", "ls /sys/class/net", NetworkDisabled=True)
    engine.wait(container)
    assert docker("logs", container) == "lo\n"
    networks = engine.inspect(container)["NetworkSettings"]["Networks"]
    assert not any(settings["IPAddress"] for settings in networks.values())


# ---- limits -----------------------------------------------------------------------


def test_limits(on, engine):
    if not V1:
        pytest.skip("the files are those of cgroup v1")
    disk = next(
        (f"/dev/{entry.name}" for entry in Path("/sys/block").iterdir()
         if Path("/dev", entry.name).is_block_device()), "",
    )  # fmt: skip
    container = on.start(
        *("--memory", "64m", "--memory-swap", "128m", "--memory-reservation", "32m"),
        *("--memory-swappiness", "30", "--oom-kill-disable", "--pids-limit", "55"),
        *("--cpus", "0.5", "--cpuset-cpus", "0", "--cpuset-mems", "0", "--cpu-shares", "512"),
        *(
            ("--device-read-bps", f"{disk}:1mb", "--device-write-iops", f"{disk}:77")
            if disk
            else ()
        ),
        "--network=none",
    )

    def value(controller, name):
        directory = CGROUPS / controller / engine.config.cgroup_root.strip("/") / container
        return (directory / name).read_text().split()

    assert value("memory", "memory.limit_in_bytes") == [str(64 << 20)]
    assert value("memory", "memory.memsw.limit_in_bytes") == [str(128 << 20)]
    assert value("memory", "memory.soft_limit_in_bytes") == [str(32 << 20)]
    assert value("memory", "memory.swappiness") == ["30"]
    assert value("memory", "memory.oom_control")[:2] == ["oom_kill_disable", "1"]
    assert value("pids", "pids.max") == ["55"]
    assert value("cpu", "cpu.cfs_quota_us") == ["50000"]
    assert value("cpu", "cpu.cfs_period_us") == ["100000"]
    assert value("cpu", "cpu.shares") == ["512"]
    assert value("cpuset", "cpuset.cpus") == ["0"]
    assert value("cpuset", "cpuset.mems") == ["0"]
    if disk:
        number = os.stat(disk).st_rdev  # noqa: PTH116 - next to its use
        numbers = f"{os.major(number)}:{os.minor(number)}"
        assert value("blkio", "blkio.throttle.read_bps_device") == [numbers, str(1 << 20)]
        assert value("blkio", "blkio.throttle.write_iops_device") == [numbers, "77"]
    assert on.exec(container, "nproc") == "1"
    assert str(on.pid(container)) in value("memory", "cgroup.procs")


def test_weights_of_block_io(on, engine):
    container = on.start("--blkio-weight", "300", "--network=none")
    files = list(CGROUPS.glob(f"blkio{engine.config.cgroup_root}/{container}/blkio.weight"))
    assert engine.inspect(container)["HostConfig"]["BlkioWeight"] == (300 if files else 0)
    if files:
        assert "300" in files[0].read_text().split()


def test_limits_on_what_is_no_block_device(docker):
    message = docker("run", "--device-read-bps", "/dev/none:1mb", IMAGE, "true", fails=True)
    assert "stat /dev/none: no such file or directory" in message
    message = docker("run", "--device-read-bps", "/dev/null:1mb", IMAGE, "true", fails=True)
    assert "/dev/null is not a block device" in message


def test_a_parent_for_the_cgroup(docker, engine):
    parent = f"{engine.config.cgroup_root.strip('/')}/mine"
    container = docker.start("--cgroup-parent", f"/{parent}", "--network=none")
    found = (
        line.split(":", 2)[2]
        for line in Path(f"/proc/{docker.pid(container)}/cgroup").read_text().splitlines()
    )
    assert f"/{parent}/{container}" in found


def test_sysctls(on):
    got = on.run(
        *("--sysctl", "net.ipv4.ip_local_port_range=20000 30000"),
        *("--sysctl", "kernel.msgmax=9000", "--sysctl", "net.core.somaxconn=77"),
        script="""
            say own; cat /proc/sys/net/ipv4/ip_local_port_range
            cat /proc/sys/kernel/msgmax /proc/sys/net/core/somaxconn
            say default; cat /proc/sys/net/ipv4/ip_unprivileged_port_start
        """,
    )
    assert got["own"].split() == ["20000", "30000", "9000", "77"]
    assert got["default"] == "0"


# ---- mounts -----------------------------------------------------------------------


@pytest.fixture
def tree(tmp_path):
    """Yield a directory of the host with another filesystem mounted in it."""
    top = tmp_path / "tree"
    (top / "below").mkdir(parents=True)
    (top / "file").write_text("from the host\n")
    mounts.mount("tmpfs", top / "below", "tmpfs")
    (top / "below" / "deep").write_text("from below\n")
    yield top
    mounts.unmount(top / "below", lazy=True)


def test_binds(on, tree):
    got = on.run(
        *("-v", f"{tree}:/rw", "-v", f"{tree}:/ro:ro", "-v", f"{tree}/file:/file:ro"),
        *("-v", f"{tree}/made:/made"),
        *("--mount", f"type=bind,src={tree},dst=/rro,readonly"),
        *("--mount", f"type=bind,src={tree},dst=/ro-once,readonly,bind-recursive=writable"),
        *("--mount", f"type=bind,src={tree},dst=/alone,bind-recursive=disabled"),
        script="""
            say read; cat /rw/file /ro/file /file /rro/below/deep
            say alone; ls /alone/below
            say rw; touch /rw/new /rw/below/new /made/new && echo yes
            for m in ro rro ro-once; do
                say $m
                touch /$m/x 2>/dev/null || echo top
                touch /$m/below/x 2>/dev/null || echo below
            done
            say file; echo >> /file || echo no
        """,
    )
    assert got["read"].split("\n") == ["from the host"] * 3 + ["from below"]
    assert got["alone"] == ""
    assert got["rw"] == "yes"
    assert (tree / "new").exists()
    assert (tree / "below" / "new").exists()
    assert (tree / "made" / "new").exists()
    assert got["ro"].split() == got["rro"].split() == ["top", "below"]
    assert got["ro-once"].split() == ["top"]
    assert got["file"] == "no"


def test_a_bind_of_what_is_not_there(docker, tmp_path):
    mount = f"type=bind,src={tmp_path}/none,dst=/x"
    message = docker("run", "--mount", mount, IMAGE, "true", fails=True)
    assert "bind source path does not exist" in message


@contextlib.contextmanager
def shared(directory):
    """Yield a shared mount: mounts that are made below it later propagate to others."""
    directory.mkdir()
    mounts.mount("tmpfs", directory, "tmpfs")
    mounts.make_shared(directory)
    try:
        (directory / "later").mkdir()
        yield directory
    finally:
        mounts.unmount_below(directory)


@pytest.mark.parametrize(("propagation", "seen"), [("rslave", True), ("rprivate", False)])
def test_propagation(on, tmp_path, propagation, seen):
    with shared(tmp_path / "shared") as directory:
        container = on.start("-v", f"{directory}:/shared:{propagation}", "--network=none")
        mounts.mount("tmpfs", directory / "later", "tmpfs")
        (directory / "later" / "file").touch()
        assert (on.exec(container, "ls /shared/later") == "file") == seen
        on("rm", "-f", container)


def test_propagation_to_the_host(on, tmp_path):
    with shared(tmp_path / "shared") as directory:
        container = on.start("-v", f"{directory}:/shared:rshared", "--cap-add=SYS_ADMIN",
                             "--network=none")  # fmt: skip
        on.exec(container, "mount -t tmpfs tmpfs /shared/later && touch /shared/later/inside")
        assert (directory / "later" / "inside").exists()
        on("rm", "-f", container)


def test_tmpfs_and_shared_memory(on):
    got = on.run(
        *("--shm-size", "2m", "--tmpfs", "/short", "--tmpfs", "/long:size=1m,mode=750,exec"),
        *("--mount", "type=tmpfs,dst=/mount,tmpfs-size=3m,tmpfs-mode=1770"),
        script="""
            for d in /dev/shm /short /long /mount; do
                say $d; stat -c %a $d; grep " $d " /proc/mounts | cut -d' ' -f3,4
            done
        """,
    )

    def check(path, mode, *options):
        found, rest = got[path].split("\n")
        kind, text = rest.split()
        assert (kind, found) == ("tmpfs", mode)
        assert set(options) <= set(text.split(",")), text
        return text.split(",")

    check("/dev/shm", "1777", "size=2048k", "nosuid", "nodev", "noexec")
    check("/short", "1777", "rw", "nosuid", "nodev", "noexec")
    assert "noexec" not in check("/long", "750", "size=1024k", "nosuid", "nodev")
    check("/mount", "1770", "size=3072k", "nosuid", "nodev", "noexec")


def test_a_read_only_root(on):
    got = on.run(
        *("--read-only", "--tmpfs", "/scratch", "-v", "/data"),
        script="""
            say root; touch /x 2>&1
            say files; for f in /etc/hosts /etc/hostname /etc/resolv.conf; do
                echo >> $f || echo no; done 2>/dev/null
            say others; touch /scratch/x /data/x /dev/shm/x && echo yes
        """,
    )
    assert "Read-only file system" in got["root"]
    assert got["files"].split() == ["no"] * 3
    assert got["others"] == "yes"


def test_volumes(docker, engine):
    docker("volume", "create", "filled")
    script = "say home; ls /home; say etc; ls /etc; say nocopy; ls /nocopy"
    got = docker.run(
        *(
            "-v",
            "filled:/etc",
            "-v",
            "/home",
            "--mount",
            "type=volume,src=bare,dst=/nocopy,volume-nocopy",
        ),
        script=script + "; touch /etc/kept",
    )
    assert {"passwd", "group"} <= set(got["etc"].split())
    # The second time, the volume is not empty, so nothing is copied.
    got = docker.run(
        "-v", "filled:/bin/../mine:ro", script="say mine; ls /mine; touch /mine/x || echo no"
    )
    assert {"passwd", "kept", "no"} <= set(got["mine"].split())
    volumes = {v["Name"] for v in engine.api.get("/volumes").json["Volumes"]}
    assert volumes == {"filled", "bare"}, "the anonymous one went with its container"
    donor = docker.start("-v", "filled:/donated", "-v", "/own")
    docker.exec(donor, "touch /own/mark")
    got = docker.run("--volumes-from", f"{donor}:ro",
                     script="say own; ls /own /donated; touch /own/x || echo no")  # fmt: skip
    assert {"mark", "passwd", "no"} <= set(got["own"].split())
    docker("rm", "-f", "-v", donor)
    docker("volume", "rm", "filled", "bare")


# ---- devices ----------------------------------------------------------------------


def test_devices(on):
    got = on.run(
        *("--device", "/dev/null:/dev/xnull", "--device", "/dev/net/tun:/dev/dir/tun:r"),
        *("--device-cgroup-rule", "c 1:4 r", "--device-cgroup-rule", "c *:229 rw"),
        script="""
            say null; echo x > /dev/xnull && stat -c '%t %T' /dev/xnull
            say tun; head -c 0 /dev/dir/tun && echo yes; echo x > /dev/dir/tun || echo no
            say rule; mknod /tmp/fuse c 10 229; head -c 0 /tmp/fuse && echo yes
            say none; mknod /tmp/disk b 254 0; head -c 0 /tmp/disk 2>&1 || echo no
            say standard; for n in null zero full random urandom tty; do
                head -c 1 /dev/$n > /tmp/x 2>&1 || test $n = tty || echo $n; done
        """,
    )
    assert got["null"] == "1 3"
    assert got["tun"].split() == ["yes", "no"]
    assert got["rule"] == "yes"
    assert got["none"].split()[-1] == "no"
    assert "Operation not permitted" in got["none"]
    assert got["standard"] == ""


def test_a_directory_of_devices(docker, tmp_path):
    for number, name in ((3, "null"), (5, "zero")):
        path = tmp_path / "dev" / name
        path.parent.mkdir(exist_ok=True)
        os.mknod(path, 0o666 | 0o020000, os.makedev(1, number))
    (tmp_path / "dev" / "file").touch()
    (tmp_path / "bare").mkdir()
    got = docker.run("--device", f"{tmp_path}/dev:/dev/mine", script="say mine; ls /dev/mine")
    assert got["mine"].split() == ["null", "zero"]
    for path, why in (
        (f"{tmp_path}/bare", "no devices in directory"),
        ("/dev/none", "no such file or directory"),
        ("/etc/passwd", "not a device node"),
    ):
        message = docker("run", "--device", path, IMAGE, "true", fails=True)
        assert f'adding custom device "{path}": {why}' in message


# ---- namespaces -------------------------------------------------------------------


def test_namespaces_of_another_container(on):
    donor = on.start("--ipc", "shareable", "--hostname", "donor", "--add-host", "x:10.0.0.1")
    on.exec(donor, "echo shared > /dev/shm/file")
    got = on.run(
        *("--network", f"container:{donor}", "--pid", f"container:{donor}"),
        *("--ipc", f"container:{donor}"),
        script="""
            for n in net pid ipc uts mnt; do say $n; readlink /proc/self/ns/$n; done
            say file; cat /dev/shm/file
            say hostname; hostname; cat /etc/hostname
            say hosts; cat /etc/hosts
            say ps; tr '\\0' ' ' < /proc/1/cmdline
        """,
    )
    for kind, same in (("net", 1), ("pid", 1), ("ipc", 1), ("uts", 0), ("mnt", 0)):
        assert (got[kind] == link(f"/proc/{on.pid(donor)}/ns/{kind}")) == bool(same), kind
    assert got["file"] == "shared"
    assert got["hostname"].split() == ["donor", "donor"]
    assert ["10.0.0.1", "x"] in [line.split() for line in got["hosts"].splitlines()]
    assert got["ps"] == "sleep 1000"


def test_namespaces_of_the_host(on):
    got = on.run(
        *("--pid", "host", "--ipc", "host", "--uts", "host", "--cgroupns", "host"),
        script="""
            for n in net pid ipc uts cgroup; do say $n; readlink /proc/self/ns/$n; done
            say shm; stat -c '%d %i' /dev/shm
            say hostname; hostname
        """,
    )
    for kind in ("pid", "ipc", "uts", "cgroup"):
        assert got[kind] == link(f"/proc/self/ns/{kind}"), kind
    assert got["net"] != link("/proc/self/ns/net")
    shm = Path("/dev/shm").stat()
    assert got["shm"] == f"{shm.st_dev} {shm.st_ino}"
    assert got["hostname"] == os.uname().nodename


def test_a_private_cgroup_namespace(on):
    got = on.run("--cgroupns", "private", script="""
        say cgroup; cat /proc/self/cgroup
        say limit; cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null
        say namespace; readlink /proc/self/ns/cgroup
    """)  # fmt: skip
    assert {line.split(":", 2)[2] for line in got["cgroup"].splitlines()} <= {"/", "/../.."}
    assert "/" in {line.split(":", 2)[2] for line in got["cgroup"].splitlines()}
    assert got["limit"] == "max"
    assert got["namespace"] != link("/proc/self/ns/cgroup")


def test_ipc_none_has_no_shared_memory(on):
    got = on.run("--ipc", "none", script="say shm; ls -d /dev/shm 2>&1 || true")
    assert "No such file" in got["shm"]


def test_joining_what_cannot_be_joined(engine):
    stopped = engine.create("sleep", "1000")
    not_running = f"container {engine.inspect(stopped)['Name'][1:]} is created"
    for kind, message in (
        ("network", f"cannot join network namespace of a non running container: {not_running}"),
        ("pid", f"failed to join PID namespace: container {stopped} is not running"),
        ("ipc", f"failed to join IPC namespace: container {stopped} is not running"),
    ):
        mode = {"network": "NetworkMode", "pid": "PidMode", "ipc": "IpcMode"}[kind]
        joining = engine.create("true", host={mode: f"container:{stopped}"})
        answer = engine.api.post(f"/containers/{joining}/start")
        assert (answer.status, answer.message) == (409, message)
    private = engine.run("sleep", "1000")
    joining = engine.create("true", host={"IpcMode": f"container:{private}"})
    answer = engine.api.post(f"/containers/{joining}/start")
    assert answer.status == 400
    assert "non-shareable IPC (hint: use IpcMode:shareable for the donor" in answer.message
    joining = engine.create("true", host={"NetworkMode": f"container:{private}"})
    engine.remove(private)
    answer = engine.api.post(f"/containers/{joining}/start")
    gone = f"joining network namespace of container: No such container: {private}"
    assert (answer.status, answer.message) == (404, gone)


# ---- confinement ------------------------------------------------------------------


def test_confinement_and_its_options(on):
    script = """
        say masked; wc -c < /proc/timer_list; ls /sys/firmware | wc -l
        say readonly; echo 1 > /proc/sys/kernel/panic_on_oops; grep -c ' /proc/sys ' /proc/mounts
        say sys; grep ' /sys ' /proc/mounts | cut -d' ' -f4 | cut -d, -f1
        say cgroup; grep -E ' cgroup2? (rw|ro)' /proc/mounts | cut -d' ' -f4 | cut -d, -f1 | sort -u
        say status; grep -E '^(Seccomp|CapEff)' /proc/self/status
        say devices; ls /dev | wc -l
    """
    closed = on.run(script=script)
    assert closed["masked"].split() == ["0", "0"]
    assert closed["readonly"] == "1"
    assert closed["sys"] == "ro"
    assert closed["cgroup"] == "ro"
    assert of(closed["status"])["Seccomp"] == "2"
    opened = on.run("--security-opt", "systempaths=unconfined", script=script)
    assert int(opened["masked"].split()[0]) > 0
    assert opened["readonly"] == "0"
    assert opened["sys"] == "ro"
    privileged = on.run("--privileged", script=script)
    assert int(privileged["masked"].split()[0]) > 0
    assert privileged["readonly"] == "0"
    assert privileged["sys"] == "rw"
    assert "rw" in privileged["cgroup"].split()
    assert of(privileged["status"])["Seccomp"] == "0"
    assert int(privileged["devices"]) > int(closed["devices"])
    writable = on.run("--security-opt", "writable-cgroups=true", script=script)
    assert "rw" in writable["cgroup"].split()
    assert writable["sys"] == "ro"


def test_security_options(docker, tmp_path):
    profile = tmp_path / "profile.json"
    profile.write_text(
        json.dumps(
            {
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO"}],
            }
        )
    )
    script = "say seccomp; grep ^Seccomp: /proc/self/status; mkdir /tmp/x 2>&1 || true"
    own = docker.run("--security-opt", f"seccomp={profile}", script=script)["seccomp"]
    assert "2" in own
    assert "Operation not permitted" in own
    none = docker.run("--security-opt", "seccomp=unconfined", "--security-opt", "label=disable",
                      "--security-opt", "apparmor=unconfined", script=script)  # fmt: skip
    assert none["seccomp"].split() == ["Seccomp:", "0"]
    message = docker("run", "--security-opt", "colour=blue", IMAGE, "true", fails=True)
    assert 'invalid --security-opt 2: "colour=blue"' in message
