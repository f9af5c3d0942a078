"""Options of tmpfs mounts: they are validated, and the last of each kind is kept."""

import re
from collections.abc import Iterable
from typing import Final

from palan.api.containers import TmpfsOptions
from palan.api.errors import InvalidParameter


__all__ = ["TMPFS_DEFAULTS", "merge_tmpfs_options", "tmpfs_options_text"]

TMPFS_DEFAULTS: Final = ("noexec", "nosuid", "nodev", "rprivate")

_PROPAGATION: Final = "propagation"

_KIND: Final = {
    # Flags by kind; the last one of each kind is in force (mount(8)).
    **dict.fromkeys(("ro", "rw"), "write"),
    **dict.fromkeys(("suid", "nosuid"), "suid"),
    **dict.fromkeys(("dev", "nodev"), "dev"),
    **dict.fromkeys(("exec", "noexec"), "exec"),
    **dict.fromkeys(("sync", "async"), "sync"),
    **dict.fromkeys(("mand", "nomand"), "mand"),
    **dict.fromkeys(("atime", "noatime"), "atime"),
    **dict.fromkeys(("diratime", "nodiratime"), "diratime"),
    **dict.fromkeys(("relatime", "norelatime"), "relatime"),
    **dict.fromkeys(("strictatime", "nostrictatime"), "strictatime"),
    "dirsync": "dirsync",
    "remount": "remount",
    **dict.fromkeys(
        (
            *("bind", "rbind", "unbindable", "runbindable", "private", "rprivate"),
            *("shared", "rshared", "slave", "rslave"),
        ),
        _PROPAGATION,
    ),
}

_SIZE: Final = re.compile(r"\d+[kmgtpe]?", re.ASCII | re.IGNORECASE)
_VALUE: Final = {
    # The pattern of each option's value (tmpfs(5)); None for any value.
    "size": re.compile(r"\d+([kmgtpe]|%)?", re.ASCII | re.IGNORECASE),
    "nr_blocks": _SIZE,
    "nr_inodes": _SIZE,
    "mode": re.compile(r"[0-7]{1,5}"),
    "uid": re.compile(r"\d+", re.ASCII),
    "gid": re.compile(r"\d+", re.ASCII),
    "mpol": None,
}


def merge_tmpfs_options(options: Iterable[str]) -> list[str]:
    """Return the last option of each kind, in their order.

    Raises:
        InvalidParameter: an option is not one of tmpfs, in dockerd's words, or its
            value is invalid.
    """
    merged: dict[str, str] = {}
    for option in reversed(list(options)):
        if option == "defaults":
            continue
        name, equals, value = option.partition("=")
        kind = _KIND.get(option)
        if kind is None:
            if not equals or name not in _VALUE:
                raise InvalidParameter(f'invalid tmpfs option "{name}"')
            form = _VALUE[name]
            if form is not None and not form.fullmatch(value):
                raise InvalidParameter(f'invalid value of tmpfs option "{name}": "{value}"')
            kind = name
        merged.setdefault(kind, option)
    return list(reversed(merged.values()))


def tmpfs_options_text(options: TmpfsOptions | None, *, read_only: bool) -> str:
    """Convert ``TmpfsOptions`` of a mount to the short form of ``HostConfig.Tmpfs``.

    Raises:
        InvalidParameter: an option is not allowed; in dockerd's words.
    """
    parts = ["ro"] if read_only else []
    if options is not None:
        if options.mode:
            parts.append(f"mode={options.mode:o}")
        if options.size_bytes:
            parts.append(f"size={_short_size(options.size_bytes)}")
        for option in options.options:
            if not 1 <= len(option) <= 2:
                raise InvalidParameter("invalid option array length")
            if option[0] not in ("exec", "noexec"):
                raise InvalidParameter(f"invalid option: {option[0]}")
            if len(option) > 1:
                raise InvalidParameter(f"invalid option: {option[0]} takes no value")
            parts.append(option[0])
    return ",".join(parts)


def _short_size(size: int) -> str:
    for suffix, unit in (("g", 1 << 30), ("m", 1 << 20), ("k", 1 << 10)):
        if size % unit == 0:
            return f"{size // unit}{suffix}"
    return str(size)
