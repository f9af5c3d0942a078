# Made by scripts/client_calls.py of palan/api/swarm.py: change that.
"""Swarm: a method for each endpoint of the group."""

from __future__ import annotations

from typing import TYPE_CHECKING

from palan.client._limits import CLIENT, Limit


if TYPE_CHECKING:
    from palan.api._cluster import (
        CAConfig,
        DispatcherConfig,
        EncryptionConfig,
        OrchestrationConfig,
        RaftConfig,
        Swarm,
        SwarmSpec,
        TaskDefaults,
    )
    from palan.api.swarm import UnlockKeyResponse
    from palan.client._async.client import AsyncClient

__all__ = ["AsyncSwarmCalls"]


class AsyncSwarmCalls:
    """Engines joined into one: a swarm of managers and workers."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def inspect(self, *, timeout: Limit = CLIENT) -> Swarm:
        """Inspect the swarm.

        Endpoint: ``GET /swarm``.

        Args:
            timeout: seconds for the whole call; None is for ever.

        Returns:
            A swarm as managers show it.

        Raises:
            NotFound: there is no such object.
            Unavailable: the engine is not part of a swarm, or something else is missing.
        """
        answer: Swarm = await self._client.calling.call("swarm.inspect", {}, timeout)
        return answer

    async def init(
        self,
        *,
        listen_addr: str = "",
        advertise_addr: str = "",
        data_path_addr: str = "",
        data_path_port: int = 0,
        force_new_cluster: bool = False,
        spec: SwarmSpec | None = None,
        auto_lock_managers: bool = False,
        availability: str = "",
        default_addr_pool: list[str] | None = None,
        subnet_size: int = 0,
        timeout: Limit = CLIENT,
    ) -> str:
        """Make a swarm with this node as its first manager.

        The answer is the node's id.

        Endpoint: ``POST /swarm/init``.

        Args:
            listen_addr: where managers listen for each other: address or interface, and a
                port.
            advertise_addr: what other nodes are told to connect to.
            data_path_addr: address or interface for containers' traffic; the advertised one
                by default.
            data_path_port: UDP port of VXLAN traffic, 1024 to 49151; 0 is 4789.
            force_new_cluster: go on alone with this manager's state, when the others are
                lost.
            spec: Docker's ``Spec``.
            auto_lock_managers: Docker's ``AutoLockManagers``.
            availability: ``active``, ``pause`` or ``drain``.
            default_addr_pool: networks to take subnets of overlay networks from; empty is
                10.0.0.0/8.
            subnet_size: prefix length of those subnets; 0 is 24.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            What the engine answers.

        Raises:
            Unavailable: the engine is not part of a swarm, or something else is missing.
        """
        answer: str = await self._client.calling.call(
            "swarm.init",
            {
                "listen_addr": listen_addr,
                "advertise_addr": advertise_addr,
                "data_path_addr": data_path_addr,
                "data_path_port": data_path_port,
                "force_new_cluster": force_new_cluster,
                "spec": spec,
                "auto_lock_managers": auto_lock_managers,
                "availability": availability,
                "default_addr_pool": default_addr_pool,
                "subnet_size": subnet_size,
            },
            timeout,
        )
        return answer

    async def join(
        self,
        *,
        listen_addr: str = "",
        advertise_addr: str = "",
        data_path_addr: str = "",
        remote_addrs: list[str] | None = None,
        join_token: str = "",
        availability: str = "",
        timeout: Limit = CLIENT,
    ) -> None:
        """Join an existing swarm.

        Endpoint: ``POST /swarm/join``.

        Args:
            listen_addr: Docker's ``ListenAddr``.
            advertise_addr: Docker's ``AdvertiseAddr``.
            data_path_addr: Docker's ``DataPathAddr``.
            remote_addrs: managers that are there already.
            join_token: decides also whether the node is a worker or a manager.
            availability: ``active``, ``pause`` or ``drain``.
            timeout: seconds for the whole call; None is for ever.

        Raises:
            Unavailable: the engine is not part of a swarm, or something else is missing.
        """
        await self._client.calling.call(
            "swarm.join",
            {
                "listen_addr": listen_addr,
                "advertise_addr": advertise_addr,
                "data_path_addr": data_path_addr,
                "remote_addrs": remote_addrs,
                "join_token": join_token,
                "availability": availability,
            },
            timeout,
        )

    async def leave(self, *, force: bool = False, timeout: Limit = CLIENT) -> None:
        """Leave the swarm.

        Endpoint: ``POST /swarm/leave``.

        Args:
            force: also when this is the last manager, or the swarm would lose its majority.
            timeout: seconds for the whole call; None is for ever.

        Raises:
            Unavailable: the engine is not part of a swarm, or something else is missing.
        """
        await self._client.calling.call("swarm.leave", {"force": force}, timeout)

    async def update(
        self,
        version: int,
        *,
        rotate_worker_token: bool = False,
        rotate_manager_token: bool = False,
        rotate_manager_unlock_key: bool = False,
        name: str | None = None,
        labels: dict[str, str] | None = None,
        orchestration: OrchestrationConfig | None = None,
        raft: RaftConfig | None = None,
        dispatcher: DispatcherConfig | None = None,
        ca_config: CAConfig | None = None,
        task_defaults: TaskDefaults | None = None,
        encryption_config: EncryptionConfig | None = None,
        timeout: Limit = CLIENT,
    ) -> None:
        """Change the swarm's specification, its join tokens or its unlock key.

        Endpoint: ``POST /swarm/update``.

        Args:
            version: the version of the swarm that the change was made from.
            rotate_worker_token: Docker's ``rotateWorkerToken``.
            rotate_manager_token: Docker's ``rotateManagerToken``.
            rotate_manager_unlock_key: Docker's ``rotateManagerUnlockKey``.
            name: Docker's ``Name``.
            labels: Docker's ``Labels``.
            orchestration: Docker's ``Orchestration``.
            raft: Docker's ``Raft``.
            dispatcher: Docker's ``Dispatcher``.
            ca_config: Docker's ``CAConfig``.
            task_defaults: Docker's ``TaskDefaults``.
            encryption_config: Docker's ``EncryptionConfig``.
            timeout: seconds for the whole call; None is for ever.

        Raises:
            Unavailable: the engine is not part of a swarm, or something else is missing.
        """
        await self._client.calling.call(
            "swarm.update",
            {
                "version": version,
                "rotate_worker_token": rotate_worker_token,
                "rotate_manager_token": rotate_manager_token,
                "rotate_manager_unlock_key": rotate_manager_unlock_key,
                "name": name,
                "labels": labels,
                "orchestration": orchestration,
                "raft": raft,
                "dispatcher": dispatcher,
                "ca_config": ca_config,
                "task_defaults": task_defaults,
                "encryption_config": encryption_config,
            },
            timeout,
        )

    async def unlock_key(self, *, timeout: Limit = CLIENT) -> UnlockKeyResponse:
        """Show the key that unlocks managers.

        Endpoint: ``GET /swarm/unlockkey``.

        Args:
            timeout: seconds for the whole call; None is for ever.

        Returns:
            The key that unlocks managers; empty when they are not locked.

        Raises:
            Unavailable: the engine is not part of a swarm, or something else is missing.
        """
        answer: UnlockKeyResponse = await self._client.calling.call("swarm.unlock_key", {}, timeout)
        return answer

    async def unlock(self, *, unlock_key: str = "", timeout: Limit = CLIENT) -> None:
        """Unlock this manager after a restart.

        Endpoint: ``POST /swarm/unlock``.

        Args:
            unlock_key: Docker's ``UnlockKey``.
            timeout: seconds for the whole call; None is for ever.

        Raises:
            Conflict: it is in a state that forbids this.
            Unavailable: the engine is not part of a swarm, or something else is missing.
        """
        await self._client.calling.call("swarm.unlock", {"unlock_key": unlock_key}, timeout)
