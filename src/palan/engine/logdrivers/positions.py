"""Positions in logs: how far the lines of a container were sent to a receiver."""

from typing import Final

import msgspec

from palan.store.documents import Documents


__all__ = ["TABLE", "Position"]


class Position(msgspec.Struct, kw_only=True):
    """The place in a container's log up to which its lines were sent.

    Attributes:
        number: the number of the log file.
        inode: of that file.
        offset: the byte in it from which to read on.
        skip: bytes from there in which lines end that were sent already.
        done: everything was sent, and the container has ended.
    """

    number: int = 0
    inode: int = 0
    offset: int = 0
    skip: int = 0
    done: bool = False


TABLE: Final = Documents("log_positions", Position)
