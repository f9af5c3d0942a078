"""What keeps the files of volumes, and how another program does it by Docker's protocol."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from palan.plugins import PluginClient, PluginFailure, PluginRegistry, PluginUnreachable


__all__ = ["Driver", "DriverVolume", "PluginDriver", "PluginDrivers"]

KIND: Final = "VolumeDriver"
_LONG: Final = 120.0
_SHORT: Final = 60.0
"""Seconds that a driver has: the first for what makes or mounts something."""

_ZERO_TIME: Final = "0001-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class DriverVolume:
    """A volume as its driver describes it.

    Attributes:
        name: its name.
        mountpoint: where its files are, if they are anywhere now.
        created_at: RFC 3339.
        status: the driver's own words.
    """

    name: str
    mountpoint: str = ""
    created_at: str = _ZERO_TIME
    status: Mapping[str, Any] = field(default_factory=dict)


class Driver(Protocol):
    """Who mounts volumes."""

    async def mount(self, name: str, holder: str, /) -> str:
        """Mount a volume for somebody; where it is."""

    async def unmount(self, name: str, holder: str, /) -> None:
        """Somebody does not need it any more."""


class PluginDriver:
    """A driver in another program."""

    def __init__(self, client: PluginClient) -> None:
        self.client = client
        self._scope = ""

    async def scope(self) -> str:
        """``local`` or ``global``: whether all machines see the same volumes."""
        if not self._scope:
            try:
                answer = await self._ask("Capabilities", None, _SHORT)
            except PluginUnreachable:
                return "local"
            except PluginFailure:
                answer = {}  # it need not know the question
            capabilities = answer.get("Capabilities") or {}
            said = str(capabilities.get("Scope") or "").lower()
            self._scope = said if said == "global" else "local"
        return self._scope

    async def create(self, name: str, options: Mapping[str, str]) -> None:
        """``VolumeDriver.Create``."""
        await self._ask("Create", {"Name": name, "Opts": dict(options) or None}, _LONG)

    async def remove(self, name: str) -> None:
        """``VolumeDriver.Remove``."""
        await self._ask("Remove", {"Name": name}, _SHORT)

    async def mount(self, name: str, holder: str) -> str:
        """``VolumeDriver.Mount``."""
        answer = await self._ask("Mount", {"Name": name, "ID": holder}, _LONG)
        place = answer.get("Mountpoint")
        if not isinstance(place, str) or not place.startswith("/"):
            raise PluginFailure(f"the driver gave no absolute mount point but {place!r}")
        return place

    async def unmount(self, name: str, holder: str) -> None:
        """``VolumeDriver.Unmount``."""
        await self._ask("Unmount", {"Name": name, "ID": holder}, _SHORT)

    async def find(self, name: str) -> DriverVolume | None:
        """``VolumeDriver.Get``: the volume, or None where the driver says that it has none.

        Raises:
            PluginUnreachable: nobody knows.
        """
        try:
            answer = await self._ask("Get", {"Name": name}, _SHORT)
        except PluginUnreachable:
            raise
        except PluginFailure:
            return None
        found = answer.get("Volume")
        return _volume(found) if isinstance(found, dict) else None

    async def list(self) -> list[DriverVolume]:
        """``VolumeDriver.List``."""
        answer = await self._ask("List", None, _SHORT)
        volumes = answer.get("Volumes") or ()
        return [_volume(found) for found in volumes if isinstance(found, dict)]

    async def _ask(
        self, method: str, arguments: Mapping[str, Any] | None, seconds: float
    ) -> dict[str, Any]:
        return await self.client.call(f"{KIND}.{method}", arguments or {}, timeout=seconds)


def _volume(found: Mapping[str, Any]) -> DriverVolume:
    status = found.get("Status")
    return DriverVolume(
        name=str(found.get("Name") or ""),
        mountpoint=str(found.get("Mountpoint") or ""),
        created_at=str(found.get("CreatedAt") or _ZERO_TIME),
        status=status if isinstance(status, dict) else {},
    )


class PluginDrivers:
    """The drivers in other programs, by name."""

    def __init__(self, registry: PluginRegistry) -> None:
        self._registry = registry
        self._drivers: dict[str, PluginDriver] = {}

    async def get(self, name: str) -> PluginDriver:
        """A driver.

        Raises:
            PluginNotFound: there is none.
            PluginFailure: it can't be reached.
        """
        return self._of(await self._registry.get(name, KIND))

    async def all(self) -> list[PluginDriver]:
        """Those that made themselves known and answer."""
        return [self._of(client) for client in await self._registry.all(KIND)]

    def _of(self, client: PluginClient) -> PluginDriver:
        driver = self._drivers.get(client.name)
        if driver is None or driver.client is not client:
            driver = self._drivers[client.name] = PluginDriver(client)
        return driver
