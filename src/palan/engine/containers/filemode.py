"""Modes of files as Go's ``os.FileMode`` has them, which the API uses."""

import stat
from typing import Final


__all__ = ["go_file_mode"]

_KINDS: Final = {
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24,
}
_BITS: Final = ((stat.S_ISUID, 1 << 23), (stat.S_ISGID, 1 << 22), (stat.S_ISVTX, 1 << 20))


def go_file_mode(mode: int) -> int:
    """Convert ``st_mode`` of stat(2): permissions are equal, other bits are elsewhere."""
    extra = sum(theirs for ours, theirs in _BITS if mode & ours)
    return mode & 0o777 | _KINDS.get(stat.S_IFMT(mode), 0) | extra
