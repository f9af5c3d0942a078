"""The packets that announce addresses."""

import struct
from ipaddress import ip_address

from palan.host.announce import announcement


MAC = "02:00:00:00:00:22"
OWN = bytes.fromhex(MAC.replace(":", ""))


def test_an_arp_announcement_is_a_broadcast_for_its_own_address():
    frame = announcement(ip_address("10.0.0.5"), MAC)
    assert frame[:14] == b"\xff" * 6 + OWN + b"\x08\x06"
    assert frame[14:22] == b"\0\1\x08\0\6\4\0\1"
    assert frame[22:] == OWN + b"\n\0\0\5" + bytes(6) + b"\n\0\0\5"


def test_a_neighbor_advertisement_overrides_and_has_a_checksum():
    address = ip_address("fd00::5")
    frame = announcement(address, MAC)
    assert frame[:14] == b"\x33\x33\0\0\0\1" + OWN + b"\x86\xdd"
    header, icmp = frame[14:54], frame[54:]
    assert struct.unpack("!HBB", header[4:8]) == (len(icmp), 58, 255)
    assert header[8:24] == address.packed
    assert icmp[:2] == b"\x88\0"
    assert icmp[4] == 0x20
    assert icmp[8:24] == address.packed
    assert icmp[24:] == b"\2\1" + OWN
    # Including its checksum, the packet's sum is all ones (RFC 1071).
    pseudo = header[8:40] + struct.pack("!II", len(icmp), 58)
    words = struct.unpack(f"!{(len(pseudo) + len(icmp)) // 2}H", pseudo + icmp)
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    assert total == 0xFFFF
