# Made of _async/calls/volumes.py by scripts/client_sync.py: change that, and run this.
# Made by scripts/client_calls.py of palan/api/volumes.py: change that.
"""Volumes: a method for each endpoint of the group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palan.client._limits import CLIENT, Limit


if TYPE_CHECKING:
    from palan.api._cluster_volume import ClusterVolumeSpec
    from palan.api.volumes import Volume, VolumeListResponse, VolumePruneResponse
    from palan.client._request import Filters
    from palan.client._sync.client import Client

__all__ = ["VolumesCalls"]


class VolumesCalls:
    """Volumes that hold the files of containers."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def list(
        self, *, filters: Filters | None = None, timeout: Limit = CLIENT
    ) -> VolumeListResponse:
        """List volumes.

        Filters: dangling, driver, label, name.

        Endpoint: ``GET /volumes``.

        Args:
            filters: Docker's ``filters``.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            The volumes, and the drivers that could not be asked.
        """
        answer: VolumeListResponse = self._client.calling.call(
            "volumes.list", {"filters": filters}, timeout
        )
        return answer

    def create(
        self,
        *,
        name: str = "",
        driver: str = "",
        driver_opts: dict[str, str] | None = None,
        labels: dict[str, str] | None = None,
        cluster_volume_spec: ClusterVolumeSpec | None = None,
        timeout: Limit = CLIENT,
    ) -> Volume:
        """Create a volume, or answer the one of that name.

        Endpoint: ``POST /volumes/create``.

        Args:
            name: empty for an anonymous one.
            driver: empty for ``local``.
            driver_opts: Docker's ``DriverOpts``.
            labels: Docker's ``Labels``.
            cluster_volume_spec: Docker's ``ClusterVolumeSpec``.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            A volume.

        Raises:
            NotFound: there is no such object.
            Conflict: it is in a state that forbids this.
        """
        answer: Volume = self._client.calling.call(
            "volumes.create",
            {
                "name": name,
                "driver": driver,
                "driver_opts": driver_opts,
                "labels": labels,
                "cluster_volume_spec": cluster_volume_spec,
            },
            timeout,
        )
        return answer

    def inspect(self, name: str, *, timeout: Limit = CLIENT) -> Volume:
        """Tell about a volume.

        Endpoint: ``GET /volumes/{name...}``.

        Args:
            name: which one: a name, an id, or the beginning of an id.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            A volume.

        Raises:
            NotFound: there is no such object.
        """
        answer: Volume = self._client.calling.call("volumes.inspect", {"name": name}, timeout)
        return answer

    def update(
        self,
        name: str,
        version: int,
        *,
        spec: ClusterVolumeSpec | None = None,
        timeout: Limit = CLIENT,
    ) -> None:
        """Change a cluster volume; only its availability can be changed.

        Endpoint: ``PUT /volumes/{name...}``, since 1.42.

        Args:
            name: which one: a name, an id, or the beginning of an id.
            version: the version that the change was made from.
            spec: Docker's ``Spec``.
            timeout: seconds for the whole call; None is for ever.

        Raises:
            NotFound: there is no such object.
            Unavailable: the engine is not part of a swarm, or something else is missing.
        """
        self._client.calling.call(
            "volumes.update", {"name": name, "version": version, "spec": spec}, timeout
        )

    def remove(self, name: str, *, force: bool = False, timeout: Limit = CLIENT) -> None:
        """Remove a volume that no container uses.

        Endpoint: ``DELETE /volumes/{name...}``.

        Args:
            name: which one: a name, an id, or the beginning of an id.
            force: no error if there is none of that name.
            timeout: seconds for the whole call; None is for ever.

        Raises:
            NotFound: there is no such object.
            Conflict: it is in a state that forbids this.
        """
        self._client.calling.call("volumes.remove", {"name": name, "force": force}, timeout)

    def prune(
        self, *, filters: Filters | None = None, timeout: Limit = CLIENT
    ) -> VolumePruneResponse:
        """Remove the anonymous volumes that no container uses.

        Filters: all (named ones too), label.

        Endpoint: ``POST /volumes/prune``, since 1.25.

        Args:
            filters: Docker's ``filters``.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            The volumes that were removed.

        Raises:
            Conflict: it is in a state that forbids this.
        """
        answer: VolumePruneResponse = self._client.calling.call(
            "volumes.prune", {"filters": filters}, timeout
        )
        return answer
