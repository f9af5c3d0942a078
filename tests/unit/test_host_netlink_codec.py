"""Encoding and decoding of netlink messages."""

import errno
import ipaddress
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palan.host import _netlink_codec as codec
from palan.host import _netlink_requests as requests
from palan.host.netlink import Netlink


def reply(kind, body, flags=0, sequence=1):
    request = codec.Request(kind, flags, body, "")
    (message,) = codec.decode_messages(codec.encode_message(request, sequence))
    return message


@given(st.dictionaries(st.integers(0, 0x3FFF), st.binary(max_size=40), max_size=8))
def test_attributes_are_decoded_back(values):
    data = b"".join(codec.attribute(kind, value) for kind, value in values.items())
    assert len(data) % 4 == 0
    found = codec.parse_attributes(memoryview(data))
    assert {kind: bytes(value) for kind, value in found.items()} == values


@given(st.lists(st.tuples(st.integers(16, 100), st.binary(max_size=30)), max_size=6))
def test_consecutive_messages_are_decoded_back(given_messages):
    data = b"".join(
        codec.encode_message(codec.Request(kind, codec.NLM_F_ACK, body, ""), number)
        for number, (kind, body) in enumerate(given_messages)
    )
    found = list(codec.decode_messages(data))
    assert [(m.type, bytes(m.body), m.sequence) for m in found] == [
        (kind, body, number) for number, (kind, body) in enumerate(given_messages)
    ]
    assert all(m.flags == codec.NLM_F_ACK | codec.NLM_F_REQUEST for m in found)


@given(st.binary(max_size=64))
def test_any_data_is_decoded_or_raises_value_error(data):
    try:
        for message in codec.decode_messages(data):
            codec.parse_attributes(message.body)
    except ValueError:
        pass


def test_success_is_an_error_of_number_zero():
    message = reply(codec.NLMSG_ERROR, struct.pack("=i", 0) + bytes(16))
    assert codec.decode_acknowledgement(message) == (0, "")


@pytest.mark.parametrize("capped", [True, False])
def test_the_kernels_explanation_is_decoded(capped):
    original = codec.encode_message(codec.Request(16, 0, b"12345678", ""), 1)
    echoed = original[:16] if capped else original
    body = struct.pack("=i", -errno.EINVAL) + echoed + codec.string(1, "No such thing")
    message = reply(codec.NLMSG_ERROR, body, flags=0x200 | (0x100 if capped else 0))
    assert codec.decode_acknowledgement(message) == (errno.EINVAL, "No such thing")


def test_a_link_is_decoded():
    body = struct.pack("=BxHiII", 0, 1, 7, 0x1, 0)
    body += codec.string(3, "veth1") + codec.attribute(1, bytes.fromhex("0242ac110002"))
    body += codec.u32(4, 1400) + codec.u32(10, 3) + codec.u32(5, 8)
    body += codec.nested(18, codec.string(1, "veth"))
    body += codec.attribute(23, struct.pack("=8Q", *range(8)))
    link = codec.decode_link(memoryview(body))
    assert (link.index, link.name, link.kind, link.master, link.peer) == (7, "veth1", "veth", 3, 8)
    assert (link.mac, link.mtu, link.up) == ("02:42:ac:11:00:02", 1400, True)
    assert link.statistics["rx_bytes"] == 2
    assert link.statistics["tx_dropped"] == 7


def test_the_address_of_a_point_to_point_interface_is_the_local_one():
    body = struct.pack("=BBBBi", 2, 32, 0, 0, 4)
    body += codec.attribute(1, bytes([10, 0, 0, 2])) + codec.attribute(2, bytes([10, 0, 0, 1]))
    found = codec.decode_address(memoryview(body))
    assert found.address == ipaddress.ip_interface("10.0.0.1/32")
    assert found.index == 4


def test_a_default_route_has_no_destination_attribute():
    request = requests.add_route("::/0", gateway="fd00::1", index=3, metric=5)
    route = codec.decode_route(memoryview(request.body))
    assert route.destination == ipaddress.ip_network("::/0")
    assert route.gateway == ipaddress.ip_address("fd00::1")
    assert (route.index, route.metric, route.table) == (3, 5, 254)


def test_a_route_in_a_table_above_255_is_decoded_back():
    route = codec.decode_route(memoryview(requests.add_route("10.0.0.0/8", table=1000).body))
    assert route.table == 1000


@pytest.mark.parametrize("mac", ["", "02:42", "02:42:ac:11:00:xx", "0242ac110002", "1:2:3:4:5:678"])
def test_bad_hardware_addresses_are_refused(mac):
    with pytest.raises(ValueError, match=r"MAC|invalid literal"):
        codec.mac_bytes(mac)


@pytest.mark.parametrize("name", ["", "x" * 16])
def test_too_long_interface_names_are_refused(name):
    with pytest.raises(ValueError, match="interface name"):
        requests.add_bridge(name)


def test_a_link_cannot_be_renamed_by_its_name():
    with pytest.raises(ValueError, match="index"):
        requests.set_link("eth0", name="eth1")


def test_one_message_creates_a_whole_veth_pair():
    request = requests.add_veth(
        "v1", "eth0", mac="02:00:00:00:00:01", mtu=1400, master=9, peer_netns=5
    )
    attributes = codec.parse_attributes(memoryview(request.body)[16:])
    information = codec.parse_attributes(attributes[18])
    peer = codec.parse_attributes(information[2])[1]
    inner = codec.parse_attributes(peer[16:])
    assert bytes(attributes[3]) == b"v1\0"
    assert bytes(inner[3]) == b"eth0\0"
    assert struct.unpack("=I", inner[28]) == (5,)
    assert struct.unpack("=I", inner[4]) == struct.unpack("=I", attributes[4]) == (1400,)
    assert request.what == "create veth v1"


def test_loopback_can_be_looked_up_without_privileges():
    with Netlink() as netlink:
        link = netlink.link("lo")
        assert link is not None
        assert netlink.link(link.index) == link or link.statistics
        assert netlink.link("no-such-link") is None
        assert any(entry.name == "lo" for entry in netlink.links())


def test_close_is_idempotent():
    netlink = Netlink()
    netlink.close()
    netlink.close()
