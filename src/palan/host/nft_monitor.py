"""Monitoring of changes to one nf_tables table by other programs.

A reload of a firewall often flushes all rules. The kernel notifies about each change, so the
table need not be checked periodically.
"""

import os
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from palan.host import _netlink_codec as codec
from palan.host.netlink_notifications import NetlinkNotifications
from palan.host.nft_messages import FAMILIES, NETLINK_NETFILTER


__all__ = ["Batch", "TableMonitor"]

_GROUP_NFTABLES: Final = 1 << 6
_SUBSYSTEM: Final = 10

_NEWTABLE: Final = 0
_DELTABLE: Final = 2
_DELCHAIN: Final = 5
_DELRULE: Final = 8
_DELSET: Final = 11
_DELSETELEM: Final = 14
_NEWGEN: Final = 15

_CHAIN_NAME: Final = 3
_RULE_CHAIN: Final = 2
_SET_NAME: Final = 2
_GEN_PROC_PID: Final = 2


@dataclass(slots=True)
class Batch:
    """The changes of one transaction to the table.

    Attributes:
        made: the table was created.
        deleted: the table or one of its sets was deleted.
        chains: chains that were deleted or lost rules.
        sets: sets and maps that lost elements.
        own: the transaction came from a thread of this process.
        missed: notifications were lost; anything may have changed.
    """

    made: bool = False
    deleted: bool = False
    chains: set[str] = field(default_factory=set)
    sets: set[str] = field(default_factory=set)
    own: bool = False
    missed: bool = False


class TableMonitor(NetlinkNotifications):
    """Receives notifications about one table."""

    def __init__(self, family: str, table: str) -> None:
        super().__init__(NETLINK_NETFILTER, _GROUP_NFTABLES)
        self._family = FAMILIES[family]
        self._table = table.encode()
        self._batch = Batch()

    def read(self) -> list[Batch]:
        """Return the completed transactions that changed the table."""
        found: list[Batch] = []
        for message in self.receive():
            if message is None:
                self._batch.missed = True
            elif message.type >> 8 == _SUBSYSTEM and self._record(message):
                if self._batch != Batch(own=self._batch.own):
                    found.append(self._batch)
                self._batch = Batch()
        return found

    def _record(self, message: codec.Message) -> bool:
        """Record one message; return whether it ends its transaction."""
        kind = message.type & 0xFF
        attributes = codec.parse_attributes(message.body[4:])
        if kind == _NEWGEN:
            if (value := attributes.get(_GEN_PROC_PID)) is not None:
                (task,) = struct.unpack("!I", value)
                self._batch.own = Path(f"/proc/{os.getpid()}/task/{task}").exists()
            return True
        if message.body[0] != self._family or _text(attributes.get(1)) != self._table:
            return False
        if kind == _NEWTABLE:
            self._batch.made = True
        elif kind in (_DELTABLE, _DELSET):
            self._batch.deleted = True
        elif kind in (_DELCHAIN, _DELRULE):
            name = attributes.get(_CHAIN_NAME if kind == _DELCHAIN else _RULE_CHAIN)
            self._batch.chains.add(_text(name).decode(errors="replace"))
        elif kind == _DELSETELEM:
            self._batch.sets.add(_text(attributes.get(_SET_NAME)).decode(errors="replace"))
        return False


def _text(value: memoryview | None) -> bytes:
    return b"" if value is None else bytes(value).rstrip(b"\0")
