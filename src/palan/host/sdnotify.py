"""Service manager protocol: readiness and socket activation.

A service reports its state (sd_notify(3)); systemd passes sockets that it has bound already
(sd_listen_fds(3)).
"""

import os
import socket
from typing import Final


__all__ = ["hide_notify_socket", "listen_fds", "sd_notify"]

_FIRST_FD: Final = 3
_NOTIFY_SOCKET: Final = "NOTIFY_SOCKET"
_VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


_hidden: dict[str, str] = {}


def hide_notify_socket() -> None:
    """Move the service manager's address from the environment into this module.

    An OCI runtime that finds it there assumes that its *container* will report readiness, and
    waits for that.
    """
    if _NOTIFY_SOCKET in os.environ:
        _hidden[_NOTIFY_SOCKET] = os.environ.pop(_NOTIFY_SOCKET)


def sd_notify(state: str) -> bool:
    """Send a state to the service manager.

    Args:
        state: lines such as ``READY=1``, ``STOPPING=1`` or ``STATUS=...``.

    Returns:
        False if there is no service manager, or it does not receive.
    """
    address = os.environ.get(_NOTIFY_SOCKET) or _hidden.get(_NOTIFY_SOCKET, "")
    if not address.startswith(("/", "@")):
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notifier:
        try:
            notifier.sendto(state.encode(), address)
        except OSError:
            return False
    return True


def listen_fds(*, keep_environment: bool = False) -> list[tuple[str, int]]:
    """Return the sockets passed by the service manager, as pairs of name and descriptor.

    The name is that of the socket unit, or ``unknown``. The descriptors are set to close on exec,
    so programs that we start do not inherit them.

    Args:
        keep_environment: keep the variables that announce the sockets, so that they can be read
            again.
    """
    pid, count, names = (os.environ.get(name, "") for name in _VARIABLES)
    found = []
    if pid == str(os.getpid()) and count.isdigit():
        given = names.split(":") if names else []
        for position in range(int(count)):
            fd = _FIRST_FD + position
            os.set_inheritable(fd, False)
            name = given[position] if position < len(given) else ""
            found.append((name or "unknown", fd))
    if not keep_environment:
        for name in _VARIABLES:
            os.environ.pop(name, None)
    return found
