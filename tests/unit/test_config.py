"""Flags and daemon.json: merging, types, and refusals."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palan.engine.config import AddressPool, EngineConfig, Runtime, Ulimit
from palan.engine.config_check import ConfigError, check
from palan.engine.config_load import directives, load_config, reloaded
from palan.engine.hosts import Host, parse_host
from palan.engine.paths import Paths
from palan.engine.sizes import parse_size


def load(tmp_path, document, flags=None):
    path = tmp_path / "daemon.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return load_config(flags, path)


def refusal(tmp_path, document, flags=None):
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, document, flags)
    return str(caught.value)


def test_nothing_given_is_all_defaults(tmp_path):
    loaded = load(tmp_path, {})
    assert loaded.config == EngineConfig()
    assert loaded.warnings == ()


def test_an_empty_file_is_no_error(tmp_path):
    assert load(tmp_path, "").config == EngineConfig()


def test_an_explicit_file_must_exist(tmp_path):
    with pytest.raises(ConfigError, match=r"with file .*absent\.json: no such file"):
        load_config(config_file=tmp_path / "absent.json")


def test_file_and_flags_are_merged(tmp_path):
    config = load(tmp_path, {"debug": True}, {"mtu": ["1400"], "labels": ["a=1", "b=2"]}).config
    assert config.debug
    assert config.mtu == 1400
    assert config.labels == ("a=1", "b=2")


def test_every_kind_of_flag():
    config = load_config(
        {
            "hosts": ["unix:///a", "tcp://127.0.0.1:1"],
            "tls": ["false"],
            "log-opts": ["max-size=1m", "tag=a=b"],
            "features": ["one", "two=false"],
            "runtimes": ["mine=/opt/mine"],
            "default-ulimits": ["nofile=10:20", "core=0"],
            "default-address-pools": ["base=10.9.0.0/16,size=24"],
            "default-network-opts": ["bridge=com.docker.network.driver.mtu=1400"],
            "default-shm-size": ["1.5g"],
        }
    ).config
    assert config.hosts == ("unix:///a", "tcp://127.0.0.1:1")
    assert config.tls is False
    assert config.log_opts == {"max-size": "1m", "tag": "a=b"}
    assert config.features == {"one": True, "two": False}
    assert config.runtimes == {"mine": Runtime(path="/opt/mine")}
    assert config.default_ulimits == {
        "nofile": Ulimit("nofile", 10, 20),
        "core": Ulimit("core", 0, 0),
    }
    assert config.default_address_pools == (AddressPool("10.9.0.0/16", 24),)
    assert config.default_network_opts == {"bridge": {"com.docker.network.driver.mtu": "1400"}}
    assert config.default_shm_size == 1536 * 1024 * 1024


def test_the_file_has_dockerds_shapes(tmp_path):
    config = load(
        tmp_path,
        {
            "runtimes": {"mine": {"path": "mine", "runtimeArgs": ["--debug"]}},
            "default-ulimits": {"nofile": {"Name": "nofile", "Hard": 64000, "Soft": 64000}},
            "default-shm-size": "64M",
            "proxies": {"http-proxy": "http://proxy:3128", "no-proxy": "localhost"},
            "default-address-pools": [{"base": "172.30.0.0/16", "size": 24}],
            "dns": None,
        },
    ).config
    assert config.runtimes["mine"].runtime_args == ("--debug",)
    assert config.default_ulimits["nofile"].hard == 64000
    assert config.default_shm_size == 64 << 20
    assert config.http_proxy == "http://proxy:3128"
    assert config.no_proxy == "localhost"
    assert config.dns == ()


def test_given_twice_is_dockerds_error(tmp_path):
    assert refusal(
        tmp_path, {"debug": True, "hosts": ["fd://"]}, {"debug": ["true"], "hosts": ["unix:///a"]}
    ) == (
        "the following directives are specified both as a flag and in the configuration file: "
        "debug: (from flag: true, from file: true), "
        "hosts: (from flag: [unix:///a], from file: [fd://])"
    )


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"x": 1, "y": 2}, "the following directives don't match any configuration option: x, y"),
        ({"http-proxy": "http://a"}, "don't match any configuration option: http-proxy"),
        ({"proxies": {"ftp-proxy": "x"}}, "configuration option: proxies.ftp-proxy"),
        ({"debug": "yes"}, "debug: expected bool, got str"),
        ({"labels": ["a=b", 3]}, "labels[1]: expected str, got int"),
        ({"log-opts": {"max-size": 10}}, "log-opts[...]: expected str, got int"),
        ({"log-level": "loud"}, "log-level: invalid enum value"),
        ({"default-shm-size": "lots"}, "default-shm-size: invalid size: 'lots'"),
        ({"default-ulimits": {"nofile": 3}}, "default-ulimits[...]: expected object, got int"),
        ([], "it must be a JSON object"),
        ("{", "with file"),
        ('{"debug": true, "debug": false}', "given twice: debug"),
    ],
)
def test_a_wrong_file_says_what_is_wrong(tmp_path, document, words):
    message = refusal(tmp_path, document)
    assert words in message
    assert str(tmp_path) in message


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"mtu": ["big"]}, 'invalid argument "big" for --mtu'),
        ({"debug": ["maybe"]}, 'invalid argument "maybe" for --debug: it must be true or false'),
        ({"log-opts": ["max-size"]}, 'invalid argument "max-size" for --log-opt'),
        ({"default-address-pools": ["10.0.0.0/8"]}, "base=CIDR,size=BITS"),
        ({"mtu": ["-1"]}, "invalid default MTU: -1"),
        ({"max-concurrent-downloads": ["-1"]}, "invalid max concurrent downloads: -1"),
        ({"max-download-attempts": ["0"]}, "invalid max download attempts: 0"),
        ({"bip": ["10.0.0.1"]}, "invalid CIDR address: 10.0.0.1"),
        ({"bip": ["10.0.0.0/24"]}, "must be the address of a host"),
        ({"bip": ["fd00::1/64"]}, "is not an IPv4 address"),
        ({"bip": ["10.0.0.1/24"], "bridge": ["br0"]}, "mutually exclusive"),
        ({"bip": ["10.0.0.1/24"], "fixed-cidr": ["10.1.0.0/25"]}, "fixed-cidr: 10.1.0.0/25"),
        ({"bip": ["10.0.0.1/24"], "default-gateway": ["10.1.0.1"]}, "default-gateway: 10.1.0.1"),
        ({"bridge": ["a-very-long-name-of-a-bridge"]}, "bridge: invalid interface name"),
        ({"bridge": ['a"b']}, "bridge: invalid interface name"),
        ({"iptables": ["false"], "icc": ["false"]}, "icc=false needs firewall rules"),
        ({"dns": ["eight"]}, "IP address is not correctly formatted: eight"),
        ({"dns-search": ["a b"]}, "a b is not a valid domain"),
        ({"labels": ["a"]}, "bad attribute format: a"),
        ({"labels": ["a=1", "a=2"]}, "conflict labels for a=2 and a=1"),
        ({"registry-mirrors": ["ftp://a"]}, 'unsupported scheme "ftp"'),
        ({"registry-mirrors": ["https://u:p@a"]}, "username/password not allowed"),
        ({"registry-mirrors": ["ftp://u:p@a?b"]}, "username/password not allowed"),
        ({"insecure-registries": ["http://a"]}, "should not contain '://'"),
        ({"default-ulimits": ["nofiles=1"]}, "invalid ulimit type: nofiles"),
        ({"default-ulimits": ["nofile=2:1"]}, "the soft limit of nofile (2)"),
        ({"runtimes": ["a=/a", "a=/b"]}, "runtime a was already defined"),
        ({"exec-opts": ["native.cgroupdriver=systemd"]}, "native.cgroupdriver option systemd"),
        ({"exec-opts": ["isolation=hyperv"]}, "unknown option isolation"),
        ({"min-api-version": ["1.23"]}, "invalid minimum API version: 1.23"),
        ({"min-api-version": ["newest"]}, "invalid minimum API version: newest"),
        ({"oom-score-adjust": ["1001"]}, "between -1000 and 1000"),
        ({"hosts": ["http://a"]}, "invalid bind address (http://a): unsupported proto: http"),
        ({"hosts": ["unix:///a", "unix:///a"]}, "the same address is given twice"),
        ({"data-root": [""]}, "data-root must not be empty"),
        ({"data-root": ["/a"], "exec-root": ["/a"]}, "must not be the same directory"),
        ({"group": ["no-such-group"]}, "group no-such-group not found"),
        ({"seccomp-profile": ["/absent.json"]}, "/absent.json is not a file"),
        ({"default-address-pools": ["base=10.0.0.0/16,size=8"]}, "size 8 does not fit"),
        (
            {"default-address-pools": ["base=10.0.0.0/8,size=16", "base=10.1.0.0/16,size=24"]},
            "default address pools overlap",
        ),
    ],
)
def test_a_wrong_flag_says_what_is_wrong(flags, words):
    with pytest.raises(ConfigError) as caught:
        load_config(flags)
    assert words in str(caught.value)


def test_containerds_runtimes_are_refused(tmp_path):
    document = {"runtimes": {"kata": {"runtimeType": "io.containerd.kata.v2"}}}
    assert "give a path" in refusal(tmp_path, document)


@pytest.mark.parametrize("root", ["data-root", "exec-root"])
def test_a_root_with_a_colon_is_refused(root):
    with pytest.raises(ConfigError, match=f"{root}: /var/lib/a:b has a colon"):
        load_config({root: ["/var/lib/a:b"]}, None)


def test_the_only_feature_is_cdi():
    loaded = load_config({"features": ["cdi=false", "buildkit=true"]}, None)
    assert loaded.warnings == (
        "features: buildkit has no effect: the only feature to switch is cdi",
    )


def test_open_tcp_must_be_asked_for_explicitly():
    with pytest.raises(ConfigError, match="--tlsverify, or --tls=false"):
        load_config({"hosts": ["tcp://0.0.0.0:2375"]})
    with pytest.raises(ConfigError, match="--tlsverify"):
        load_config({"hosts": ["tcp://0.0.0.0:2375"], "tls": ["true"]})
    assert load_config({"hosts": ["tcp://0.0.0.0:2375"], "tls": ["false"]}).warnings
    assert load_config({"hosts": ["tcp://127.0.0.1:2375"]}).warnings
    assert not load_config({"hosts": ["tcp://0.0.0.0"], "tlsverify": ["true"]}).warnings


def test_unavailable_directives_are_refused_and_inert_ones_cause_warnings():
    with pytest.raises(ConfigError, match="userns-remap cannot be had"):
        load_config({"userns-remap": ["default"]})
    assert load_config({"live-restore": ["false"]}).warnings == (
        "live-restore has no effect: containers always outlive the engine",
    )
    assert load_config({"live-restore": ["true"]}).warnings == ()


def test_every_field_is_a_directive_with_help_and_flags_are_unique():
    flags = [directive.flag for directive in directives().values() if directive.has_flag]
    assert len(flags) == len(set(flags))
    shorts = [d.option.short for d in directives().values() if d.option.short]
    assert len(shorts) == len(set(shorts))
    assert all(directive.option.help for directive in directives().values())
    assert not any(d.option.inert and d.option.refused for d in directives().values())


def test_the_defaults_pass_their_own_checks():
    assert check(EngineConfig()) == ()


def test_reload_takes_on_only_what_a_running_engine_can():
    old = EngineConfig()
    new = EngineConfig(debug=True, labels=("a=b",), mtu=1400)
    result = reloaded(old, new)
    assert result.debug
    assert result.labels == ("a=b",)
    assert result.mtu == 1500


def test_engines_side_by_side_have_names_of_their_own():
    default, other = EngineConfig(), EngineConfig(data_root="/srv/palan")
    assert (default.bridge_name, default.table_name) == ("palan0", "palan")
    assert default.cgroup_root == "/palan"
    assert other.bridge_name != default.bridge_name
    assert other.table_name != default.table_name
    assert other.cgroup_root != default.cgroup_root
    assert len(other.bridge_name) <= 15
    assert EngineConfig(data_root="/srv/palan/", mtu=1400).instance == other.instance
    assert EngineConfig(bridge="br9", cgroup_parent="/x").bridge_name == "br9"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64", 64),
        ("64b", 64),
        ("1k", 1024),
        ("64M", 64 << 20),
        ("2GiB", 2 << 30),
        ("1 mb", 1 << 20),
    ],
)
def test_sizes(text, size):
    assert parse_size(text) == size


@given(st.text())
def test_a_size_is_a_number_or_an_error(text):
    try:
        assert parse_size(text) >= 0
    except ValueError as error:
        assert "invalid size" in str(error)  # noqa: PT017 - either outcome is right


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("unix:///a/b", Host("unix", path="/a/b")),
        ("tcp://", Host("tcp", address="localhost", port=2375)),
        ("tcp://:", Host("tcp", address="localhost", port=2375)),
        ("tcp://:1234", Host("tcp", address="localhost", port=1234)),
        (":1234", Host("tcp", address="localhost", port=1234)),
        ("0.0.0.0:2375", Host("tcp", address="0.0.0.0", port=2375)),
        ("localhost", Host("tcp", address="localhost", port=2375)),
        ("[::1]:1", Host("tcp", address="::1", port=1)),
        ("tcp://[::1]:1", Host("tcp", address="::1", port=1)),
        ("tcp://example.org", Host("tcp", address="example.org", port=2375)),
        ("fd://", Host("fd")),
        ("fd://*", Host("fd")),
        ("fd://3", Host("fd", path="3")),
    ],
)
def test_hosts(text, host):
    assert parse_host(text) == host


@pytest.mark.parametrize(
    "text",
    ["", "a/b", "unix://a", "tcp://a:b", "tcp://::1:2", "tcp://a:70000", "tcp://a/b", "npipe:///"],
)
def test_bad_hosts(text):
    with pytest.raises(ValueError, match="invalid bind address"):
        parse_host(text)


def test_loopback():
    assert parse_host("tcp://127.0.0.9:1").loopback
    assert parse_host("tcp://[::1]:1").loopback
    assert parse_host("tcp://localhost:1").loopback
    assert parse_host("tcp://:1").loopback
    assert not parse_host("tcp://0.0.0.0:1").loopback
    assert not parse_host("tcp://example.org:1").loopback


@given(st.text())
def test_a_host_is_understood_or_refused(text):
    try:
        parse_host(text)
    except ValueError as error:
        assert "invalid bind address" in str(error)  # noqa: PT017 - either outcome is right


def test_paths_know_all_that_an_engine_makes(tmp_path):
    paths = Paths(tmp_path / "data", tmp_path / "exec")
    paths.prepare()
    paths.database.touch()
    paths.lock.touch()
    paths.exec_lock.touch()
    assert set(paths.data_root.iterdir()) < set(paths.durable)
    assert set(paths.exec_root.iterdir()) < set(paths.volatile)
