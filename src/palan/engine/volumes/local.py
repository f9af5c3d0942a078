"""The driver ``local``: directories of the engine, on which options may mount a device.

The volume's directory is first bind-mounted on itself as a shared mount, and the device is
mounted below it.  Otherwise programs that the engine starts in mount namespaces of their own
would keep the device mounted as long as they run (see :mod:`palan.host.spawn`).
"""

import contextlib
import re
import secrets
import socket
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from palan.api.errors import InvalidParameter
from palan.engine.threads import in_own_thread
from palan.engine.volumes.surroundings import VolumePaths
from palan.host.mounts import (
    ensure_shared,
    is_mount_point,
    mount_with_options,
    unmount,
)


__all__ = ["LocalDriver"]

_NETWORK: Final = ("nfs", "nfs4", "cifs")
_ADDRESS: Final = re.compile(r"(?:^|,)addr=([^,]*)")
_PASSWORD: Final = re.compile(r"(^|,|: )password=[^,]*")


class LocalDriver:
    """Volumes as directories below the data root; options are passed in, it has no state."""

    def __init__(self, paths: VolumePaths) -> None:
        self._paths = paths

    def path(self, name: str) -> Path:
        """Return the directory with the volume's files."""
        return self._paths.volumes / name / "_data"

    def create(self, name: str) -> None:
        """Make the volume's directories, unless they exist."""
        data = self.path(name)
        data.parent.mkdir(mode=0o701, exist_ok=True)
        data.mkdir(mode=0o755, exist_ok=True)

    def is_empty(self, name: str) -> bool:
        """Whether a volume contains no files; the volume must not be mounted."""
        data = self.path(name)
        return not data.is_dir() or not any(data.iterdir())

    def move_to_trash(self, name: str) -> Path:
        """Move a volume's directory to a temporary path, which is returned, to be removed there."""
        self.unmount(name)
        trash = self._paths.tmp / f"volume-{secrets.token_hex(8)}"
        with contextlib.suppress(FileNotFoundError):  # removed by hand
            (self._paths.volumes / name).rename(trash)
        return trash

    def with_options(self, options: Mapping[str, str]) -> "_Mounting":
        """Return the driver for one volume with options that name a device."""
        return _Mounting(self, options)

    def mount(self, name: str, options: Mapping[str, str]) -> None:
        """Mount the device that the options name, unless it is mounted already; blocking.

        Raises:
            InvalidParameter: the device can't be mounted.
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
        """Undo :meth:`mount`; blocking.

        Raises:
            OSError: a process still uses it.
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
        """Mount the device; one mount serves all holders."""
        # In a thread of its own: a server that does not answer takes minutes.
        await in_own_thread(partial(self._local.mount, name, self._options))
        return str(self._local.path(name))

    async def unmount(self, name: str, _holder: str) -> None:
        """Unmount the device, for the last holder."""
        await in_own_thread(partial(self._local.unmount, name))


def _resolved(kind: str, device: str, options: str) -> tuple[str, str]:
    """Return device and options with host names resolved, which the kernel can't do."""
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
