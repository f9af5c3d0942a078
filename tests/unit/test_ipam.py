from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palan.api.errors import Forbidden, InternalError
from palan.engine.networks.ipam import AddressPool, choose_subnet


def test_addresses_are_handed_out_in_turn_and_not_reused_at_once():
    pool = AddressPool(IPv4Interface("172.17.0.1/16"))
    first, second = pool.allocate(), pool.allocate()
    assert (str(first), str(second)) == ("172.17.0.2", "172.17.0.3")
    pool.release(first)
    assert str(pool.allocate()) == "172.17.0.4"


def test_an_exhausted_pool_says_so_and_recovers():
    pool = AddressPool(IPv4Interface("10.0.0.1/29"))
    given_out = [pool.allocate() for _ in range(5)]
    with pytest.raises(InternalError, match="no available IPv4 addresses"):
        pool.allocate()
    pool.release(given_out[2])
    assert pool.allocate() == given_out[2]


def test_the_gateway_is_never_given_back():
    pool = AddressPool(IPv4Interface("10.0.0.1/30"))
    pool.release(IPv4Address("10.0.0.1"))
    assert str(pool.allocate()) == "10.0.0.2"


def test_claiming_twice_is_refused():
    pool = AddressPool(IPv4Interface("10.0.0.1/24"))
    pool.claim(IPv4Address("10.0.0.9"))
    with pytest.raises(Forbidden, match="already in use"):
        pool.claim(IPv4Address("10.0.0.9"))


def test_a_fixed_range_limits_what_is_handed_out():
    pool = AddressPool(IPv4Interface("10.0.0.1/24"), IPv4Network("10.0.0.64/30"))
    assert [str(pool.allocate()) for _ in range(4)] == [
        "10.0.0.64", "10.0.0.65", "10.0.0.66", "10.0.0.67",
    ]  # fmt: skip


@given(st.lists(st.integers(min_value=0, max_value=30), max_size=60))
def test_no_address_has_two_owners(releases: list[int]):
    pool = AddressPool(IPv4Interface("10.0.0.1/27"))
    owned: list[IPv4Address] = []
    for step in releases:
        if step < len(owned):
            pool.release(owned.pop(step))
        else:
            try:
                address = pool.allocate()
            except InternalError:
                assert len(owned) == 29
                continue
            assert address not in owned
            assert address in IPv4Network("10.0.0.0/27")
            owned.append(address)


def test_a_subnet_is_chosen_that_the_host_does_not_know():
    assert str(choose_subnet([])) == "172.17.0.0/16"
    taken = [IPv4Network("172.16.0.0/12")]
    assert str(choose_subnet(taken)) == "192.168.0.0/20"
    with pytest.raises(InternalError, match="non-overlapping"):
        choose_subnet([IPv4Network("0.0.0.0/0")])
