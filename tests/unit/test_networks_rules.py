from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palan.engine.networks.rules import Publication, add_ports, delete_ports, static_rules


def rules(*, masquerade=True, talk=True):
    return static_rules("t", "br0", "172.17.0.0/16", masquerade=masquerade, talk=talk)


def test_the_table_is_replaced_whole():
    text = rules().strip()
    assert text.startswith("table ip t {}\ndelete table ip t\ntable ip t {")


def test_masquerading_can_be_left_out():
    line = 'ip saddr 172.17.0.0/16 oifname != "br0" masquerade'
    assert line in rules()
    assert line not in rules(masquerade=False)


def test_containers_that_may_not_talk_still_answer_and_reach_published_ports():
    within = 'iifname "br0" oifname "br0"'
    assert f"{within} accept" in rules()
    quiet = rules(talk=False)
    assert f"{within} drop" in quiet
    assert f"{within} accept" not in quiet
    drop = quiet.index(f"{within} drop")
    assert quiet.index(f"{within} ct state established,related accept") < drop
    assert quiet.index(f"{within} ct status dnat accept") < drop


def test_only_what_is_published_is_let_in():
    text = rules()
    closing = text.index('oifname "br0" iifname != "br0" drop')
    assert text.index('oifname "br0" ct status dnat accept') < closing
    assert text.index('oifname "br0" ct state established,related accept') < closing


@pytest.mark.parametrize(
    ("ip", "element"),
    [
        ("0.0.0.0", "add element ip t published { tcp . 8080 : 172.17.0.2 . 80 }"),
        (
            "127.0.0.1",
            "add element ip t published_at { 127.0.0.1 . tcp . 8080 : 172.17.0.2 . 80 }",
        ),
    ],
)
def test_a_port_is_one_element(ip, element):
    port = Publication(ip, 8080, "tcp", "172.17.0.2", 80)
    assert add_ports("t", [port]) == element
    assert delete_ports("t", [port]) == (
        element.replace("add", "delete").replace(" : 172.17.0.2 . 80", "")
    )


PUBLICATIONS = st.lists(
    st.builds(
        Publication,
        st.one_of(st.just("0.0.0.0"), st.ip_addresses(v=4).map(str)),
        st.integers(1, 65535),
        st.sampled_from(["tcp", "udp", "sctp"]),
        st.ip_addresses(v=4).map(str),
        st.integers(1, 65535),
    ),
    max_size=5,
)


@given(PUBLICATIONS)
def test_what_is_added_is_what_is_deleted(ports):
    added = [line.partition(" : ")[0] for line in add_ports("t", ports).splitlines()]
    deleted = [line.removesuffix(" }") for line in delete_ports("t", ports).splitlines()]
    assert [line.replace("add ", "delete ") for line in added] == deleted
    assert len(added) == len(ports)
    for port in ports:
        assert (port.map == "published") is (IPv4Address(port.host_ip) == IPv4Address(0))
