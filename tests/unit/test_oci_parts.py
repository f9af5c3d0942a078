"""Devices, limits, environment, security options: the small parts of a runtime spec."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palan.api.containers import HostConfig, ThrottleDevice, Ulimit, WeightDevice
from palan.api.errors import InvalidParameter
from palan.engine.oci.devices import (
    DEFAULT_RULES,
    DeviceNode,
    check_permissions,
    device_nodes,
    device_rules,
    parse_cgroup_rule,
)
from palan.engine.oci.environment import (
    DEFAULT_PATH,
    container_environment,
    exec_environment,
    override,
)
from palan.engine.oci.host import UNLIMITED, ProcessLimits
from palan.engine.oci.process import User, exec_process, oci_process
from palan.engine.oci.resources import block_device_paths, linux_resources
from palan.engine.oci.rlimits import check_ulimit, merge_ulimits, oci_rlimits, rlimit_warnings
from palan.engine.oci.security_options import SecurityOptions, parse_security_options


FUSE = DeviceNode("/dev/fuse", "c", 10, 229, 0o20666, permissions="rw")


# ---- devices ------------------------------------------------------------------------


def test_cgroup_rules():
    assert parse_cgroup_rule("c 13:* rwm") == {
        "allow": True,
        "type": "c",
        "major": 13,
        "access": "rwm",
    }


@pytest.mark.parametrize(
    "text", ["", "bogus", "c 1:1", "c 1:1 x", "d 1:1 r", "c 1:1 rwmr", " c 1:1 r", "c 1:1 r\n"]
)
def test_malformed_rules_are_refused_in_dockerds_words(text):
    with pytest.raises(InvalidParameter) as caught:
        parse_cgroup_rule(text)
    assert caught.value.message == f"invalid device cgroup rule format: '{text}'"


def test_rules_come_after_the_defaults():
    rules = device_rules([FUSE], ["b 8:0 r"])
    assert tuple(rules[: len(DEFAULT_RULES)]) == DEFAULT_RULES
    assert rules[0] == {"allow": False, "access": "rwm"}
    assert [(r["type"], r["major"], r["minor"], r["access"]) for r in rules[-2:]] == [
        ("c", 10, 229, "rw"),
        ("b", 8, 0, "r"),
    ]
    assert device_rules([FUSE], None, privileged=True) == [{"allow": True, "access": "rwm"}]


def test_nodes_of_a_privileged_container():
    host = [DeviceNode(path, "c", 1, 2) for path in ("/dev/kvm", "/dev/pts/0", "/dev/console")]
    assert [node["path"] for node in device_nodes([FUSE], host, privileged=True)] == [
        "/dev/kvm",
        "/dev/fuse",
    ]
    (node,) = device_nodes([FUSE], host)
    assert node == {
        "path": "/dev/fuse",
        "type": "c",
        "major": 10,
        "minor": 229,
        "fileMode": 0o666,
        "uid": 0,
        "gid": 0,
    }


def test_device_permissions():
    for text in ("", "r", "rwm", "mr"):
        check_permissions(text)
    for text in ("x", "rr", "rwmx", "ro"):
        with pytest.raises(InvalidParameter, match=f"invalid device mode: {text}"):
            check_permissions(text)


# ---- resources ----------------------------------------------------------------------


def test_no_limits_are_no_words():
    assert linux_resources(HostConfig(), unified=False) == {}


def test_limits():
    limits = HostConfig(
        memory=1 << 26,
        memory_swap=-1,
        memory_reservation=1 << 25,
        memory_swappiness=10,
        oom_kill_disable=True,
        nano_cpus=1_500_000_000,
        cpu_shares=512,
        cpuset_cpus="0",
        pids_limit=64,
        blkio_weight=100,
        blkio_weight_device=[WeightDevice(path="/dev/a", weight=200)],
        blkio_device_read_iops=[ThrottleDevice(path="/dev/b", rate=5)],
    )
    assert block_device_paths(limits) == ["/dev/a", "/dev/b"]
    numbers = {"/dev/a": (8, 0), "/dev/b": (8, 16)}
    v1 = linux_resources(limits, unified=False, block_devices=numbers)
    assert v1["memory"] == {
        "limit": 1 << 26,
        "reservation": 1 << 25,
        "swappiness": 10,
        "disableOOMKiller": True,
    }
    assert v1["cpu"] == {"shares": 512, "period": 100000, "quota": 150000, "cpus": "0"}
    assert v1["pids"] == {"limit": 64}
    assert v1["blockIO"] == {
        "weight": 100,
        "weightDevice": [{"major": 8, "minor": 0, "weight": 200}],
        "throttleReadIOPSDevice": [{"major": 8, "minor": 16, "rate": 5}],
    }
    v2 = linux_resources(limits, unified=True, block_devices=numbers)
    assert v2["memory"] == {"limit": 1 << 26, "reservation": 1 << 25}


def test_no_limit_is_said_in_an_update():
    limits = HostConfig(memory=1 << 26, memory_swap=-1, pids_limit=0)
    assert linux_resources(limits, unified=True, update=True) == {
        "memory": {"limit": 1 << 26, "swap": -1},
        "pids": {"limit": -1},
    }


# ---- rlimits ------------------------------------------------------------------------


def test_ulimits():
    machine = ProcessLimits()
    limits = [Ulimit(name="nofile", soft=512, hard=1024), Ulimit(name="core", soft=-1, hard=-1)]
    for limit in limits:
        check_ulimit(limit)
    assert oci_rlimits(limits, machine) == [
        {"type": "RLIMIT_NOFILE", "soft": 512, "hard": 1024},
        {"type": "RLIMIT_CORE", "soft": UNLIMITED, "hard": UNLIMITED},
    ]
    assert rlimit_warnings(limits, machine) == []


def test_limits_that_cannot_be_raised_are_clamped_and_reported():
    machine = ProcessLimits(hard={"nofile": 1000, "core": UNLIMITED}, may_raise=False)
    limits = [Ulimit(name="nofile", soft=2000, hard=-1), Ulimit(name="core", soft=0, hard=-1)]
    assert oci_rlimits(limits, machine) == [
        {"type": "RLIMIT_NOFILE", "soft": 1000, "hard": 1000},
        {"type": "RLIMIT_CORE", "soft": 0, "hard": UNLIMITED},
    ]
    assert rlimit_warnings(limits, machine) == [
        "The engine cannot raise the hard limit nofile to unlimited; it is limited to 1000."
    ]


@pytest.mark.parametrize(
    ("limit", "message"),
    [
        (Ulimit(name="bogus", soft=1, hard=1), "invalid ulimit type: bogus"),
        (
            Ulimit(name="nofile", soft=9, hard=1),
            "ulimit soft limit must be less than or equal to hard limit: 9 > 1",
        ),
        (
            Ulimit(name="nofile", soft=-1, hard=1),
            (
                "ulimit soft limit must be less than or equal to hard limit:"
                " soft: -1 (unlimited), hard: 1"
            ),
        ),
        (Ulimit(name="nofile", soft=-2, hard=1), "invalid ulimit nofile: -2; use -1 for no limit"),
    ],
)
def test_impossible_ulimits(limit, message):
    with pytest.raises(InvalidParameter) as caught:
        check_ulimit(limit)
    assert caught.value.message == message


def test_the_engines_ulimits_are_below_the_containers():
    own = Ulimit(name="nofile", soft=1, hard=1)
    defaults = {"nofile": Ulimit(name="nofile", soft=2, hard=2), "core": Ulimit(name="core")}
    assert merge_ulimits([own], defaults) == [own, defaults["core"]]


# ---- environment --------------------------------------------------------------------


def test_the_environment_of_a_container():
    env = container_environment(
        ["A=1", "PATH=/bin", "UNSET", "EMPTY="], hostname="box", tty=True, home="/root"
    )
    assert env == ["PATH=/bin", "HOSTNAME=box", "TERM=xterm", "A=1", "EMPTY=", "HOME=/root"]
    assert container_environment(None, hostname="box", tty=False) == [
        f"PATH={DEFAULT_PATH}",
        "HOSTNAME=box",
    ]
    assert "HOSTNAME=box" not in container_environment(["HOSTNAME"], hostname="box", tty=False)


def test_an_empty_home_is_replaced():
    env = container_environment(["HOME="], hostname="box", tty=False, home="/root")
    assert env[2:] == ["HOME=/root"]
    env = exec_environment(["HOME=/app"], ["HOME="], hostname="box", tty=False, home="/root")
    assert env[2:] == ["HOME=/root"]
    env = exec_environment(["HOME=/app"], [], hostname="box", tty=False, home="/root")
    assert env[2:] == ["HOME=/app"]


def test_the_environment_of_an_exec():
    env = exec_environment(["A=1", "B=2"], ["B", "A=3"], hostname="box", tty=True, home="/home/app")
    assert env == [
        f"PATH={DEFAULT_PATH}",
        "HOSTNAME=box",
        "TERM=xterm",
        "A=3",
        "HOME=/home/app",
    ]


@given(st.lists(st.from_regex(r"[AB]=?[xy]?", fullmatch=True)))
def test_no_variable_is_there_twice(changes):
    names = [entry.partition("=")[0] for entry in override(["A=0"], changes)]
    assert len(set(names)) == len(names)


# ---- security options ---------------------------------------------------------------


def test_security_options():
    assert parse_security_options(None) == SecurityOptions()
    assert parse_security_options(None, no_new_privileges=True).no_new_privileges
    assert not parse_security_options(
        ["no-new-privileges=false"], no_new_privileges=True
    ).no_new_privileges
    assert parse_security_options(
        [
            "no-new-privileges",
            "writable-cgroups:false",
            "seccomp=unconfined",
            "apparmor:mine",
            "label=type:x",
            "disable",
            "systempaths=unconfined",
        ]
    ) == SecurityOptions(
        no_new_privileges=True,
        seccomp="unconfined",
        apparmor="mine",
        labels=("type:x", "disable"),
        writable_cgroups=False,
        unconfined_paths=True,
    )


@pytest.mark.parametrize(
    ("option", "number"),
    [
        ("bogus", 1),
        ("seccomp", 1),
        ("bogus=1", 2),
        ("no-new-privileges=maybe", 2),
        ("credentialspec=file://x", 2),
        ("systempaths=x", 2),
    ],
)
def test_invalid_security_options(option, number):
    with pytest.raises(InvalidParameter) as caught:
        parse_security_options([option])
    assert caught.value.message == f'invalid --security-opt {number}: "{option}"'


# ---- processes ----------------------------------------------------------------------


def container_process(**changes):
    return oci_process(
        **{
            "args": ["sleep"],
            "env": ["A=1"],
            "cwd": "/data",
            "user": User(1000, 1000, (1000, 44)),
            "terminal": False,
            "console_size": (0, 0),
            "capabilities": ["CAP_CHOWN"],
            "no_new_privileges": True,
            "apparmor": "docker-default",
            "rlimits": [{"type": "RLIMIT_CORE", "soft": 0, "hard": 0}],
            **changes,
        }
    )


def test_an_exec_is_like_the_container_but_for_what_is_given():
    process = exec_process(container_process(), args=["ls"], env=["B=2"])
    assert process["args"] == ["ls"]
    assert process["env"] == ["B=2"]
    assert process["cwd"] == "/data"
    assert process["user"] == {"uid": 1000, "gid": 1000, "additionalGids": [1000, 44]}
    assert process["noNewPrivileges"]
    assert process["apparmorProfile"] == "docker-default"
    assert process["rlimits"][0]["type"] == "RLIMIT_CORE"
    assert process["capabilities"]["effective"] == ["CAP_CHOWN"]


def test_an_exec_as_root_has_the_bounding_set():
    process = exec_process(container_process(), args=["id"], env=[], user=User())
    assert process["capabilities"]["effective"] == ["CAP_CHOWN"]


def test_a_privileged_exec_has_all_there_is():
    process = exec_process(
        container_process(user=User()),
        args=["id"],
        env=[],
        privileged=True,
        bounding={"CAP_SYS_ADMIN", "CAP_KILL"},
    )
    assert process["capabilities"]["effective"] == ["CAP_KILL", "CAP_SYS_ADMIN"]


def test_the_size_of_a_console_needs_a_terminal():
    assert "consoleSize" not in container_process(console_size=(24, 80))
    tty = container_process(console_size=(24, 80), terminal=True)
    assert tty["consoleSize"] == {"height": 24, "width": 80}
    assert "consoleSize" not in exec_process(tty, args=["ls"], env=[])
    again = exec_process(tty, args=["ls"], env=[], terminal=True, console_size=(10, 20))
    assert again["consoleSize"] == {"height": 10, "width": 20}


def test_no_limit_of_cpu_time_is_not_said():
    for number in (0, -1, -(2**63)):
        limits = HostConfig(cpu_quota=number, cpu_realtime_runtime=number)
        assert linux_resources(limits, unified=False) == {}
