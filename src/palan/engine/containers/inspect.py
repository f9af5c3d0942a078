"""``GET /containers/{id}/json``."""

import msgspec

from palan.api import UNSET
from palan.api.containers import (
    ContainerInspectResponse,
    ContainerState,
    DriverData,
    HostConfig,
    NetworkSettings,
    RootFSStorage,
    RootFSStorageSnapshot,
    Storage,
)
from palan.engine.containers.container import Container, go_time
from palan.engine.containers.context import ContainerContext
from palan.engine.containers.endpoints import endpoint_settings, port_map
from palan.engine.containers.links import shown_links
from palan.engine.containers.record import ContainerRecord
from palan.engine.containers.spec import network_owner
from palan.host.filesystem import directory_size


__all__ = ["inspect", "sizes"]


async def inspect(
    context: ContainerContext, container: Container, *, size: bool
) -> ContainerInspectResponse:
    """Describe a container."""
    record = container.record
    # A str: joining paths would take a good part of the time of an inspect.
    directory = str(context.paths.container(record.id))
    owner = network_owner(context, container)
    files = directory if owner is container else str(context.paths.container(owner.id))
    answer = ContainerInspectResponse(
        id=record.id,
        created=go_time(record.created),
        path=record.path,
        args=record.args,
        state=_state(container),
        image=record.image,
        resolv_conf_path=f"{files}/resolv.conf" if record.started else "",
        hostname_path=f"{files}/hostname" if record.started else "",
        hosts_path=f"{files}/hosts" if record.started else "",
        log_path=f"{directory}/container.log"
        if record.host_config.log_config.type == "json-file"
        else "",
        name=f"/{record.name}",
        restart_count=record.restart_count,
        driver="overlay2",
        platform="linux",
        exec_ids=context.exec.unfinished(container.id) or None,
        host_config=_host_config(context, container),
        graph_driver=DriverData(name="overlay2", data=_layers(context, container, directory)),
        storage=Storage(root_fs=RootFSStorage(snapshot=RootFSStorageSnapshot(name="overlay2"))),
        mounts=record.mount_points(),
        config=record.config,
        network_settings=_network_settings(context, record),
        image_manifest_descriptor=context.images.descriptor(record.image),
    )
    if size:
        answer.size_rw, answer.size_root_fs = await sizes(context, container)
    return answer


async def sizes(context: ContainerContext, container: Container) -> tuple[int, int]:
    """Return the bytes that the container has written, and the sum with its image's."""
    upper = context.paths.container(container.id) / "diff"
    written = await context.slowly(directory_size, upper)
    return written, written + context.images.size(container.record.image)


def _host_config(context: ContainerContext, container: Container) -> HostConfig:
    """Return the host configuration, with links by the current names of containers."""
    host_config = container.record.host_config
    if not container.record.links:
        return host_config
    return msgspec.structs.replace(host_config, links=shown_links(context, container))


def _state(container: Container) -> ContainerState:
    record, health = container.record, container.health
    alive = record.status in ("running", "paused")
    return ContainerState(
        status=record.status,
        running=alive or record.status == "restarting",
        paused=record.status == "paused",
        restarting=record.status == "restarting",
        oom_killed=record.oom_killed,
        dead=record.status == "dead",
        pid=record.process.pid if alive and record.process else 0,
        exit_code=record.exit_code,
        error=record.error,
        started_at=go_time(record.started),
        finished_at=go_time(record.finished),
        health=UNSET if health is None else health.message(),
    )


def _layers(context: ContainerContext, container: Container, directory: str) -> dict[str, str]:
    return {
        "LowerDir": ":".join(reversed(container.record.layers)),
        "MergedDir": f"{context.paths.bundle(container.id)}/rootfs",
        "UpperDir": f"{directory}/diff",
        "WorkDir": f"{directory}/work",
    }


def _network_settings(context: ContainerContext, record: ContainerRecord) -> NetworkSettings:
    sandbox = record.sandbox
    return NetworkSettings(
        sandbox_id=sandbox.id if sandbox else "",
        sandbox_key=sandbox.path if sandbox else "",
        ports=port_map(context, record),
        networks=endpoint_settings(context, record),
    )
