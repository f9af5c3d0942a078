from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palan.api.errors import Forbidden, InvalidParameter
from palan.engine.networks.ipam import (
    DEFAULT_POOLS,
    AddressPool,
    Exhausted,
    IPAddress,
    IPNetwork,
    choose_subnet,
    private_pool,
)


def make_pool(subnet: str, part: str = "", gateway: str = "") -> AddressPool:
    pool = AddressPool(ip_network(subnet), ip_network(part) if part else None)
    pool.reserve_fixed(gateway, wants_gateway=True, auxiliary={})
    return pool


def test_addresses_are_handed_out_in_turn_and_not_reused_at_once():
    pool = make_pool("172.17.0.0/16")
    assert str(pool.gateway) == "172.17.0.1/16"
    first, second = pool.allocate(), pool.allocate()
    assert (str(first), str(second)) == ("172.17.0.2", "172.17.0.3")
    pool.release(first)
    assert str(pool.allocate()) == "172.17.0.4"


def test_an_exhausted_pool_says_so_and_recovers():
    pool = make_pool("10.0.0.0/29")
    given_out = [pool.allocate() for _ in range(5)]
    assert pool.available == 0
    with pytest.raises(Exhausted):
        pool.allocate()
    pool.release(given_out[2])
    assert pool.available == 1
    assert pool.allocate() == given_out[2]


def test_the_networks_own_addresses_are_never_released():
    pool = make_pool("10.0.0.0/29")
    for address in ("10.0.0.0", "10.0.0.1", "10.0.0.7"):
        pool.release(ip_address(address))
    assert [str(pool.allocate()) for _ in range(5)] == [f"10.0.0.{n}" for n in range(2, 7)]


@pytest.mark.parametrize(
    ("gateway", "auxiliary"),
    [
        ("", {"a": "10.0.0.1"}),
        ("10.0.0.9", {"a": "10.0.0.9"}),
        ("", {"b": "10.0.0.2", "a": "10.0.0.2"}),
        ("", {"a": "10.0.0.255"}),
    ],
)
def test_an_auxiliary_address_is_reserved(gateway, auxiliary):
    pool = AddressPool(IPv4Network("10.0.0.0/24"))
    with pytest.raises(InvalidParameter, match=r"\(a:10.0.0.\d+\): Address already"):
        pool.reserve_fixed(gateway, wants_gateway=True, auxiliary=auxiliary)


def test_claiming_twice_or_elsewhere_is_refused():
    pool = make_pool("10.0.0.0/24")
    pool.claim(IPv4Address("10.0.0.9"))
    with pytest.raises(Forbidden, match="already in use"):
        pool.claim(IPv4Address("10.0.0.9"))
    with pytest.raises(InvalidParameter, match="out of range"):
        pool.claim(IPv4Address("10.0.1.9"))


def test_a_range_limits_what_is_handed_out_but_not_what_is_claimed():
    pool = make_pool("10.0.0.0/24", "10.0.0.64/30", "10.0.0.1")
    assert [str(pool.allocate()) for _ in range(4)] == [
        "10.0.0.64", "10.0.0.65", "10.0.0.66", "10.0.0.67",
    ]  # fmt: skip
    pool.claim(IPv4Address("10.0.0.200"))


def test_status_is_as_recorded_from_dockerd():
    pool = AddressPool(ip_network("10.231.1.0/24"), ip_network("10.231.1.128/25"))
    pool.reserve_fixed("10.231.1.1", wants_gateway=True, auxiliary={"spare": "10.231.1.200"})
    assert (pool.taken, pool.available) == (4, 126)
    six = make_pool("fd00:231:3::/64")
    assert (six.taken, six.available) == (2, 18446744073709551614)
    macvlan = AddressPool(ip_network("10.231.6.0/24"))
    macvlan.reserve_fixed("", wants_gateway=False, auxiliary={})
    assert (macvlan.taken, macvlan.available, macvlan.gateway) == (2, 254, None)


@given(
    st.sampled_from(["10.0.0.0/27", "fd00::/123", "10.0.0.0/31", "10.0.0.4/32"]),
    st.lists(st.integers(min_value=0, max_value=40), max_size=60),
)
def test_no_address_has_two_owners(subnet: str, steps: list[int]):
    pool = AddressPool(ip_network(subnet))
    owned: list[IPAddress] = []
    for step in steps:
        before = pool.available
        if step < len(owned):
            pool.release(owned.pop(step))
            assert pool.available == before + 1
            continue
        try:
            address = pool.allocate()
        except Exhausted:
            assert before == 0
            continue
        assert before == pool.available + 1
        assert address not in owned
        assert address in pool.subnet
        owned.append(address)
    assert pool.taken == len(owned) + len(pool.fixed)


def test_a_subnet_is_chosen_that_the_host_does_not_know():
    assert str(choose_subnet(DEFAULT_POOLS, [])) == "172.17.0.0/16"
    taken = [IPv4Network("172.16.0.0/12")]
    assert str(choose_subnet(DEFAULT_POOLS, taken)) == "192.168.0.0/20"
    with pytest.raises(InvalidParameter, match="fully subnetted"):
        choose_subnet(DEFAULT_POOLS, [IPv4Network("0.0.0.0/0")])


def test_pools_do_not_run_out_at_31_networks():
    taken: list[IPNetwork] = []
    for _ in range(500):
        taken.append(choose_subnet(DEFAULT_POOLS, taken))
    assert len(set(taken)) == 500
    assert str(taken[31]) == "10.0.0.0/20"


def test_a_prefix_can_be_asked_for():
    assert str(choose_subnet(DEFAULT_POOLS, [], prefix=24)) == "172.17.0.0/24"
    with pytest.raises(InvalidParameter, match="invalid address pool"):
        choose_subnet(DEFAULT_POOLS, [], prefix=4)


def test_each_engine_has_ipv6_subnets_of_its_own():
    base, size = private_pool("one")
    assert base != private_pool("other")[0]
    assert base.subnet_of(ip_network("fd00::/8"))  # type: ignore[arg-type]
    chosen = choose_subnet([(base, size)], [], version=6)
    assert isinstance(chosen, IPv6Network)
    assert chosen.prefixlen == 64


SUBNETS = st.builds(
    lambda base, prefix: ip_network((base, prefix), strict=False),
    st.integers(min_value=int(IPv4Address("10.0.0.0")), max_value=int(IPv4Address("10.0.63.255"))),
    st.integers(min_value=18, max_value=32),
)


@given(st.lists(SUBNETS, max_size=12), st.integers(min_value=20, max_value=28))
def test_a_chosen_subnet_overlaps_with_nothing_and_is_the_first(taken: list[IPNetwork], size: int):
    base = IPv4Network("10.0.0.0/18")
    free = [n for n in base.subnets(new_prefix=size) if not any(n.overlaps(t) for t in taken)]
    if free:
        assert choose_subnet([(base, size)], taken) == free[0]
    else:
        with pytest.raises(InvalidParameter):
            choose_subnet([(base, size)], taken)
