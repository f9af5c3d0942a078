"""``engine.containers``: the operations on containers, each in a module of its own."""

import contextlib
from pathlib import Path

from palan.api import containers as api
from palan.api.errors import InvalidParameter, NotFound, NotModified
from palan.api.networks import NetworkConnectRequest, NetworkDisconnectRequest
from palan.api.results import ByteStream, FrameStream, Late, MessageStream, PathStat, Session
from palan.engine.containers.archive import archive_get, archive_info, archive_put
from palan.engine.containers.attach import attach, resize
from palan.engine.containers.changes import export, list_changes
from palan.engine.containers.checkpoints import (
    checkpoint_create,
    checkpoint_directory,
    checkpoint_list,
    checkpoint_remove,
)
from palan.engine.containers.commit import CommittedContainer
from palan.engine.containers.connect import connect, disconnect
from palan.engine.containers.container import Container
from palan.engine.containers.context import SCHEMA, ContainerContext
from palan.engine.containers.create import create
from palan.engine.containers.disk_usage import measured_containers
from palan.engine.containers.exec_target import ExecTarget
from palan.engine.containers.inspect import inspect, sizes
from palan.engine.containers.lifecycle import start
from palan.engine.containers.links import unlink
from palan.engine.containers.listing import select, summaries
from palan.engine.containers.logs import logs
from palan.engine.containers.pause import pause, unpause
from palan.engine.containers.prune import prune
from palan.engine.containers.recover import recover
from palan.engine.containers.remove import remove
from palan.engine.containers.rename import rename
from palan.engine.containers.stats import StatsStreams
from palan.engine.containers.step_containers import StepContainers
from palan.engine.containers.stop import kill, stop
from palan.engine.containers.surroundings import Surroundings
from palan.engine.containers.top import top
from palan.engine.containers.update import update
from palan.engine.containers.wait import wait


__all__ = ["SCHEMA", "Containers"]


# Within the class, ``list`` is an operation.
_Summaries = list[api.ContainerSummary]
_Changes = list[api.FilesystemChange]
_Checkpoints = list[api.Checkpoint]


class Containers:
    """The containers of an engine."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._context = ContainerContext(surroundings)
        self.registry = self._context.registry
        self.steps = StepContainers(self._context)
        """The containers of the steps of builds."""
        self._stats = StatsStreams(self._context)

    # ---- state -------------------------------------------------------------------

    async def load(self) -> None:
        """Read the rows, and reconcile them with the processes and files of the machine."""
        self._context.load()
        await recover(self._context)
        self._context.recovered.set()

    def release(self) -> None:
        """Stop watching the containers, which continue to run."""
        self._context.memory_watches.close()
        for container in self.registry:
            if container.monitored is not None:
                container.monitored.release()

    # ---- for other rooms ----------------------------------------------------

    async def save(self, container: Container) -> None:
        """Write the container's row; committed on return."""
        await self._context.save(container)

    def name_of(self, container_id: str) -> str:
        """Return the name of a container; empty if there is no such container."""
        container = self.registry.find(container_id)
        return container.name if container else ""

    def id_of(self, reference: str) -> str:
        """Return the id of a container, given by name or id; empty if no container fits."""
        container = self.registry.find(reference)
        return container.id if container else ""

    def namespace_shared(self, container_id: str) -> bool:
        """Return whether another container runs in the network namespace of this one."""
        mode = f"container:{container_id}"
        return any(c.running and c.record.host_config.network_mode == mode for c in self.registry)

    async def connect_to_network(self, network: str, body: NetworkConnectRequest) -> None:
        """Connect a container to a network, as ``POST /networks/{id}/connect`` asks for."""
        await connect(self._context, network, body)

    async def disconnect_from_network(self, network: str, body: NetworkDisconnectRequest) -> None:
        """Disconnect a container, as ``POST /networks/{id}/disconnect`` asks for."""
        await disconnect(self._context, network, body)

    def using_image(self, image_id: str) -> list[Container]:
        """Return the containers that are made of an image or have it mounted."""
        return [
            c
            for c in self.registry
            if c.record.image == image_id or any(m.image == image_id for m in c.record.mounts)
        ]

    def statuses(self) -> list[str]:
        """Return the status of each container, for ``GET /info``."""
        return [container.record.status for container in self.registry]

    async def disk_usage(self) -> _Summaries:
        """Return all containers with their sizes, for ``GET /system/df``."""
        return await measured_containers(self._context)

    def layers_in_use(self) -> set[str]:
        """Return the chain ids of the layers that containers use."""
        return {
            f"sha256:{Path(layer).parent.name}" for c in self.registry for layer in c.record.layers
        }

    def commit_source(self, reference: str) -> CommittedContainer:
        """Return the container of that id, name or beginning of an id, for a commit.

        Raises:
            NotFound: there is no such container.
        """
        return CommittedContainer(self._context, self.registry.get(reference))

    def exec_target(self, reference: str) -> ExecTarget:
        """Return the container of that id, name or beginning of an id, for execs.

        Raises:
            NotFound: there is no such container.
        """
        return ExecTarget(self._context, self.registry.get(reference))

    # ---- operations --------------------------------------------------------------

    async def list(self, request: api.ContainerList) -> list[api.ContainerSummary]:
        """``GET /containers/json``."""
        found = select(self._context, request.filters, everything=request.all, limit=request.limit)
        lines = summaries(self._context, found)
        if request.size:
            for container, line in zip(found, lines, strict=True):
                line.size_rw, line.size_root_fs = await sizes(self._context, container)
        return lines

    async def create(self, request: api.ContainerCreate) -> api.ContainerCreateResponse:
        """``POST /containers/create``."""
        return await create(self._context, request)

    async def inspect(self, request: api.ContainerInspect) -> api.ContainerInspectResponse:
        """``GET /containers/{id}/json``."""
        return await inspect(self._context, self.registry.get(request.id), size=request.size)

    async def start(self, request: api.ContainerStart) -> None:
        """``POST /containers/{id}/start``."""
        container = self.registry.get(request.id)
        restore = None
        if request.checkpoint or request.checkpoint_dir:
            if not self._context.config.experimental:
                raise InvalidParameter("checkpoint is only supported in experimental mode")
            restore = checkpoint_directory(
                self._context, container, request.checkpoint, request.checkpoint_dir
            )
        await start(self._context, container, restore=restore)

    async def stop(self, request: api.ContainerStop) -> None:
        """``POST /containers/{id}/stop``."""
        container = self.registry.get(request.id)
        await stop(self._context, container, request.signal, request.t, name=request.id)

    async def restart(self, request: api.ContainerRestart) -> None:
        """``POST /containers/{id}/restart``."""
        container = self.registry.get(request.id)
        container.restarting += 1
        try:
            # It may just have ended, or have been started by another client.
            with contextlib.suppress(NotModified):
                await stop(self._context, container, request.signal, request.t, name=request.id)
            with contextlib.suppress(NotModified):
                await start(self._context, container)
        finally:
            container.restarting -= 1
        self._context.events.publish("container", "restart", container.id, container.attributes)

    async def kill(self, request: api.ContainerKill) -> None:
        """``POST /containers/{id}/kill``."""
        try:
            container = self.registry.get(request.id)
        except NotFound as error:
            raise NotFound(f"cannot kill container: {request.id}: {error.message}") from None
        await kill(self._context, container, request.signal, name=request.id)

    async def pause(self, request: api.ContainerPause) -> None:
        """``POST /containers/{id}/pause``."""
        await pause(self._context, self.registry.get(request.id))

    async def unpause(self, request: api.ContainerUnpause) -> None:
        """``POST /containers/{id}/unpause``."""
        await unpause(self._context, self.registry.get(request.id))

    async def rename(self, request: api.ContainerRename) -> None:
        """``POST /containers/{id}/rename``."""
        await rename(self._context, self.registry.get(request.id), request.name)

    async def wait(self, request: api.ContainerWait) -> Late:
        """``POST /containers/{id}/wait``."""
        return wait(self.registry.get(request.id), request.condition)

    async def remove(self, request: api.ContainerRemove) -> None:
        """``DELETE /containers/{id}``."""
        if request.link:
            await unlink(self._context, request.id)
            return
        container = self.registry.get(request.id)
        await remove(
            self._context, container, force=request.force, volumes=request.v, name=request.id
        )

    async def prune(self, request: api.ContainerPrune) -> api.ContainerPruneResponse:
        """``POST /containers/prune``."""
        return await prune(self._context, request.filters)

    async def logs(self, request: api.ContainerLogs) -> FrameStream:
        """``GET /containers/{id}/logs``."""
        return await logs(self._context, self.registry.get(request.id), request)

    async def checkpoint_create(self, request: api.CheckpointCreate) -> None:
        """``POST /containers/{id}/checkpoints``."""
        container = self.registry.get(request.id)
        await checkpoint_create(self._context, container, request.body, request.id)

    async def checkpoint_list(self, request: api.CheckpointList) -> _Checkpoints:
        """``GET /containers/{id}/checkpoints``."""
        return await checkpoint_list(self._context, self.registry.get(request.id), request.dir)

    async def checkpoint_remove(self, request: api.CheckpointRemove) -> None:
        """``DELETE /containers/{id}/checkpoints/{checkpoint}``."""
        container = self.registry.get(request.id)
        await checkpoint_remove(self._context, container, request.checkpoint, request.dir)

    async def archive_info(self, request: api.ContainerArchiveInfo) -> PathStat:
        """``HEAD /containers/{id}/archive``."""
        return await archive_info(self._context, self.registry.get(request.id), request)

    async def archive_get(self, request: api.ContainerArchiveGet) -> ByteStream:
        """``GET /containers/{id}/archive``."""
        return await archive_get(self._context, self.registry.get(request.id), request)

    async def archive_put(self, request: api.ContainerArchivePut) -> None:
        """``PUT /containers/{id}/archive``."""
        await archive_put(self._context, self.registry.get(request.id), request)

    async def attach(self, request: api.ContainerAttach | api.ContainerAttachWebSocket) -> Session:
        """``POST /containers/{id}/attach``."""
        return await attach(self._context, self.registry.get(request.id), request)

    async def attach_websocket(self, request: api.ContainerAttachWebSocket) -> Session:
        """``GET /containers/{id}/attach/ws``."""
        return await self.attach(request)

    async def changes(self, request: api.ContainerChanges) -> _Changes | None:
        """``GET /containers/{id}/changes``."""
        return await list_changes(self._context, self.registry.get(request.id))

    async def export(self, request: api.ContainerExport) -> ByteStream:
        """``GET /containers/{id}/export``."""
        return export(self._context, self.registry.get(request.id))

    async def resize(self, request: api.ContainerResize) -> None:
        """``POST /containers/{id}/resize``."""
        await resize(self._context, self.registry.get(request.id), request.h, request.w)

    async def stats(self, request: api.ContainerStats) -> MessageStream:
        """``GET /containers/{id}/stats``."""
        container = self.registry.get(request.id)
        return self._stats.answer(container, stream=request.stream, one_shot=request.one_shot)

    async def top(self, request: api.ContainerTop) -> api.ContainerTopResponse:
        """``GET /containers/{id}/top``."""
        return await top(self._context, self.registry.get(request.id), request.ps_args)

    async def update(self, request: api.ContainerUpdate) -> api.ContainerUpdateResponse:
        """``POST /containers/{id}/update``."""
        return await update(self._context, self.registry.get(request.id), request.body)
