"""The steps of a start, each of which can be undone.

A failed start undoes the steps that it began.  The end of a container and the recovery, when
the engine starts, undo all of them: no undo needs to know what was done, by this engine or by
an earlier one.  Nothing is written to the database before the container runs.
"""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec

from palan.engine.containers.container import Container
from palan.engine.containers.context import ContainerContext
from palan.engine.containers.etc_files import hosts_file, write_files
from palan.engine.containers.etc_hosts import own_addresses, own_names
from palan.engine.containers.links import check_links, link_hosts
from palan.engine.containers.members import member
from palan.engine.containers.mount_sources import hold_volumes, publish_unmounts, release_volumes
from palan.engine.containers.pipeline import Step, Steps
from palan.engine.containers.root_filesystem import mount_root, unmount_root
from palan.engine.containers.spec import cgroup_path, container_spec
from palan.engine.logdrivers.rotation import prepare_log
from palan.engine.logdrivers.settings import log_settings
from palan.engine.networks.endpoint_records import SandboxRecord
from palan.engine.networks.validate_endpoint import allows_ipv6
from palan.host.cgroup_limits import set_parent_realtime, set_tcp_memory
from palan.host.conmon import ContainerPlan, Monitored


__all__ = ["Run", "start_steps"]


@dataclass(slots=True, eq=False)
class Run:
    """One run of a container, from its start to its end.

    Attributes:
        context: the context of the room.
        container: the container; its lock is held while steps are done or undone.
        by_policy: whether a restart policy starts it, and not a client.
        restore: the checkpoint to start from.
        sandbox: its network; None before it has one, or where it shares that of another.
        monitored: the process and its conmon.
        started: when the process was started, in nanoseconds since the epoch.
        force: whether undoing kills processes that still run.
    """

    context: ContainerContext
    container: Container
    by_policy: bool = False
    restore: Path | None = None
    sandbox: SandboxRecord | None = None
    monitored: Monitored | None = None
    started: int = 0
    force: bool = True

    @property
    def bundle(self) -> Path:
        """The directory of the OCI bundle."""
        return self.context.paths.bundle(self.container.id)


def start_steps(run: Run) -> Steps:
    """Return the steps of a start, in order."""
    return (
        CheckRequirements(run),
        ConnectLogDriver(run),
        HoldVolumes(run),
        ExpectMove(run),
        (MountRoot(run), CreateSandbox(run)),
        WriteFiles(run),
        CreateProcess(run),
        StartProcess(run),
    )


class _StartStep(Step):
    def __init__(self, run: Run) -> None:
        self._run = run
        self._context = run.context
        self._container = run.container
        self._record = run.container.record

    async def undo(self) -> None:
        """Do nothing: what the step did goes with other steps, or may stay."""


class CheckRequirements(_StartStep):
    """Check that the runtime works, and that the containers that are linked to run."""

    name = "requirements"

    async def do(self) -> None:
        """Check them.

        Raises:
            Unavailable: there is no runtime that works here.
            Conflict: a container that is linked to does not run.
        """
        self._context.runtimes.get(self._record.runtime)
        check_links(self._context, self._container)


class ConnectLogDriver(_StartStep):
    """Connect to the receiver of the container's log, if its driver has one."""

    name = "log driver"

    async def do(self) -> None:
        """Connect to the receiver.

        Raises:
            InternalError: the receiver does not answer.
        """
        await self._context.logs.connect(self._container, by_policy=self._run.by_policy)

    async def undo(self) -> None:
        """Close the connection, unless a shipper uses it."""
        await self._context.logs.disconnect(self._container)


class HoldVolumes(_StartStep):
    """Have the drivers mount the volumes."""

    name = "volumes"

    async def do(self) -> None:
        """Have the drivers mount the volumes.

        Raises:
            PalanError: a volume can't be mounted.
        """
        await hold_volumes(self._context, self._record.mounts, self._container.id)

    async def undo(self) -> None:
        """Have the drivers unmount the volumes, unless another container uses them."""
        mounts = self._record.mounts
        released = await release_volumes(self._context, mounts, self._container.id)
        publish_unmounts(self._context, self._container, released)


class ExpectMove(_StartStep):
    """Have the kernel prepare for a process that is moved into its cgroup."""

    name = "cgroup"

    async def do(self) -> None:
        """Begin the preparation, without waiting for it."""
        self._context.runtimes.expect_moves()


class MountRoot(_StartStep):
    """Make the bundle with the mounted root file system."""

    name = "root file system"

    async def do(self) -> None:
        """Mount the root, see :func:`mount_root`."""
        await asyncio.to_thread(mount_root, self._context, self._container)

    async def undo(self) -> None:
        """Unmount the root, and remove the bundle."""
        await asyncio.to_thread(unmount_root, self._run.bundle)


class CreateSandbox(_StartStep):
    """Make the network namespace, with its endpoints and published ports."""

    name = "network"

    async def do(self) -> None:
        """Create the sandbox.

        Raises:
            PalanError: a network does not exist, an address or a port is in use.
        """
        this = member(self._context, self._container)
        self._run.sandbox = await self._context.networks.create_sandbox(this)

    async def undo(self) -> None:
        """Remove the namespace, and release addresses and ports."""
        if self._run.sandbox is not None:
            this = member(self._context, self._container)
            await self._context.networks.remove_sandbox(this, self._run.sandbox)


class WriteFiles(_StartStep):
    """Write the container's files in ``/etc``, its log's first file and its runtime spec.

    They are removed with the container or the bundle.
    """

    name = "files"

    async def do(self) -> None:
        """Write the files.

        Raises:
            PalanError: a user, a device or a namespace does not exist.
        """
        await asyncio.to_thread(self._write)

    def _write(self) -> None:
        context, container, sandbox = self._context, self._container, self._run.sandbox
        host_config = self._record.host_config
        if not host_config.network_mode.startswith("container:"):
            self._write_etc()
        prepare_log(context.paths.log(container.id), log_settings(host_config.log_config))
        config = context.config
        if host_config.cpu_realtime_runtime and config.cpu_rt_runtime:
            set_parent_realtime(
                context.machine.cgroups,
                cgroup_path(context, self._record),
                config.cpu_rt_period,
                config.cpu_rt_runtime,
            )
        spec = container_spec(context, container, sandbox, self._run.bundle / "rootfs")
        path = self._run.bundle / "config.json"
        path.touch(mode=0o600)
        path.write_bytes(msgspec.json.encode(spec))

    def _write_etc(self) -> None:
        context, container, sandbox = self._context, self._container, self._run.sandbox
        host_config = self._record.host_config
        hosts = hosts_file(
            host_config.extra_hosts or (),
            addresses=[a for e in sandbox.endpoints for a in own_addresses(e)] if sandbox else [],
            names=own_names(container),
            links=link_hosts(context, container),
            gateways=context.networks.host_gateways,
            ipv6=allows_ipv6(host_config.sysctls or {}),
        )
        if host_config.network_mode == "host" and not host_config.extra_hosts:
            hosts = _read("/etc/hosts") or hosts
        write_files(
            context.paths.container(container.id),
            hostname=self._record.config.hostname,
            hosts=hosts,
            resolv=context.networks.resolv_conf(member(context, container)),
        )


class CreateProcess(_StartStep):
    """Have conmon and the runtime create the container, and connect its streams."""

    name = "process"

    async def do(self) -> None:
        """Create the process.

        Raises:
            StartFailure: the runtime can't run the program; in dockerd's words.
        """
        context, container, run = self._context, self._container, self._run
        runtime = context.runtimes.get(self._record.runtime)
        run.monitored = await context.runtimes.create(runtime, _plan(run), self._record.path)
        if tcp := self._record.host_config.kernel_memory_tcp:
            cgroup = cgroup_path(context, self._record)
            await asyncio.to_thread(set_tcp_memory, context.machine.cgroups, cgroup, tcp)
        await container.streams.opened(run.monitored.directory)

    async def undo(self) -> None:
        """Remove the runtime's state and the cgroups."""
        runtime = self._context.runtimes.find(self._record.runtime)
        if runtime is not None:
            await runtime.delete(self._container.id, force=self._run.force)


class StartProcess(_StartStep):
    """Start the program; undone by the step before."""

    name = "program"

    async def do(self) -> None:
        """Start the program.

        Raises:
            RuntimeFailure: the runtime can't start it.
        """
        # Before it runs, so that nothing it writes is older than its start.
        self._run.started = time.time_ns()
        if self._run.restore is None:
            runtime = self._context.runtimes.get(self._record.runtime)
            await runtime.start(self._container.id)


def _read(path: str) -> str:
    """Return the text of a file of the host; empty if it can't be read."""
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _plan(run: Run) -> ContainerPlan:
    context, container = run.context, run.container
    config = container.record.config
    logs = log_settings(container.record.host_config.log_config)
    return ContainerPlan(
        id=container.id,
        bundle=run.bundle,
        exits=context.paths.exits,
        log=context.paths.log(container.id) if logs.kept else None,
        log_max=logs.hard_limit,
        tty=config.tty,
        stdin=config.open_stdin,
        keep_stdin=config.open_stdin and not container.streams.closes_stdin,
        restore=run.restore,
        host_mounts=bool(container.record.host_config.device_requests)
        or any(mount.kind != "tmpfs" for mount in container.record.mounts),
    )
