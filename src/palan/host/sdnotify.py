"""The two things that systemd and a service tell each other.

A service says that it is ready (sd_notify(3)); systemd hands over sockets that it has
bound already (sd_listen_fds(3)).
"""

import os
import socket
from typing import Final


__all__ = ["keep_to_ourselves", "listen_fds", "sd_notify"]

_FIRST_FD: Final = 3
_NOTIFY_SOCKET: Final = "NOTIFY_SOCKET"
_VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


_kept: dict[str, str] = {}


def keep_to_ourselves() -> None:
    """Take the address of the service manager out of the environment.

    An OCI runtime that finds it believes that its *container* shall say when it is
    ready, and waits for that.
    """
    if _NOTIFY_SOCKET in os.environ:
        _kept[_NOTIFY_SOCKET] = os.environ.pop(_NOTIFY_SOCKET)


def sd_notify(state: str) -> bool:
    """Tell the service manager something.

    Args:
        state: lines such as ``READY=1``, ``STOPPING=1`` or ``STATUS=...``.

    Returns:
        False when nobody wants to know, or nobody listens any more.
    """
    address = os.environ.get(_NOTIFY_SOCKET) or _kept.get(_NOTIFY_SOCKET, "")
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
    """The sockets that were handed to us, as pairs of a name and a descriptor.

    The name is that of the socket unit, or ``unknown``.  The descriptors are closed on
    exec from now on; programs that we start do not learn of them.

    Args:
        keep_environment: leave the variables that tell of them, so that they can be
            asked for again.
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
