"""Validation of new networks: subnets, ranges, addresses, options of drivers."""

import contextlib
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palan.api.errors import InvalidParameter
from palan.api.networks import IPAMConfig
from palan.engine.networks.endpoint_records import EndpointRecord
from palan.engine.networks.interfaces import asked_sysctls
from palan.engine.networks.options import bridge_options
from palan.engine.networks.validate_endpoint import SYSCTLS
from palan.engine.networks.validate_ipam import check_ipam


BRIDGE = "com.docker.network.bridge."


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"subnet": "bogus"}, "invalid JSON: netip.ParsePrefix(\"bogus\"): no '/'"),
        ({"subnet": "10.231.9.7/24"}, "invalid subnet 10.231.9.7/24: it should be 10.231.9.0/24"),
        (
            {"subnet": "10.231.9.0/24", "gateway": "10.231.8.1"},
            "invalid gateway 10.231.8.1: parent subnet 10.231.9.0/24 doesn't contain this address",
        ),
        (
            {"subnet": "10.231.9.0/24", "gateway": "fd00::1"},
            "invalid gateway fd00::1: parent subnet is an IPv4 block",
        ),
        (
            {"subnet": "10.231.9.0/24", "ip_range": "10.231.8.0/25"},
            "invalid ip-range 10.231.8.0/25: parent subnet 10.231.9.0/24 doesn't contain ip-range",
        ),
        (
            {"subnet": "10.231.9.0/24", "ip_range": "10.231.8.0/23"},
            (
                "invalid ip-range 10.231.8.0/23: CIDR block is bigger than its parent subnet"
                " 10.231.9.0/24"
            ),
        ),
        (
            {"subnet": "10.231.9.0/24", "auxiliary_addresses": {"a": "10.231.8.9"}},
            "invalid auxiliary address a: parent subnet 10.231.9.0/24 doesn't contain this address",
        ),
        (
            {"gateway": "10.231.9.1"},
            "invalid gateway 10.231.9.1: parent subnet invalid Prefix doesn't contain this address",
        ),
        ({"subnet": 'fe80::%"x/64'}, "IPv6 zones cannot be present in a prefix"),
        (
            {"subnet": "fe80::/64", "gateway": "fe80::1%eth0"},
            "parent subnet fe80::/64 doesn't contain this address",
        ),
        ({"subnet": "10.0.0.0/33"}, "prefix length out of range"),
        ({"subnet": "10.0.0.0/08"}, 'bad bits after slash: "08"'),
    ],
)
def test_mistakes_are_reported_in_dockerds_words(config, words):
    with pytest.raises(InvalidParameter) as refused:
        check_ipam([IPAMConfig(**config)], enable_ipv6=True)
    assert words in refused.value.message


def test_all_mistakes_are_reported_together():
    config = IPAMConfig(subnet="10.0.0.1/24", gateway="10.1.0.1")
    with pytest.raises(InvalidParameter) as refused:
        check_ipam([config], enable_ipv6=False)
    assert refused.value.message == (
        "invalid network config:\n* invalid subnet 10.0.0.1/24: it should be 10.0.0.0/24\n"
        "* invalid gateway 10.1.0.1: parent subnet 10.0.0.0/24 doesn't contain this address"
    )


def test_ipv6_subnets_do_not_count_where_there_is_no_ipv6():
    check_ipam([IPAMConfig(subnet="fd00::1/64")], enable_ipv6=False)


@given(
    st.builds(
        IPAMConfig,
        subnet=st.text(max_size=20) | st.ip_addresses().map(lambda a: f"{a}/24"),
        ip_range=st.text(max_size=20) | st.just(""),
        gateway=st.text(max_size=20) | st.ip_addresses().map(str),
    )
)
def test_validated_configurations_can_be_used(config):
    with contextlib.suppress(InvalidParameter):
        check_ipam([config], enable_ipv6=True)
        if config.subnet:
            assert str(ip_network(config.subnet)) == config.subnet


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"com.docker.network.driver.mtu": "big"},
            (
                "failed to parse com.docker.network.driver.mtu value: big (strconv.Atoi: parsing"
                ' "big": invalid syntax)'
            ),
        ),
        ({"com.docker.network.driver.mtu": "-1"}, "invalid MTU number: -1"),
        ({f"{BRIDGE}enable_icc": "maybe"}, 'strconv.ParseBool: parsing "maybe"'),
        ({f"{BRIDGE}gateway_mode_ipv4": "odd"}, "unknown gateway mode odd"),
        ({f"{BRIDGE}host_binding_ipv4": "odd"}, "(nil ip)"),
        ({f"{BRIDGE}name": "far-too-long-for-a-name"}, "invalid interface name"),
        ({f"{BRIDGE}name": 'a"b'}, "invalid interface name"),
        ({f"{BRIDGE}name": "br%d"}, "invalid interface name"),
        ({f"{BRIDGE}name": "all"}, "invalid interface name"),
        ({f"{BRIDGE}trusted_host_interfaces": 'eth0:lo" } accept'}, "invalid interface name"),
        ({f"{BRIDGE}trusted_host_interfaces": "eth*"}, "invalid interface name"),
        ({"com.docker.network.container_iface_prefix": "a b"}, "container_iface_prefix value: a b"),
        ({"com.docker.network.container_iface_prefix": "p" * 15}, "at most 15 bytes"),
        ({"com.docker.network.host_ipv6": 'fe80::1%lo" accept'}, "(nil ip)"),
        ({f"{BRIDGE}gateway_mode_ipv6": "isolated"}, "can only be used for an internal network"),
    ],
)
def test_options_that_can_not_be_read_are_refused(options, words):
    with pytest.raises(InvalidParameter) as refused:
        bridge_options(options)
    assert words in refused.value.message


def test_options_have_dockers_defaults_and_unknown_ones_are_ignored():
    options = bridge_options({"com.example.unknown": "1"})
    assert options.icc
    assert options.masquerade
    assert not options.inhibit_ipv4
    assert (options.mtu, options.prefix, options.gateway_mode_ipv4) == (0, "eth", "nat")
    given_ = bridge_options({f"{BRIDGE}trusted_host_interfaces": "eth0:eth1", f"{BRIDGE}name": "b"})
    assert given_.trusted_interfaces == ("eth0", "eth1")
    assert given_.name == "b"


@given(st.dictionaries(st.sampled_from([
    f"{BRIDGE}enable_icc", f"{BRIDGE}gateway_mode_ipv4", f"{BRIDGE}name",
    "com.docker.network.driver.mtu", "com.docker.network.container_iface_prefix",
]), st.text(max_size=8)))  # fmt: skip
def test_options_are_read_or_refused_but_never_break_anything(options):
    with contextlib.suppress(InvalidParameter):
        assert 0 <= bridge_options(options).mtu <= 65535


def endpoint_with(sysctls: str) -> EndpointRecord:
    return EndpointRecord(
        id="e", network="n", network_name="n", interface="eth0", options={SYSCTLS: sysctls}
    )


def test_sysctls_of_an_interface_lead_to_its_own_files():
    found = asked_sysctls(endpoint_with("net.ipv4.conf.IFNAME.log_martians=1"))
    assert found == {"net/ipv4/conf/eth0/log_martians": "1"}


@pytest.mark.parametrize(
    ("sysctl", "words"),
    [
        ("net.ipv4.conf.IFNAME.log_martians", "to have format name=value"),
        ("net.ipv4.conf.IFNAME./../../../../kernel/core_pattern=x", "net.X.Y.IFNAME.Z"),
        ("net.ipv4.conf.IFNAME.a.b=x", "net.X.Y.IFNAME.Z"),
    ],
)
def test_other_sysctls_are_refused(sysctl, words):
    with pytest.raises(InvalidParameter, match=words):
        asked_sysctls(endpoint_with(sysctl))
