"""Names of network interfaces: those that the kernel takes, and those that rules can hold.

Firewall rules are texts, in which some characters have a meaning: a quote ends a name, and ``*``
(nft) or ``+`` (iptables) at its end makes it a wildcard.
"""

import re
from typing import Final


__all__ = ["interface_problem", "rule_interface_problem"]

_LONGEST: Final = 15
_RESERVED: Final = frozenset((".", "..", "all", "default"))
"""Names of directories, and of the directories of sysctls that hold for all interfaces."""
_IN_RULES: Final = re.compile(r"[\w.@=~,^#][\w.@=~,^#+-]*(?<!\+)")


def interface_problem(name: str) -> str:
    """Return the reason why an interface can't have this name; empty if it can."""
    if name in _RESERVED:
        return f"invalid interface name {name!r}: it is reserved"
    # The kernel takes % as the beginning of a format.
    if any(c in "/:%" or c.isspace() or not c.isprintable() for c in name) or (
        len(name.encode()) > _LONGEST
    ):
        return f"invalid interface name {name!r}: at most {_LONGEST} bytes, no /, :, % or space"
    return ""


def rule_interface_problem(name: str) -> str:
    """Return the reason why firewall rules can't be about an interface; empty if they can."""
    if problem := interface_problem(name):
        return problem
    if not _IN_RULES.fullmatch(name):
        return (
            f"invalid interface name {name!r}: only letters, digits and . _ - @ = ~ , ^ # + can be"
            " in it; it can't begin with - or end with +"
        )
    return ""
