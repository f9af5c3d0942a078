"""Parsing of the kernel's conntrack flows."""

import socket
import struct

import pytest

from palan.host import _netlink_codec as codec
from palan.host.conntrack import decode_flow


def ends(kind, source, destination, protocol, ports):
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    first = 3 if ":" in source else 1
    proto = [codec.u8(1, protocol)]
    if ports:
        proto += [
            codec.attribute(n, struct.pack("!H", p)) for n, p in zip((2, 3), ports, strict=True)
        ]
    return codec.nested(
        kind,
        codec.nested(
            1,
            codec.attribute(first, socket.inet_pton(family, source)),
            codec.attribute(first + 1, socket.inet_pton(family, destination)),
        ),
        codec.nested(2, *proto),
    )


def decoded(attributes):
    flow = decode_flow(memoryview(bytes(4) + attributes))
    assert flow is not None
    return flow


@pytest.mark.parametrize(
    ("client", "host", "container"),
    [("192.0.2.9", "192.0.2.1", "172.18.0.2"), ("fd01::9", "fd01::1", "fd00::2")],
)
def test_a_translated_flow(client, host, container):
    there = ends(1, client, host, 17, (4000, 53))
    back = ends(2, container, client, 17, (53, 4000))
    number = codec.attribute(12, b"\0\0\0\7")
    flow = decoded(there + back + number)
    assert (flow.protocol, flow.source, flow.destination, flow.port) == (17, client, host, 53)
    assert flow.reply_source == container
    assert flow.translated
    assert flow.key == there + number


def test_a_flow_without_translation():
    there = ends(1, "192.0.2.9", "192.0.2.1", 17, (4000, 53))
    back = ends(2, "192.0.2.1", "192.0.2.9", 17, (53, 4000))
    assert not decoded(there + back).translated


def test_flows_without_ports_are_ignored():
    there = ends(1, "192.0.2.9", "192.0.2.1", 1, ())
    back = ends(2, "192.0.2.1", "192.0.2.9", 1, ())
    assert decode_flow(memoryview(bytes(4) + there + back)) is None
    assert decode_flow(memoryview(bytes(4))) is None
