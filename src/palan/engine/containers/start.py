"""``POST /containers/{id}/start``.

Nothing is written down before the container runs: what a crash leaves of a start that
nobody was told about is taken away when the engine starts (``recover``).
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from palan.api.errors import Conflict, InternalError, InvalidParameter, NotModified, PalanError
from palan.engine.containers.container import Container
from palan.engine.containers.exit import watch
from palan.engine.containers.files import hosts_file, write_files
from palan.engine.containers.health_monitor import begin_checks
from palan.engine.containers.hosts import own_addresses, own_names
from palan.engine.containers.links import (
    check_links,
    has_linking,
    link_hosts,
    linked_endpoints,
    tell_linking,
)
from palan.engine.containers.record import ContainerRecord, MountRecord, ProcessRecord
from palan.engine.containers.remove import remove_stopped
from palan.engine.containers.sources import hold_volumes, pin
from palan.engine.containers.spec import cgroup_path, check_joined, container_spec
from palan.engine.containers.takedown import note_end, take_down
from palan.engine.logdrivers.rotation import prepare_log
from palan.engine.logdrivers.settings import log_settings
from palan.engine.machine import StartFailure
from palan.engine.networks.endpoint_records import SandboxRecord
from palan.engine.networks.links import default_endpoint
from palan.engine.networks.port_parsing import PortMapping, published_ports
from palan.engine.networks.resolv_conf import container_resolv_conf
from palan.engine.networks.sandbox import plug
from palan.host.cgroup_limits import set_parent_realtime, set_tcp_memory
from palan.host.conmon import ContainerPlan
from palan.host.mounts import mount
from palan.host.overlay import mount_overlay, plain_options
from palan.host.rootfs import follow_links
from palan.host.syscalls import MS_NODEV, MS_NOEXEC, MS_NOSUID
from palan.host.treecopy import make_directories


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["image_layers", "make_sources", "publish_mounts", "start"]

SHM_FLAGS = MS_NOSUID | MS_NODEV | MS_NOEXEC


async def start(
    engine: "Engine",
    container: Container,
    *,
    by_policy: bool = False,
    restore: Path | None = None,
) -> None:
    """Start a container.

    Args:
        engine: the engine.
        container: the container.
        by_policy: whether a restart policy does it, and not a client.
        restore: a checkpoint to go on from.

    Raises:
        NotModified: it runs already.
        Conflict: it is paused, or being removed.
        Unavailable: there is no runtime that works here.
        PalanError: whatever its network, its root file system or its program lack.
    """
    async with container.lock:
        record = container.record
        if by_policy and record.status != "restarting":
            return  # stopped, started or removed meanwhile
        if container.removed or record.status in ("removing", "dead"):
            raise Conflict("container is marked for removal and cannot be started")
        if record.status == "paused":
            raise Conflict("cannot start a paused container, try unpause instead")
        if record.status == "running":
            raise NotModified(f"container {container.id} is already running")
        if not by_policy:
            record.stopped_by_user = False
            record.restart_count = 0
        await _start(engine, container, restore, by_policy=by_policy)


async def _start(
    engine: "Engine", container: Container, restore: Path | None, *, by_policy: bool
) -> None:
    record = container.record
    bundle = engine.paths.bundle(container.id)
    sandbox: SandboxRecord | None = None
    try:
        runtime = engine.runtimes.get(record.runtime)
        check_links(engine, container)
        await engine.logs.connect(container, by_policy=by_policy)
        await hold_volumes(engine, record.mounts, container.id)
        engine.runtimes.expect_moves()
        plugged = asyncio.create_task(
            plug(engine, container, _ports(record), linked_endpoints(engine, container))
        )
        try:
            await asyncio.to_thread(_mount, engine, container, bundle)
        finally:
            sandbox = await plugged
        await asyncio.to_thread(_prepare, engine, container, sandbox, bundle)
        monitored = await engine.runtimes.create(
            runtime, _plan(engine, container, bundle, restore), record.path
        )
        await _limit_tcp(engine, record)
        await container.streams.opened(monitored.directory)
        # Before it runs, so that nothing it writes is older than its start.
        started = time.time_ns()
        if restore is None:
            await runtime.start(container.id)
    except BaseException as failure:
        error = _reason(engine, container, failure)
        await _failed(engine, container, sandbox, error)
        if error is not failure:
            raise error from failure
        raise
    # Before it is called running: who sees that may want to kill it at once.
    container.monitored = monitored
    record.sandbox = sandbox
    record.status = "running"
    record.started = started
    record.error, record.exit_code, record.oom_killed = "", 0, False
    record.process = ProcessRecord(pid=monitored.pid, start_time=monitored.start_time)
    record.monitor = ProcessRecord(pid=monitored.monitor, start_time=monitored.monitor_start_time)
    engine.networks.publish_all("connect", sandbox, container.id)
    publish_mounts(engine, container)
    engine.events.publish("container", "start", container.id, container.attributes)
    watch(engine, container, monitored)
    begin_checks(engine, container)
    engine.logs.begin(container)
    try:
        await engine.containers.save(container)
    except Exception:
        # What is not written down must not run: the next engine would not know it.
        record.stopped_by_user = True
        monitored.signal(signal.SIGKILL)
        raise
    if (there := default_endpoint(sandbox)) is not None and has_linking(engine, container):
        await tell_linking(engine, container, there)


def _reason(engine: "Engine", container: Container, failure: BaseException) -> BaseException:
    """What a client is told of a failed start, which may have a simpler reason."""
    if isinstance(failure, OSError):  # such as a full disk
        return InternalError(f"unable to start container: {failure}")
    # Whose namespace was to be joined may have ended meanwhile.
    if isinstance(failure, StartFailure):
        try:
            check_joined(engine, container)
        except PalanError as reason:
            return reason
    return failure


def _ports(record: ContainerRecord) -> list[PortMapping]:
    """Return the ports to be published."""
    return published_ports(
        record.host_config.port_bindings,
        record.config.exposed_ports,
        publish_all=record.host_config.publish_all_ports,
    )


async def _limit_tcp(engine: "Engine", record: ContainerRecord) -> None:
    if tcp := record.host_config.kernel_memory_tcp:
        cgroup = cgroup_path(engine, record)
        await asyncio.to_thread(set_tcp_memory, engine.machine.cgroups, cgroup, tcp)


def _mount(engine: "Engine", container: Container, bundle: Path) -> None:
    """Mount the root file system, and the /dev/shm that others may share."""
    directory = engine.paths.container(container.id)
    rootfs = bundle / "rootfs"
    # Closed to others: the spec in it has the environment of the container.
    bundle.mkdir(mode=0o700, exist_ok=True)
    for part in (rootfs, bundle / "execs"):
        part.mkdir(mode=0o700, exist_ok=True)
    layers = image_layers(engine, container)
    # What is changed must lie in the upper directory whole, or it could not be committed.
    try:
        mount_overlay(
            layers, directory / "diff", directory / "work", rootfs, options=plain_options()
        )
    except FileNotFoundError:
        missing = [layer for layer in layers if not layer.is_dir()]
        if not missing:
            raise
        raise InternalError(
            f"image {container.record.image} is damaged: {missing[0]} is missing;"
            " pull or load the image again"
        ) from None
    make_sources(container)
    pin(bundle, container.record.mounts)
    _make_mount_points(rootfs, container.record.mounts)
    host_config = container.record.host_config
    if host_config.ipc_mode == "shareable":
        shm = bundle / "shm"
        shm.mkdir(exist_ok=True)
        mount("shm", shm, "tmpfs", SHM_FLAGS, f"mode=1777,size={host_config.shm_size}")


def _make_mount_points(rootfs: Path, mounts: Sequence[MountRecord]) -> None:
    """Make directories to mount on as anybody would: the runtime makes them sticky.

    They are in what is committed of the container.
    """
    places = [f"{mount.destination}/" for mount in mounts]
    wanted = [
        mount.destination
        for mount in mounts
        if _is_directory(mount)
        and not f"{mount.destination}/".startswith(("/dev/", "/proc/", "/sys/"))
        and not any(mount.destination.startswith(place) for place in places)
    ]
    if not wanted:
        return
    root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for destination in wanted:
            # What is in the way is the runtime's to complain about.
            with contextlib.suppress(OSError):
                make_directories(root, follow_links(root, destination).lstrip("/"))
    finally:
        os.close(root)


def _is_directory(mount: MountRecord) -> bool:
    """Whether what is mounted surely is a directory."""
    if mount.kind == "bind":
        return os.path.isdir(mount.source)  # noqa: PTH112 - a string is at hand
    # Not a tmpfs: runc gives it the mode of the directory, if there is one, else 1777.
    return mount.kind == "volume" and not mount.subpath


def publish_mounts(engine: "Engine", container: Container) -> None:
    """Tell that the container's volumes are mounted."""
    for mounted in container.record.mounts:
        if mounted.volume:
            engine.events.publish(
                "volume",
                "mount",
                mounted.volume,
                {
                    "driver": mounted.driver,
                    "container": container.id,
                    "destination": mounted.destination,
                    "read/write": "false" if mounted.read_only else "true",
                    "propagation": mounted.propagation,
                },
            )


def image_layers(engine: "Engine", container: Container) -> list[Path]:
    """What lies below the container's own files, the topmost first."""
    return [*(Path(layer) for layer in reversed(container.record.layers)), engine.paths.stubs]


def make_sources(container: Container) -> None:
    """Make directories of the host that are to be bound, where that was asked for.

    Raises:
        InvalidParameter: one can't be made, or is gone; in dockerd's words.
    """
    for wanted in container.record.mounts:
        if wanted.kind != "bind":
            continue
        if wanted.create_source:
            _make_source(Path(wanted.source))
        elif not os.path.lexists(wanted.source):
            raise InvalidParameter(
                f'invalid mount config for type "bind": bind source path does not exist:'
                f" {wanted.source}"
            )


def _prepare(
    engine: "Engine", container: Container, sandbox: SandboxRecord | None, bundle: Path
) -> None:
    """Write what the runtime reads and the container's own three files."""
    record = container.record
    host_config = record.host_config
    own = host_config.network_mode != "host"
    name = record.config.hostname
    if not host_config.network_mode.startswith("container:"):
        hosts = hosts_file(
            host_config.extra_hosts or (),
            addresses=[a for e in sandbox.endpoints for a in own_addresses(e)] if sandbox else [],
            names=own_names(container),
            links=link_hosts(engine, container),
            gateways=_host_gateways(engine),
        )
        if not own and not host_config.extra_hosts:
            hosts = _text_of("/etc/hosts") or hosts
        write_files(
            engine.paths.container(container.id),
            hostname=name,
            hosts=hosts,
            resolv=container_resolv_conf(
                engine.networks.resolvers.text(),
                host_config,
                engine.config,
                embedded=engine.networks.dns.has(container.id),
            ),
        )
    prepare_log(engine.paths.log(container.id), log_settings(host_config.log_config))
    if host_config.cpu_realtime_runtime and engine.config.cpu_rt_runtime:
        set_parent_realtime(
            engine.machine.cgroups,
            cgroup_path(engine, record),
            engine.config.cpu_rt_period,
            engine.config.cpu_rt_runtime,
        )
    spec = container_spec(engine, container, sandbox, bundle / "rootfs")
    config = bundle / "config.json"
    config.touch(mode=0o600)
    config.write_bytes(msgspec.json.encode(spec))


def _host_gateways(engine: "Engine") -> Sequence[str]:
    """How containers reach the host, whichever network they are on."""
    if engine.config.host_gateway_ips:
        return engine.config.host_gateway_ips
    default = engine.networks.default
    gateways = (default.gateway4, default.gateway6) if default else ()
    return [str(gateway.ip) for gateway in gateways if gateway is not None]


def _text_of(path: str) -> str:
    """A file of the host; empty where there is none."""
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _plan(
    engine: "Engine", container: Container, bundle: Path, restore: Path | None
) -> ContainerPlan:
    config = container.record.config
    logs = log_settings(container.record.host_config.log_config)
    return ContainerPlan(
        id=container.id,
        bundle=bundle,
        exits=engine.paths.exits,
        log=engine.paths.log(container.id) if logs.kept else None,
        log_max=logs.hard_limit,
        tty=config.tty,
        stdin=config.open_stdin,
        keep_stdin=config.open_stdin and not container.streams.closes_stdin,
        restore=restore,
        host_mounts=bool(container.record.host_config.device_requests)
        or any(mount.kind != "tmpfs" for mount in container.record.mounts),
    )


async def _failed(
    engine: "Engine", container: Container, sandbox: SandboxRecord | None, error: BaseException
) -> None:
    """Take everything back, and remember why."""
    await take_down(engine, container, sandbox, force=True)
    await engine.logs.disconnect(container)
    record = container.record
    record.error = error.message if isinstance(error, PalanError) else str(error)
    record.exit_code = error.exit_code if isinstance(error, StartFailure) else 128
    if record.status == "restarting":
        record.status = "exited"
    await note_end(engine, container)
    container.streams.ended()
    container.settle_exit(record.exit_code)
    if record.host_config.auto_remove:
        try:
            await remove_stopped(engine, container, volumes=True)
        except PalanError as failure:  # what the client is to be told is why it did not start
            engine.log.warning("container stays", container=container.id, reason=failure.message)


def _make_source(path: Path) -> None:
    """Make a directory of the host that is to be bound and is not there.

    Raises:
        InvalidParameter: it can't be made; in dockerd's words.
    """
    try:
        if not path.exists():
            path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        # A dangling link is in the way of a directory, and mkdir(2) says no more than that.
        why = "file exists" if isinstance(error, FileExistsError) else str(error.strerror).lower()
        raise InvalidParameter(
            f"error while creating mount source path '{path}': mkdir {path}: {why}"
        ) from None
