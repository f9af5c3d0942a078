"""The driver ``local``: directories of the engine, with something mounted there if asked for.

What is mounted on a volume's directory lies below a mount of that directory on itself
that is shared: programs which the engine starts in a namespace of their own would else
keep it mounted for as long as they live (see :mod:`palan.host.spawn`).
"""

import contextlib
import re
import secrets
import socket
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from palan.api.errors import InvalidParameter
from palan.engine.threads import in_own_thread
from palan.host.mounts import (
    ensure_shared,
    is_mount_point,
    mount_with_options,
    unmount,
)


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["LocalDriver"]

_NETWORK: Final = ("nfs", "nfs4", "cifs")
_ADDRESS: Final = re.compile(r"(?:^|,)addr=([^,]*)")
_PASSWORD: Final = re.compile(r"(^|,|: )password=[^,]*")


class LocalDriver:
    """Directories below the data root.  It is told the options each time: it keeps nothing."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine

    def path(self, name: str) -> Path:
        """The directory with the volume's files."""
        return self._engine.paths.volumes / name / "_data"

    def create(self, name: str) -> None:
        """Make the directories; those that are there are well."""
        data = self.path(name)
        data.parent.mkdir(mode=0o701, exist_ok=True)
        data.mkdir(mode=0o755, exist_ok=True)

    def set_aside(self, name: str) -> Path:
        """Take a volume's directory out of the way, to be deleted where it is then."""
        self.unmount(name)
        trash = self._engine.paths.tmp / f"volume-{secrets.token_hex(8)}"
        with contextlib.suppress(FileNotFoundError):  # somebody else removed it
            (self._engine.paths.volumes / name).rename(trash)
        return trash

    def with_options(self, options: Mapping[str, str]) -> "_Mounting":
        """The driver for one volume, whose options say what is to be mounted."""
        return _Mounting(self, options)

    def mount(self, name: str, options: Mapping[str, str]) -> None:
        """Mount what the options name, unless it is mounted already; blocking.

        Raises:
            InvalidParameter: it can't be mounted.
        """
        self.create(name)
        data = self.path(name)
        if is_mount_point(data):
            return
        kind, device, text = options["type"], options["device"], options.get("o", "")
        try:
            if kind in _NETWORK:
                device, text = _resolved(kind, device, text)
            ensure_shared(data.parent)
            mount_with_options(device, data, kind, text)
        except OSError as error:
            self.unmount(name)
            shown = _PASSWORD.sub(r"\1password=********", text)
            why = (error.strerror or str(error)).lower()
            raise InvalidParameter(
                f"failed to mount local volume: mount {device}:{data}, data: {shown}: {why}"
            ) from None

    def unmount(self, name: str) -> None:
        """Undo that; blocking.

        Raises:
            OSError: somebody still uses it.
        """
        data = self.path(name)
        while unmount(data):
            pass
        while unmount(data.parent, lazy=True):
            pass


class _Mounting:
    """The driver for one volume with options."""

    def __init__(self, local: LocalDriver, options: Mapping[str, str]) -> None:
        self._local = local
        self._options = options

    async def mount(self, name: str, _holder: str) -> str:
        """Mount it for all who need it."""
        # In a thread of its own: a server that does not answer takes minutes.
        await in_own_thread(partial(self._local.mount, name, self._options))
        return str(self._local.path(name))

    async def unmount(self, name: str, _holder: str) -> None:
        """Nobody needs it any more."""
        await in_own_thread(partial(self._local.unmount, name))


def _resolved(kind: str, device: str, options: str) -> tuple[str, str]:
    """Device and options with addresses in the place of names: the kernel knows no names."""
    found = _ADDRESS.search(options)
    if found:
        address = _address_of(found[1])
        return device, f"{options[: found.start(1)]}{address}{options[found.end(1) :]}"
    if kind != "cifs":
        return device, options
    host = urlsplit(device).hostname
    if not host:
        return device, options
    return unquote(device.replace(host, _address_of(host), 1)), options


def _address_of(host: str) -> str:
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)[0][4][0])
    except socket.gaierror as error:
        raise OSError(
            error.errno, f"error resolving passed in network volume address: {host}"
        ) from None
