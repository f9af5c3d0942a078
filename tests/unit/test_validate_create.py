"""dockerd 29's error messages for invalid containers, field by field."""

import ipaddress
from dataclasses import replace

import msgspec
import pytest

from palan.api.containers import (
    ContainerConfig,
    DeviceMapping,
    EndpointIPAMConfig,
    EndpointSettings,
    HealthConfig,
    HostConfig,
    LogConfig,
    Mount,
    NetworkingConfig,
    PortBinding,
    Resources,
    RestartPolicy,
    ThrottleDevice,
    Ulimit,
    WeightDevice,
)
from palan.api.errors import InvalidParameter
from palan.engine.containers.adapt import Defaults, adapt_host_config, default_hostname
from palan.engine.containers.validate import validate_create, validate_update
from palan.engine.containers.validate_facts import ALL_FEATURES, CreateFacts
from palan.engine.machine.cpusets import parse_cpuset
from palan.engine.networks.validate_endpoint import parse_link
from palan.engine.oci.capabilities import KNOWN
from palan.engine.oci.host import Host, ProcessLimits
from palan.engine.sizes import parse_size
from palan.host.cgroups import CgroupFeatures


FACTS = CreateFacts(
    host=Host(bounding=frozenset(KNOWN), cgroup="v1"),
    cpus=2,
    cpuset_cpus=frozenset({0, 1}),
    features=replace(ALL_FEATURES, cpu_realtime=False),
    path_exists=lambda path: not path.startswith("/absent"),
    init_path="/usr/bin/tini",
    subnets_of=lambda name: [ipaddress.ip_network("172.17.0.0/16")] if name == "bridge" else None,
)
MIB = 1 << 20


def check(config=None, host_config=None, networking=None, facts=FACTS):
    return validate_create(
        config or ContainerConfig(), host_config or HostConfig(), networking, facts
    )


def refused(*args, **kwargs):
    with pytest.raises(InvalidParameter) as caught:
        check(*args, **kwargs)
    return caught.value.message


def test_nothing_asked_for_is_fine():
    assert check() == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"env": ["=x"]}, "invalid environment variable: =x"),
        ({"env": [""]}, "invalid environment variable: "),
        ({"stop_signal": "SIGBOGUS"}, "invalid signal: SIGBOGUS"),
        ({"stop_timeout": -2}, "invalid stop timeout -2: use -1 to wait without end"),
        (
            {"working_dir": "relative"},
            "the working directory 'relative' is invalid, it needs to be an absolute path",
        ),
        (
            {"exposed_ports": {"http": {}}},
            "invalid JSON: invalid port 'http': invalid syntax",
        ),
        ({"hostname": "h" * 65}, f'hostname "{"h" * 65}" is too long (maximum 64 bytes)'),
        ({"hostname": "a\nb"}, "invalid hostname: it contains control characters"),
        ({"volumes": {"/": {}}}, "invalid specification: destination can't be '/'"),
        (
            {"healthcheck": HealthConfig(interval=1)},
            "Interval in Healthcheck cannot be less than 1ms",
        ),
        (
            {"healthcheck": HealthConfig(timeout=-1)},
            "Timeout in Healthcheck cannot be less than 1ms",
        ),
        (
            {"healthcheck": HealthConfig(retries=-1)},
            "Retries in Healthcheck cannot be negative",
        ),
    ],
)
def test_configuration(fields, message):
    assert refused(ContainerConfig(**fields)) == message


def test_the_working_directory_is_made_clean():
    config = ContainerConfig(working_dir="//a/./b/../c/")
    check(config)
    assert config.working_dir == "/a/c"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"memory": -5}, "Minimum memory limit allowed is 6MB"),
        ({"memory": 1024}, "Minimum memory limit allowed is 6MB"),
        (
            {"memory": 64 * MIB, "memory_swap": 32 * MIB},
            "Minimum memoryswap limit should be larger than memory limit, see usage",
        ),
        (
            {"memory_swap": 32 * MIB},
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        ),
        (
            {"memory": 64 * MIB, "memory_reservation": 128 * MIB},
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        ),
        ({"memory_reservation": 1024}, "Minimum memory reservation allowed is 6MB"),
        (
            {"memory_swappiness": 200},
            "Invalid value: 200, valid memory swappiness range is 0-100",
        ),
        (
            {"nano_cpus": 9000000000000},
            "range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available",
        ),
        (
            {"nano_cpus": 1000000000, "cpu_quota": 5000, "cpu_period": 100000},
            "Conflicting options: Nano CPUs and CPU Period cannot both be set",
        ),
        (
            {"nano_cpus": 1000000000, "cpu_quota": 5000},
            "Conflicting options: Nano CPUs and CPU Quota cannot both be set",
        ),
        (
            {"cpu_period": 5},
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        ),
        ({"cpu_quota": 5}, "CPU cfs quota can not be less than 1ms (i.e. 1000)"),
        ({"cpu_shares": -1}, "invalid CPU shares (-1): value must be a positive integer"),
        ({"cpu_realtime_period": 5}, "kernel does not support CPU real-time scheduler"),
        ({"cpuset_cpus": "x"}, "Invalid value x for cpuset cpus: invalid format: x"),
        (
            {"cpuset_cpus": "500"},
            "Requested CPUs are not available - requested 500, available: 0-1",
        ),
        (
            {"cpuset_mems": "1"},
            "Requested memory nodes are not available - requested 1, available: 0",
        ),
        ({"blkio_weight": 5}, "Range of blkio weight is from 10 to 1000"),
        (
            {"blkio_weight_device": [WeightDevice(path="/dev/a", weight=5)]},
            "Range of blkio weight is from 10 to 1000",
        ),
        (
            {"blkio_device_read_bps": [ThrottleDevice(path="/absent", rate=1)]},
            "stat /absent: no such file or directory",
        ),
        (
            {"io_maximum_iops": 1},
            "invalid option: QoS maximum IOPs configuration is not supported on linux",
        ),
        ({"shm_size": -1}, "SHM size can not be less than 0"),
        (
            {"oom_score_adj": 5000},
            "Invalid value 5000, range for oom score adj is [-1000, 1000]",
        ),
        (
            {"memory": 1 << 64},
            (
                "invalid JSON: json: cannot unmarshal number 18446744073709551616"
                " into Go struct field .HostConfig.Memory of type int64"
            ),
        ),
        (
            {"ulimits": [Ulimit(name="bogus", soft=1, hard=1)]},
            "invalid ulimit type: bogus",
        ),
    ],
)
def test_limits(fields, message):
    assert refused(host_config=HostConfig(**fields)) == message


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"restart_policy": RestartPolicy(name="sometimes")},
            (
                "invalid restart policy: unknown policy 'sometimes'; use one of 'no', 'always',"
                " 'on-failure', or 'unless-stopped'"
            ),
        ),
        (
            {"restart_policy": RestartPolicy(name="always", maximum_retry_count=3)},
            "invalid restart policy: maximum retry count can only be used with 'on-failure'",
        ),
        (
            {"restart_policy": RestartPolicy(name="no", maximum_retry_count=-3)},
            (
                "invalid restart policy: maximum retry count can only be used with 'on-failure'"
                " and cannot be negative"
            ),
        ),
        (
            {"restart_policy": RestartPolicy(name="on-failure", maximum_retry_count=-1)},
            "invalid restart policy: maximum retry count cannot be negative",
        ),
        (
            {"auto_remove": True, "restart_policy": RestartPolicy(name="always")},
            "can't create 'AutoRemove' container with restart policy",
        ),
        (
            {"network_mode": "container:"},
            "invalid network mode: invalid container format container:<name|id>",
        ),
        ({"ipc_mode": "bogus"}, "invalid IPC mode: bogus"),
        ({"ipc_mode": "container:"}, "invalid IPC mode: container:"),
        ({"pid_mode": "private"}, "invalid PID mode: private"),
        ({"uts_mode": "bogus"}, "invalid UTS mode: bogus"),
        ({"userns_mode": "bogus"}, "invalid user namespace mode: bogus"),
        ({"cgroupns_mode": "bogus"}, "invalid cgroup namespace mode: bogus"),
        ({"cap_add": ["BOGUS"]}, 'invalid CapAdd: unknown capability: "CAP_BOGUS"'),
        ({"cap_drop": ["BOGUS"]}, 'invalid CapDrop: unknown capability: "CAP_BOGUS"'),
        ({"runtime": "bogus"}, "unknown or invalid runtime name: bogus"),
        ({"isolation": "hyperv"}, "invalid isolation (hyperv): linux only supports 'default'"),
        ({"security_opt": ["bogus"]}, 'invalid --security-opt 1: "bogus"'),
        (
            {"security_opt": ["seccomp={"]},
            "Decoding seccomp profile failed: unexpected end of JSON input",
        ),
        ({"extra_hosts": ["bogus"]}, 'bad format for add-host: "bogus"'),
        ({"extra_hosts": ["db:1.2"]}, 'invalid IP address in add-host: "1.2"'),
        ({"dns": ["bogus"]}, 'invalid JSON: ParseAddr("bogus"): unable to parse IP'),
        (
            {"annotations": {"": "x"}},
            "invalid Annotations: the empty string is not permitted as an annotation key",
        ),
        (
            {"annotations": {"run.oci.seccomp_bpf_data": "AAAA"}},
            (
                "invalid Annotations: run.oci.seccomp_bpf_data is set by the engine; use the"
                " security option seccomp for a filter of your own"
            ),
        ),
        (
            {"port_bindings": {"80/tcp": [PortBinding(host_port="bogus")]}},
            'invalid port specification: "bogus"',
        ),
        ({"sysctls": {"bogus": "1"}}, 'sysctl "bogus" is not in a separate kernel namespace'),
        (
            {"sysctls": {"kernel.hostname": "x"}},
            'sysctl "kernel.hostname" is not allowed as it conflicts with the host name',
        ),
        (
            {"sysctls": {"net.ipv4.ip_forward": "1"}, "network_mode": "host"},
            'sysctl "net.ipv4.ip_forward" not allowed in host network namespace',
        ),
        (
            {"sysctls": {"kernel.msgmax": "1"}, "ipc_mode": "host"},
            'sysctl "kernel.msgmax" is not allowed in the hosts ipc namespace',
        ),
        (
            {"sysctls": {"net.ipv4.conf.eth0.mtu": "1"}},
            (
                'interface specific sysctl setting "net.ipv4.conf.eth0.mtu" must be supplied using'
                " driver option 'com.docker.network.endpoint.sysctls'"
            ),
        ),
        (
            {"device_cgroup_rules": ["bogus"]},
            "invalid device cgroup rule format: 'bogus'",
        ),
        (
            {"devices": [DeviceMapping(path_on_host="/dev/x", cgroup_permissions="x")]},
            "invalid device mode: x",
        ),
        ({"devices": [DeviceMapping(path_on_host="x")]}, "invalid device path: 'x'"),
        (
            {"storage_opt": {"size": "1g"}},
            "--storage-opt is supported only for overlay over xfs with 'pquota' mount option",
        ),
        ({"links": ["a:b:c"]}, "bad format for links: a:b:c"),
        (
            {"links": ["a"], "network_mode": "host"},
            (
                "conflicting options: host type networking can't be used with links."
                " This would result in undefined behavior"
            ),
        ),
        ({"console_size": (-1, 0)}, "invalid ConsoleSize: it must not be negative"),
        (
            {"log_config": LogConfig(type="bogus")},
            'error looking up logging plugin bogus: plugin "bogus" not found',
        ),
        (
            {"log_config": LogConfig(type="json-file", config={"bogus": "1"})},
            "unknown log opt 'bogus' for json-file log driver",
        ),
        (
            {"log_config": LogConfig(type="local", config={"bogus": "1"})},
            "unknown log opt 'bogus' for log driver local",
        ),
        ({"log_config": LogConfig(config={"max-size": "lots"})}, "invalid size: 'lots'"),
        (
            {"log_config": LogConfig(config={"max-size": "0"})},
            "max-size must be a positive number",
        ),
        (
            {"log_config": LogConfig(config={"max-file": "0"})},
            "max-file cannot be less than 1",
        ),
        (
            {"log_config": LogConfig(config={"max-file": "x"})},
            'strconv.Atoi: parsing "x": invalid syntax',
        ),
        (
            {"log_config": LogConfig(config={"compress": "true"})},
            "compress cannot be true when max-file is less than 2 or max-size is not set",
        ),
        (
            {"log_config": LogConfig(config={"mode": "x"})},
            "logger: logging mode not supported: x",
        ),
        (
            {"log_config": LogConfig(config={"max-buffer-size": "1m"})},
            "logger: max-buffer-size option is only supported with 'mode=non-blocking'",
        ),
    ],
)
def test_invalid_links_console_sizes_and_log_options(fields, message):
    assert refused(host_config=HostConfig(**fields)) == message


@pytest.mark.parametrize(
    ("config", "fields", "what"),
    [
        ({"hostname": "x"}, {}, "hostname and the network mode"),
        ({}, {"dns": ["1.1.1.1"]}, "dns and the network mode"),
        (
            {},
            {"extra_hosts": ["a:1.1.1.1"]},
            "custom host-to-IP mapping and the network mode",
        ),
        (
            {},
            {"publish_all_ports": True},
            "port publishing and the container type network mode",
        ),
        (
            {"exposed_ports": {"80/tcp": {}}},
            {},
            "port exposing and the container type network mode",
        ),
        (
            {},
            {"links": ["a"]},
            (
                "container type network can't be used with links."
                " This would result in undefined behavior"
            ),
        ),
    ],
)
def test_options_excluded_by_another_containers_network(config, fields, what):
    host_config = HostConfig(network_mode="container:other", **fields)
    assert refused(ContainerConfig(**config), host_config) == f"conflicting options: {what}"


def test_a_host_name_needs_a_uts_namespace():
    assert (
        refused(ContainerConfig(hostname="x"), HostConfig(uts_mode="host"))
        == "conflicting options: hostname and the UTS mode"
    )
    assert check(ContainerConfig(hostname="own"), HostConfig(network_mode="host")) == []


def networks(**endpoints):
    return NetworkingConfig(endpoints_config=endpoints)


def test_endpoints():
    static = EndpointSettings(ipam_config=EndpointIPAMConfig(ipv4_address="10.231.9.9"))
    assert refused(networking=networks(bridge=static)) == (
        "invalid config for network bridge: invalid endpoint settings:\n"
        "* user-specified IP address is supported on user-defined networks only\n"
        "* no configured subnet contains IP address 10.231.9.9"
    )
    assert refused(networking=networks(host=EndpointSettings(aliases=["x"]))) == (
        "invalid config for network host: invalid endpoint settings:\n"
        "network-scoped aliases are only supported for user-defined networks"
    )
    assert refused(networking=networks(a=None, b=None)) == (
        "* invalid config for network a: EndpointsConfig is nil\n"
        "* invalid config for network b: EndpointsConfig is nil"
    )
    bogus = EndpointSettings(ipam_config=EndpointIPAMConfig(ipv6_address="bogus"))
    assert refused(networking=networks(own=bogus)) == (
        'invalid JSON: ParseAddr("bogus"): unable to parse IP'
    )
    wrong = EndpointSettings(
        ipam_config=EndpointIPAMConfig(ipv4_address="::1", ipv6_address="1.2.3.4")
    )
    assert refused(networking=networks(own=wrong)) == (
        "invalid config for network own: invalid endpoint settings:\n"
        "* invalid IPv4 address: ::1\n"
        "* invalid IPv6 address: 1.2.3.4"
    )
    sysctl = EndpointSettings(driver_opts={"com.docker.network.endpoint.sysctls": "net.x=1"})
    assert "unrecognised network interface sysctl 'net.x=1'" in refused(
        networking=networks(own=sysctl)
    )
    assert check(networking=networks(own=static, other=EndpointSettings())) == []


@pytest.mark.parametrize(
    "text", ["02:42:0A:00:00:05", "02-42-0a-00-00-05", "0242.0a00.0005", "02:42:0a:00:00:05"]
)
def test_mac_addresses_get_their_usual_form(text):
    settings = EndpointSettings(mac_address=text)
    assert check(networking=networks(own=settings)) == []
    assert settings.mac_address == "02:42:0a:00:00:05"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("zz:zz", "invalid JSON: address zz:zz: invalid MAC address"),
        ("02:42:0a:00:00", "invalid JSON: address 02:42:0a:00:00: invalid MAC address"),
        (
            "01:00:5e:00:00:01",
            "invalid MAC address: 01:00:5e:00:00:01 is not the address of one interface",
        ),
    ],
)
def test_invalid_mac_addresses(text, message):
    assert refused(networking=networks(own=EndpointSettings(mac_address=text))) == message


def test_links():
    assert parse_link("web:db") == ("web", "db")
    assert parse_link("web") == ("web", "web")
    assert parse_link("/web:/self/db") == ("web", "db")


# ---- warnings -----------------------------------------------------------------------


def test_limits_that_cgroups_lack_are_dropped():
    host_config = HostConfig(
        memory=64 * MIB,
        memory_reservation=32 * MIB,
        memory_swappiness=5,
        oom_kill_disable=True,
        pids_limit=5,
        cpu_shares=5,
        cpu_quota=5000,
        cpuset_cpus="0",
        blkio_weight=500,
        blkio_device_read_bps=[ThrottleDevice(path="/dev/a", rate=1)],
    )
    warnings = check(host_config=host_config, facts=replace(FACTS, features=CgroupFeatures()))
    assert warnings == [
        (
            "Your kernel does not support memory limit capabilities or the cgroup is not mounted."
            " Limitation discarded."
        ),
        (
            "Your kernel does not support memory swappiness capabilities or the cgroup is not"
            " mounted. Memory swappiness discarded."
        ),
        (
            "Your kernel does not support memory soft limit capabilities or the cgroup is not"
            " mounted. Limitation discarded."
        ),
        "Your kernel does not support OomKillDisable. OomKillDisable discarded.",
        (
            "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted."
            " PIDs limit discarded."
        ),
        "Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.",
        "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.",
        "Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.",
        (
            "Your kernel does not support Block I/O weight or the cgroup is not mounted."
            " Weight discarded."
        ),
        (
            "Your kernel does not support BPS Block I/O read limit or the cgroup is not mounted."
            " Block I/O BPS read limit discarded."
        ),
    ]
    assert (host_config.memory, host_config.pids_limit, host_config.cpuset_cpus) == (0, None, "")


def test_other_warnings():
    facts = replace(
        FACTS,
        ip_forwarding=False,
        host=replace(
            FACTS.host,
            bounding=frozenset(KNOWN) - {"CAP_SYS_RESOURCE"},
            limits=ProcessLimits(hard={"nofile": 10}, may_raise=False, oom_score_floor=0),
        ),
    )
    warnings = check(
        ContainerConfig(healthcheck=HealthConfig(test=["BOGUS"])),
        HostConfig(
            privileged=True,
            security_opt=["label=x", "apparmor=mine"],
            ulimits=[Ulimit(name="nofile", soft=20, hard=20)],
            oom_score_adj=-5,
            port_bindings={"80/tcp": []},
            oom_kill_disable=True,
            cpu_percent=5,
        ),
        facts=facts,
    )
    starts = (
        "Unknown healthcheck type 'BOGUS'",
        "IPv4 forwarding is disabled. Networking will not work.",
        "Capabilities that are not available",
        "SELinux is not supported",
        "AppArmor is not enabled; the profile mine",
        "The engine cannot raise the hard limit nofile to 20",
        "The engine cannot lower oom_score_adj to -5; it is 0.",
        "OOM killer is disabled for the container, but no memory limit is set",
        "linux does not support CPU percent. Percent discarded.",
        "Following container port(s) have an empty list of port-bindings: 80/tcp.",
    )
    assert len(warnings) == len(starts)
    for warning, start in zip(warnings, starts, strict=True):
        assert warning.startswith(start)
    assert check(
        host_config=HostConfig(network_mode="host", port_bindings={"80/tcp": [PortBinding()]})
    ) == ["Published ports are discarded when using host network mode"]


def test_an_init_program_that_is_not_there():
    facts = replace(FACTS, init_path="")
    assert check(facts=facts) == []
    assert check(host_config=HostConfig(init=False), facts=replace(facts, default_init=True)) == []
    for host_config, default in ((HostConfig(init=True), False), (HostConfig(), True)):
        message = refused(host_config=host_config, facts=replace(facts, default_init=default))
        assert message.startswith("no init program was found")


# ---- update, defaults, small parsers --------------------------------------------------


def test_updates():
    assert validate_update(Resources(memory_swap=64 * MIB), None, FACTS) == []
    with pytest.raises(InvalidParameter, match="Minimum memory limit allowed is 6MB"):
        validate_update(Resources(memory=1024), None, FACTS)
    with pytest.raises(InvalidParameter, match="unknown policy 'sometimes'"):
        validate_update(Resources(), RestartPolicy(name="sometimes"), FACTS)


def test_defaults():
    host_config = HostConfig(memory=64 * MIB, pids_limit=-5)
    adapt_host_config(host_config, Defaults(unified=False, log_options={"max-size": "1m"}))
    assert host_config.memory_swap == 128 * MIB
    assert host_config.pids_limit is None
    assert host_config.shm_size == 64 * MIB
    assert host_config.ipc_mode == "private"
    assert host_config.cgroupns_mode == "host"
    assert host_config.network_mode == "bridge"
    assert host_config.restart_policy.name == "no"
    assert host_config.oom_kill_disable is False
    assert host_config.log_config == LogConfig(type="json-file", config={"max-size": "1m"})
    assert "/proc/kcore" in (host_config.masked_paths or [])

    own = HostConfig(log_config=LogConfig(type="local"), security_opt=["systempaths=unconfined"])
    adapt_host_config(own, Defaults(log_options={"max-size": "1m"}))
    assert own.log_config.config == {}
    assert own.cgroupns_mode == "private"
    assert own.masked_paths == []
    assert own.oom_kill_disable is None

    privileged = HostConfig(privileged=True)
    adapt_host_config(privileged, Defaults(unified=False, cgroupns_mode="private"))
    assert privileged.cgroupns_mode == "host"
    assert privileged.masked_paths is None


def test_host_names():
    plain, config = HostConfig(), ContainerConfig()
    assert default_hostname(config, plain, "0123456789abcdef", "machine") == "0123456789ab"
    for host_config in (HostConfig(network_mode="host"), HostConfig(uts_mode="host")):
        assert default_hostname(config, host_config, "0" * 64, "machine") == "machine"
    named = ContainerConfig(hostname="box")
    assert default_hostname(named, HostConfig(network_mode="host"), "0" * 64, "x") == "box"


def test_cpusets():
    assert parse_cpuset("") == frozenset()
    assert parse_cpuset("0-2,4,03") == {0, 1, 2, 3, 4}
    for text in ("x", "1-", "-1", "2-1", "1,,2", "0-9999999"):
        with pytest.raises(ValueError, match=r"invalid format|out range"):
            parse_cpuset(text)


def test_sizes():
    assert parse_size("10m") == 10 * MIB
    assert parse_size("1.5 KB", 1000) == 1500
    assert parse_size("7") == 7
    assert parse_size("2GiB") == 2 << 30
    for text in ("", "lots", "-1", "1ib", "1mm", "1 000"):
        with pytest.raises(ValueError, match=r"^invalid size: "):
            parse_size(text)


def test_adapt_forgets_what_inspect_leaves_out_when_it_is_empty():
    own = HostConfig(
        annotations={}, kernel_memory=0, mounts=[], storage_opt={}, sysctls={}, tmpfs={}, init=False
    )
    adapt_host_config(own, Defaults())
    shown = msgspec.to_builtins(own)
    assert not {
        "Annotations", "KernelMemory", "Mounts", "StorageOpt", "Sysctls", "Tmpfs"
    } & shown.keys()  # fmt: skip
    assert shown["Init"] is False


@pytest.mark.parametrize(
    ("config", "host_config"),
    [
        ({"working_dir": "/a\0b"}, {}),
        ({"hostname": "a\0b"}, {}),
        ({}, {"binds": ["/a\0b:/c"]}),
        ({}, {"binds": ["/a:/c\0d"]}),
        ({}, {"mounts": [Mount(type="bind", source="/a\0b", target="/c")]}),
        ({}, {"dns_search": ["a\nnameserver 6.6.6.6"]}),
        ({}, {"dns_options": ["a\nnameserver 6.6.6.6"]}),
        ({}, {"extra_hosts": ["a\n6.6.6.6 b:1.2.3.4"]}),
        ({}, {"cgroup_parent": "/a/../../b"}),
        ({}, {"cgroup_parent": "a\0b"}),
    ],
)
def test_values_with_another_meaning_on_the_host_are_refused(config, host_config):
    refused(ContainerConfig(**config), HostConfig(**host_config))


def test_labels_of_binds_cause_a_warning_with_selinux():
    binds = HostConfig(binds=["/a:/b:ro,z", "/c:/d"])
    assert check(host_config=binds) == []
    (warning,) = check(host_config=binds, facts=replace(FACTS, selinux=True))
    assert warning.startswith("SELinux is not supported")
    assert check(host_config=HostConfig(binds=["/c:/d"]), facts=replace(FACTS, selinux=True)) == []
