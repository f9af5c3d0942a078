"""Traffic counters of a process's network interfaces (``/proc/<pid>/net/dev``)."""

import os
from typing import Final, NamedTuple


__all__ = ["InterfaceCounters", "interface_counters", "parse_interface_counters"]

_LOOPBACK: Final = b"lo"
_COLUMNS: Final = 12


class InterfaceCounters(NamedTuple):
    """The counters of one interface since it was created."""

    rx_bytes: int
    rx_packets: int
    rx_errors: int
    rx_dropped: int
    tx_bytes: int
    tx_packets: int
    tx_errors: int
    tx_dropped: int


def interface_counters(pid: int) -> dict[str, InterfaceCounters]:
    """Return the counters of all interfaces but the loopback, by name. Blocking.

    Raises:
        OSError: no such process.
    """
    fd = os.open(f"/proc/{pid}/net/dev", os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = b""
        while chunk := os.read(fd, 1 << 16):
            data += chunk
    finally:
        os.close(fd)
    return parse_interface_counters(data)


def parse_interface_counters(data: bytes) -> dict[str, InterfaceCounters]:
    """Parse the file: two lines of headings, then one line per interface."""
    found = {}
    for line in data.splitlines()[2:]:
        name, _, rest = line.partition(b":")
        words = rest.split()
        name = name.strip()
        if name == _LOOPBACK or len(words) < _COLUMNS:
            continue
        numbers = [int(word) for word in words[:_COLUMNS]]
        found[os.fsdecode(name)] = InterfaceCounters(*numbers[:4], *numbers[8:12])
    return found
