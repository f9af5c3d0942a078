"""Device nodes of a container and the rules of its devices cgroup.

Every OCI runtime creates the standard nodes (null, zero, full, random, urandom, tty, console,
ptmx) by itself; this module has the rules about them, and adds further nodes.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from palan.api.errors import InvalidParameter


__all__ = [
    "DEFAULT_RULES",
    "DeviceNode",
    "check_permissions",
    "device_nodes",
    "device_rules",
    "parse_cgroup_rule",
]

ACCESS: Final = "rwm"

_RULE: Final = re.compile(r"([acb]) (\d{1,10}|\*):(\d{1,10}|\*) ([rwm]{1,3})", re.ASCII)
_PRIVATE_DEV: Final = ("/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/fd", "/dev/console")  # noqa: S108 - not temporary files
"""Paths of a privileged container's own devices, for which the host's are not used."""


@dataclass(frozen=True, slots=True)
class DeviceNode:
    """A device of the host, to be created in the container.

    Attributes:
        path: its path in the container.
        kind: ``c``, ``b`` or ``p`` (a named pipe), as in OCI.
        major: major number.
        minor: minor number.
        mode: permission bits.
        uid: user id of the owner.
        gid: group id.
        permissions: letters of ``rwm`` for the cgroup; empty for all of them.
        host_path: its path on the host.
    """

    path: str
    kind: str
    major: int
    minor: int
    mode: int = 0o666
    uid: int = 0
    gid: int = 0
    permissions: str = ACCESS
    host_path: str = ""


def _rule(
    kind: str, major: int | None, minor: int | None, access: str = ACCESS, *, allow: bool = True
) -> dict[str, Any]:
    rule: dict[str, Any] = {"allow": allow, "access": access}
    if kind:
        rule["type"] = kind
    if major is not None:
        rule["major"] = major
    if minor is not None:
        rule["minor"] = minor
    return rule


DEFAULT_RULES: Final = (
    _rule("", None, None, allow=False),
    *(_rule("c", *numbers) for numbers in ((1, 5), (1, 3), (1, 9), (1, 8), (5, 0), (5, 1))),
    _rule("c", 10, 229, allow=False),
)
"""Only zero, null, urandom, random, tty and console are allowed; some runtimes allow fuse."""


def check_permissions(text: str) -> None:
    """Check cgroup permissions: letters of ``rwm``, each at most once.

    Raises:
        InvalidParameter: they are malformed.
    """
    if not set(text) <= set(ACCESS) or len(set(text)) != len(text):
        raise InvalidParameter(f"invalid device mode: {text}")


def parse_cgroup_rule(text: str) -> dict[str, Any]:
    """Parse one of ``DeviceCgroupRules``, such as ``c 13:* rwm``.

    Raises:
        InvalidParameter: it is malformed; in dockerd's words.
    """
    match = _RULE.fullmatch(text)
    if not match:
        raise InvalidParameter(f"invalid device cgroup rule format: '{text}'")
    kind, major, minor, access = match.groups()
    # An absent number means all for every runtime; -1 does not.
    numbers = [None if part == "*" else int(part) for part in (major, minor)]
    if any(number is not None and number >= 1 << 32 for number in numbers):
        raise InvalidParameter(f"invalid major value in device cgroup rule format: '{text}'")
    return _rule(kind, numbers[0], numbers[1], access)


def device_nodes(
    asked: Iterable[DeviceNode], host: Iterable[DeviceNode] = (), *, privileged: bool = False
) -> list[dict[str, Any]]:
    """Return ``linux.devices`` of a runtime spec.

    Args:
        asked: the devices of ``HostConfig.Devices``, with those of a directory one by one.
        host: all devices of the host, for a privileged container.
        privileged: whether the container gets the host's devices.
    """
    nodes: dict[str, DeviceNode] = {}
    if privileged:
        nodes = {
            node.path: node
            for node in host
            if not node.path.startswith(tuple(f"{path}/" for path in _PRIVATE_DEV))
            and node.path not in _PRIVATE_DEV
        }
    nodes |= {node.path: node for node in asked}
    return [
        {
            "path": node.path,
            "type": node.kind,
            "major": node.major,
            "minor": node.minor,
            "fileMode": node.mode & 0o7777,
            "uid": node.uid,
            "gid": node.gid,
        }
        for node in nodes.values()
    ]


def device_rules(
    asked: Iterable[DeviceNode], rules: Iterable[str] | None, *, privileged: bool = False
) -> list[dict[str, Any]]:
    """Return ``linux.resources.devices`` of a runtime spec; the last rule that matches decides.

    Raises:
        InvalidParameter: a rule or permissions are malformed.
    """
    if privileged:
        return [_rule("", None, None)]
    result = list(DEFAULT_RULES)
    for node in asked:
        check_permissions(node.permissions)
        if node.kind in ("b", "c"):
            access = node.permissions or ACCESS
            result.append(_rule(node.kind, node.major, node.minor, access))
    result += (parse_cgroup_rule(rule) for rule in rules or ())
    return result
