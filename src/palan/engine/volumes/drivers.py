"""Volume drivers, and those that are plugins: programs that speak Docker's plugin protocol."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from palan.plugins import PluginClient, PluginFailure, PluginRegistry, PluginUnreachable


__all__ = ["Driver", "DriverVolume", "PluginDriver", "PluginDrivers"]

KIND: Final = "VolumeDriver"
_LONG: Final = 120.0
_SHORT: Final = 60.0
"""Timeouts of a driver's answers in seconds: long ones to create or mount a volume."""

_ZERO_TIME: Final = "0001-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class DriverVolume:
    """A volume as its driver describes it.

    Attributes:
        name: the volume's name.
        mountpoint: the path of its files; empty while it is not mounted.
        created_at: RFC 3339.
        status: values that the driver reports, shown by inspect.
    """

    name: str
    mountpoint: str = ""
    created_at: str = _ZERO_TIME
    status: Mapping[str, Any] = field(default_factory=dict)


class Driver(Protocol):
    """A program or module that mounts volumes."""

    async def mount(self, name: str, holder: str, /) -> str:
        """Mount a volume for a holder; return the path of its files."""

    async def unmount(self, name: str, holder: str, /) -> None:
        """Unmount a volume for a holder."""


class PluginDriver:
    """A driver that is a plugin."""

    def __init__(self, client: PluginClient) -> None:
        self.client = client
        self._scope = ""

    async def scope(self) -> str:
        """Return ``local``, or ``global`` if all machines see the same volumes."""
        if not self._scope:
            try:
                answer = await self._ask("Capabilities", None, _SHORT)
            except PluginUnreachable:
                return "local"
            except PluginFailure:
                answer = {}  # the method is optional
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
        """``VolumeDriver.Get``: return the volume, or None where the driver does not have it.

        Raises:
            PluginUnreachable: the driver does not answer.
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
    """The drivers that are plugins, by name."""

    def __init__(self, registry: PluginRegistry) -> None:
        self._registry = registry
        self._drivers: dict[str, PluginDriver] = {}

    async def get(self, name: str) -> PluginDriver:
        """Return the driver of that name.

        Raises:
            PluginNotFound: no such driver.
            PluginFailure: it can't be reached.
        """
        return self._of(await self._registry.get(name, KIND))

    async def all(self) -> list[PluginDriver]:
        """Return all drivers that are registered and answer."""
        return [self._of(client) for client in await self._registry.all(KIND)]

    def _of(self, client: PluginClient) -> PluginDriver:
        driver = self._drivers.get(client.name)
        if driver is None or driver.client is not client:
            driver = self._drivers[client.name] = PluginDriver(client)
        return driver
