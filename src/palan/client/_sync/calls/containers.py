# Made of _async/calls/containers.py by scripts/client_sync.py: change that, and run this.
# Made by scripts/client_calls.py of palan/api/containers.py: change that.
"""Containers: a method for each endpoint of the group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from palan.client._limits import CLIENT, Limit
from palan.client._sync.streams import (
    ByteStream,
    MessageStream,
    OutputStream,
    Session,
)


if TYPE_CHECKING:
    import builtins

    from palan.api._container_config import HealthConfig
    from palan.api._container_inspect import ContainerInspectResponse, ContainerSummary
    from palan.api._container_messages import (
        Checkpoint,
        ContainerCreateResponse,
        ContainerPruneResponse,
        ContainerTopResponse,
        ContainerUpdateResponse,
        ContainerWaitResponse,
        FilesystemChange,
    )
    from palan.api._container_stats import ContainerStatsResponse
    from palan.api._host_config import (
        DeviceMapping,
        DeviceRequest,
        HostConfig,
        RestartPolicy,
        ThrottleDevice,
        Ulimit,
        WeightDevice,
    )
    from palan.api._network_types import NetworkingConfig
    from palan.api.results import PathStat
    from palan.client._request import Filters
    from palan.client._sync.client import Client
    from palan.client._sync.io import Body
    from palan.client._sync.websocket import WebSocketSession

__all__ = ["ContainersCalls"]


class ContainersCalls:
    """Containers: their life, their streams, their files."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def changes(self, id: str, *, timeout: Limit = CLIENT) -> builtins.list[FilesystemChange]:
        """List the files of a container that differ from its image's.

        Endpoint: ``GET /containers/{id}/changes``.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            One for each: a path that differs from the image's.

        Raises:
            NotFound: there is no such object.
        """
        answer: builtins.list[FilesystemChange] = self._client.calling.call(
            "containers.changes", {"id": id}, timeout
        )
        return answer

    def export(self, id: str, *, timeout: float | None = None) -> ByteStream:
        """Read all files of a container as a tar archive.

        Endpoint: ``GET /containers/{id}/export``.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            timeout: seconds to wait for each piece; None is for ever.

        Returns:
            The bytes, read as they come.

        Raises:
            NotFound: there is no such object.
        """
        return ByteStream(
            self._client, self._client.calling.prepare("containers.export", {"id": id}), timeout
        )

    def archive_info(self, id: str, path: str, *, timeout: Limit = CLIENT) -> PathStat:
        """Tell what a path in a container is.

        Endpoint: ``HEAD /containers/{id}/archive``.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            path: Docker's ``path``.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            What it is.

        Raises:
            NotFound: there is no such object.
        """
        answer: PathStat = self._client.calling.call(
            "containers.archive_info", {"id": id, "path": path}, timeout
        )
        return answer

    def archive_get(self, id: str, path: str, *, timeout: float | None = None) -> ByteStream:
        """Read a path in a container as a tar archive.

        The answer carries the header ``X-Docker-Container-Path-Stat``
        (:meth:`palan.api.results.PathStat.header`).

        Endpoint: ``GET /containers/{id}/archive``.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            path: ends in ``/.`` for the contents of a directory without itself.
            timeout: seconds to wait for each piece; None is for ever.

        Returns:
            The bytes, read as they come.

        Raises:
            NotFound: there is no such object.
        """
        return ByteStream(
            self._client,
            self._client.calling.prepare("containers.archive_get", {"id": id, "path": path}),
            timeout,
        )

    def archive_put(
        self,
        id: str,
        path: str,
        body: Body,
        *,
        no_overwrite_dir_non_dir: bool = False,
        copy_uidgid: bool = False,
        timeout: Limit = CLIENT,
    ) -> None:
        """Unpack a tar archive into a directory of a container.

        Endpoint: ``PUT /containers/{id}/archive``.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            path: Docker's ``path``.
            body: a tar archive, plain or compressed.
            no_overwrite_dir_non_dir: refuse to put a directory in the place of something
                else, and the reverse.
            copy_uidgid: give all to the container's user, if it has one, whomever the archive
                names.
            timeout: seconds for the whole call; None is for ever.

        Raises:
            Forbidden: this is never allowed.
            NotFound: there is no such object.
        """
        self._client.calling.call(
            "containers.archive_put",
            {
                "id": id,
                "path": path,
                "body": body,
                "no_overwrite_dir_non_dir": no_overwrite_dir_non_dir,
                "copy_uidgid": copy_uidgid,
            },
            timeout,
        )

    def checkpoint_list(
        self, id: str, *, dir: str = "", timeout: Limit = CLIENT
    ) -> builtins.list[Checkpoint]:
        """List the checkpoints of a container.

        Endpoint: ``GET /containers/{id}/checkpoints``, since 1.25.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            dir: where they are kept; empty is with the container.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            One for each: a container's processes, frozen on disk.

        Raises:
            NotFound: there is no such object.
        """
        answer: builtins.list[Checkpoint] = self._client.calling.call(
            "containers.checkpoint_list", {"id": id, "dir": dir}, timeout
        )
        return answer

    def checkpoint_create(
        self,
        id: str,
        *,
        checkpoint_id: str = "",
        checkpoint_dir: str = "",
        exit: bool = False,
        timeout: Limit = CLIENT,
    ) -> None:
        """Freeze the processes of a container onto disk.

        Endpoint: ``POST /containers/{id}/checkpoints``, since 1.25.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            checkpoint_id: Docker's ``CheckpointID``.
            checkpoint_dir: where to keep it; empty is with the container.
            exit: stop the container afterwards.
            timeout: seconds for the whole call; None is for ever.

        Raises:
            NotFound: there is no such object.
            Conflict: it is in a state that forbids this.
        """
        self._client.calling.call(
            "containers.checkpoint_create",
            {
                "id": id,
                "checkpoint_id": checkpoint_id,
                "checkpoint_dir": checkpoint_dir,
                "exit": exit,
            },
            timeout,
        )

    def checkpoint_remove(
        self, id: str, checkpoint: str, *, dir: str = "", timeout: Limit = CLIENT
    ) -> None:
        """Remove a checkpoint.

        Endpoint: ``DELETE /containers/{id}/checkpoints/{checkpoint}``, since 1.25.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            checkpoint: which one: a name, an id, or the beginning of an id.
            dir: where it is kept; empty is with the container.
            timeout: seconds for the whole call; None is for ever.

        Raises:
            NotFound: there is no such object.
        """
        self._client.calling.call(
            "containers.checkpoint_remove",
            {"id": id, "checkpoint": checkpoint, "dir": dir},
            timeout,
        )

    def list(
        self,
        *,
        all: bool = False,
        limit: int = 0,
        size: bool = False,
        filters: Filters | None = None,
        timeout: Limit = CLIENT,
    ) -> builtins.list[ContainerSummary]:
        """List containers, the newest first.

        Filters: ancestor, before, expose, exited, health, id, isolation, is-task, label, name,
        network, publish, since, status, volume.

        Endpoint: ``GET /containers/json``.

        Args:
            all: also those that do not run.
            limit: the newest so many, running or not; 0 or less is all.
            size: also measure their files.
            filters: Docker's ``filters``.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            One for each: a container in a list.
        """
        answer: builtins.list[ContainerSummary] = self._client.calling.call(
            "containers.list",
            {"all": all, "limit": limit, "size": size, "filters": filters},
            timeout,
        )
        return answer

    def create(
        self,
        *,
        name: str = "",
        platform: str = "",
        hostname: str = "",
        domainname: str = "",
        user: str = "",
        attach_stdin: bool = False,
        attach_stdout: bool = False,
        attach_stderr: bool = False,
        exposed_ports: dict[str, dict[str, Any]] | None = None,
        tty: bool = False,
        open_stdin: bool = False,
        stdin_once: bool = False,
        env: builtins.list[str] | None = None,
        cmd: builtins.list[str] | None = None,
        healthcheck: HealthConfig | None = None,
        args_escaped: bool | None = None,
        image: str = "",
        volumes: dict[str, dict[str, Any]] | None = None,
        working_dir: str = "",
        entrypoint: builtins.list[str] | None = None,
        network_disabled: bool | None = None,
        mac_address: str | None = None,
        on_build: builtins.list[str] | None = None,
        labels: dict[str, str] | None = None,
        stop_signal: str | None = None,
        stop_timeout: int | None = None,
        shell: builtins.list[str] | None = None,
        host_config: HostConfig | None = None,
        networking_config: NetworkingConfig | None = None,
        timeout: Limit = CLIENT,
    ) -> ContainerCreateResponse:
        """Create a container; it does not run yet.

        Endpoint: ``POST /containers/create``.

        Args:
            name: empty for a made-up one.
            platform: ``os[/arch[/variant]]`` that the image must be of; empty is the
                machine's own.
            hostname: Docker's ``Hostname``.
            domainname: Docker's ``Domainname``.
            user: ``name``, ``uid``, ``name:group`` or ``uid:gid``; empty is root.
            attach_stdin: Docker's ``AttachStdin``.
            attach_stdout: Docker's ``AttachStdout``.
            attach_stderr: Docker's ``AttachStderr``.
            exposed_ports: a set of ``port/protocol``.
            tty: Docker's ``Tty``.
            open_stdin: Docker's ``OpenStdin``.
            stdin_once: close the process's stdin when the first client that attached to it
                goes.
            env: ``NAME=value`` to set, ``NAME`` to remove what the image sets.
            cmd: Docker's ``Cmd``.
            healthcheck: Docker's ``Healthcheck``.
            args_escaped: Windows only.
            image: Docker's ``Image``.
            volumes: a set of paths that get an anonymous volume each.
            working_dir: Docker's ``WorkingDir``.
            entrypoint: Docker's ``Entrypoint``.
            network_disabled: Docker's ``NetworkDisabled``.
            mac_address: below 1.44: the address on the network of ``network_mode``. Since
                1.44 it stands in the endpoint's settings; since 1.52 giving it here is an
                error.
            on_build: Docker's ``OnBuild``.
            labels: Docker's ``Labels``.
            stop_signal: name or number; the default is SIGTERM.
            stop_timeout: seconds from the stop signal to SIGKILL; -1 waits for ever.
            shell: what runs the shell forms of CMD, ENTRYPOINT, RUN and health checks.
            host_config: Docker's ``HostConfig``.
            networking_config: Docker's ``NetworkingConfig``.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            The new container.

        Raises:
            NotFound: there is no such object.
            Conflict: it is in a state that forbids this.
        """
        answer: ContainerCreateResponse = self._client.calling.call(
            "containers.create",
            {
                "name": name,
                "platform": platform,
                "hostname": hostname,
                "domainname": domainname,
                "user": user,
                "attach_stdin": attach_stdin,
                "attach_stdout": attach_stdout,
                "attach_stderr": attach_stderr,
                "exposed_ports": exposed_ports,
                "tty": tty,
                "open_stdin": open_stdin,
                "stdin_once": stdin_once,
                "env": env,
                "cmd": cmd,
                "healthcheck": healthcheck,
                "args_escaped": args_escaped,
                "image": image,
                "volumes": volumes,
                "working_dir": working_dir,
                "entrypoint": entrypoint,
                "network_disabled": network_disabled,
                "mac_address": mac_address,
                "on_build": on_build,
                "labels": labels,
                "stop_signal": stop_signal,
                "stop_timeout": stop_timeout,
                "shell": shell,
                "host_config": host_config,
                "networking_config": networking_config,
            },
            timeout,
        )
        return answer

    def inspect(
        self, id: str, *, size: bool = False, timeout: Limit = CLIENT
    ) -> ContainerInspectResponse:
        """Tell all that is known about a container.

        Endpoint: ``GET /containers/{id}/json``.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            size: also measure its files.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            All that is known about a container.

        Raises:
            NotFound: there is no such object.
        """
        answer: ContainerInspectResponse = self._client.calling.call(
            "containers.inspect", {"id": id, "size": size}, timeout
        )
        return answer

    def top(
        self, id: str, *, ps_args: str = "-ef", timeout: Limit = CLIENT
    ) -> ContainerTopResponse:
        """List the processes of a container.

        Endpoint: ``GET /containers/{id}/top``.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            ps_args: arguments of ``ps``.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            The processes of a container, as ``ps`` shows them.

        Raises:
            NotFound: there is no such object.
            Conflict: it is in a state that forbids this.
        """
        answer: ContainerTopResponse = self._client.calling.call(
            "containers.top", {"id": id, "ps_args": ps_args}, timeout
        )
        return answer

    def stats(
        self, id: str, *, stream: bool = True, one_shot: bool = False, timeout: float | None = None
    ) -> MessageStream[ContainerStatsResponse]:
        """Tell what a container uses, once or every second.

        Endpoint: ``GET /containers/{id}/stats``.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            stream: Docker's ``stream``.
            one_shot: with ``stream`` off: do not wait for a second sample; ``precpu_stats``
                is then zero.
            timeout: seconds to wait for each piece; None is for ever.

        Returns:
            The messages, as they come.

        Raises:
            NotFound: there is no such object.
        """
        return MessageStream(
            self._client,
            self._client.calling.prepare(
                "containers.stats", {"id": id, "stream": stream, "one_shot": one_shot}
            ),
            timeout,
        )

    def start(
        self,
        id: str,
        *,
        detach_keys: str = "",
        checkpoint: str = "",
        checkpoint_dir: str = "",
        timeout: Limit = CLIENT,
    ) -> None:
        """Start a container.

        Endpoint: ``POST /containers/{id}/start``.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            detach_keys: accepted and without effect: start has no terminal.
            checkpoint: the checkpoint to go on from.
            checkpoint_dir: Docker's ``checkpoint-dir``.
            timeout: seconds for the whole call; None is for ever.

        Raises:
            NotFound: there is no such object.
            Conflict: it is in a state that forbids this.
        """
        self._client.calling.call(
            "containers.start",
            {
                "id": id,
                "detach_keys": detach_keys,
                "checkpoint": checkpoint,
                "checkpoint_dir": checkpoint_dir,
            },
            timeout,
        )

    def stop(
        self, id: str, *, signal: str = "", t: int | None = None, timeout: Limit = CLIENT
    ) -> None:
        """Stop a container: ask with a signal, then kill.

        Endpoint: ``POST /containers/{id}/stop``.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            signal: empty for the container's own.
            t: seconds to wait; -1 is for ever, None is the container's own.
            timeout: seconds for the whole call; None is for ever.

        Raises:
            NotFound: there is no such object.
        """
        self._client.calling.call("containers.stop", {"id": id, "signal": signal, "t": t}, timeout)

    def restart(
        self, id: str, *, signal: str = "", t: int | None = None, timeout: Limit = CLIENT
    ) -> None:
        """Stop a container if it runs, and start it.

        Endpoint: ``POST /containers/{id}/restart``.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            signal: empty for the container's own.
            t: seconds to wait; -1 is for ever, None is the container's own.
            timeout: seconds for the whole call; None is for ever.

        Raises:
            NotFound: there is no such object.
        """
        self._client.calling.call(
            "containers.restart", {"id": id, "signal": signal, "t": t}, timeout
        )

    def kill(self, id: str, *, signal: str = "SIGKILL", timeout: Limit = CLIENT) -> None:
        """Send a signal to the first process of a container.

        Endpoint: ``POST /containers/{id}/kill``.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            signal: Docker's ``signal``.
            timeout: seconds for the whole call; None is for ever.

        Raises:
            NotFound: there is no such object.
            Conflict: it is in a state that forbids this.
        """
        self._client.calling.call("containers.kill", {"id": id, "signal": signal}, timeout)

    def update(
        self,
        id: str,
        *,
        cpu_shares: int = 0,
        memory: int = 0,
        nano_cpus: int = 0,
        cgroup_parent: str = "",
        blkio_weight: int = 0,
        blkio_weight_device: builtins.list[WeightDevice] | None = None,
        blkio_device_read_bps: builtins.list[ThrottleDevice] | None = None,
        blkio_device_write_bps: builtins.list[ThrottleDevice] | None = None,
        blkio_device_read_iops: builtins.list[ThrottleDevice] | None = None,
        blkio_device_write_iops: builtins.list[ThrottleDevice] | None = None,
        cpu_period: int = 0,
        cpu_quota: int = 0,
        cpu_realtime_period: int = 0,
        cpu_realtime_runtime: int = 0,
        cpuset_cpus: str = "",
        cpuset_mems: str = "",
        devices: builtins.list[DeviceMapping] | None = None,
        device_cgroup_rules: builtins.list[str] | None = None,
        device_requests: builtins.list[DeviceRequest] | None = None,
        kernel_memory: int | None = None,
        kernel_memory_tcp: int | None = None,
        memory_reservation: int = 0,
        memory_swap: int = 0,
        memory_swappiness: int | None = None,
        oom_kill_disable: bool | None = None,
        pids_limit: int | None = None,
        ulimits: builtins.list[Ulimit] | None = None,
        cpu_count: int = 0,
        cpu_percent: int = 0,
        io_maximum_iops: int = 0,
        io_maximum_bandwidth: int = 0,
        restart_policy: RestartPolicy | None = None,
        timeout: Limit = CLIENT,
    ) -> ContainerUpdateResponse:
        """Change limits of a container while it runs.

        Endpoint: ``POST /containers/{id}/update``.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            cpu_shares: Docker's ``CpuShares``.
            memory: bytes.
            nano_cpus: billionths of a processor.
            cgroup_parent: Docker's ``CgroupParent``.
            blkio_weight: 10 to 1000.
            blkio_weight_device: Docker's ``BlkioWeightDevice``.
            blkio_device_read_bps: Docker's ``BlkioDeviceReadBps``.
            blkio_device_write_bps: Docker's ``BlkioDeviceWriteBps``.
            blkio_device_read_iops: Docker's ``BlkioDeviceReadIOps``.
            blkio_device_write_iops: Docker's ``BlkioDeviceWriteIOps``.
            cpu_period: microseconds.
            cpu_quota: microseconds per period.
            cpu_realtime_period: microseconds.
            cpu_realtime_runtime: microseconds per period.
            cpuset_cpus: such as ``0-2,4``.
            cpuset_mems: Docker's ``CpusetMems``.
            devices: Docker's ``Devices``.
            device_cgroup_rules: such as ``c 13:* rwm``.
            device_requests: Docker's ``DeviceRequests``.
            kernel_memory: below 1.42, bytes; since then ignored.
            kernel_memory_tcp: 1.40 to 1.51, bytes; cgroup v1 only.
            memory_reservation: bytes.
            memory_swap: bytes of memory and swap together; -1 is without limit.
            memory_swappiness: 0 to 100; -1 or null is the kernel's default.
            oom_kill_disable: Docker's ``OomKillDisable``.
            pids_limit: 0 or -1 is without limit; null is no change in an update.
            ulimits: Docker's ``Ulimits``.
            cpu_count: Windows only, as are the next three.
            cpu_percent: Docker's ``CpuPercent``.
            io_maximum_iops: Docker's ``IOMaximumIOps``.
            io_maximum_bandwidth: Docker's ``IOMaximumBandwidth``.
            restart_policy: Docker's ``RestartPolicy``.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            What is remarkable about an update.

        Raises:
            NotFound: there is no such object.
            Conflict: it is in a state that forbids this.
        """
        answer: ContainerUpdateResponse = self._client.calling.call(
            "containers.update",
            {
                "id": id,
                "cpu_shares": cpu_shares,
                "memory": memory,
                "nano_cpus": nano_cpus,
                "cgroup_parent": cgroup_parent,
                "blkio_weight": blkio_weight,
                "blkio_weight_device": blkio_weight_device,
                "blkio_device_read_bps": blkio_device_read_bps,
                "blkio_device_write_bps": blkio_device_write_bps,
                "blkio_device_read_iops": blkio_device_read_iops,
                "blkio_device_write_iops": blkio_device_write_iops,
                "cpu_period": cpu_period,
                "cpu_quota": cpu_quota,
                "cpu_realtime_period": cpu_realtime_period,
                "cpu_realtime_runtime": cpu_realtime_runtime,
                "cpuset_cpus": cpuset_cpus,
                "cpuset_mems": cpuset_mems,
                "devices": devices,
                "device_cgroup_rules": device_cgroup_rules,
                "device_requests": device_requests,
                "kernel_memory": kernel_memory,
                "kernel_memory_tcp": kernel_memory_tcp,
                "memory_reservation": memory_reservation,
                "memory_swap": memory_swap,
                "memory_swappiness": memory_swappiness,
                "oom_kill_disable": oom_kill_disable,
                "pids_limit": pids_limit,
                "ulimits": ulimits,
                "cpu_count": cpu_count,
                "cpu_percent": cpu_percent,
                "io_maximum_iops": io_maximum_iops,
                "io_maximum_bandwidth": io_maximum_bandwidth,
                "restart_policy": restart_policy,
            },
            timeout,
        )
        return answer

    def rename(self, id: str, name: str, *, timeout: Limit = CLIENT) -> None:
        """Give a container another name.

        Endpoint: ``POST /containers/{id}/rename``.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            name: which one: a name, an id, or the beginning of an id.
            timeout: seconds for the whole call; None is for ever.

        Raises:
            NotFound: there is no such object.
            Conflict: it is in a state that forbids this.
        """
        self._client.calling.call("containers.rename", {"id": id, "name": name}, timeout)

    def pause(self, id: str, *, timeout: Limit = CLIENT) -> None:
        """Freeze all processes of a container.

        Endpoint: ``POST /containers/{id}/pause``.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            timeout: seconds for the whole call; None is for ever.

        Raises:
            NotFound: there is no such object.
            Conflict: it is in a state that forbids this.
        """
        self._client.calling.call("containers.pause", {"id": id}, timeout)

    def unpause(self, id: str, *, timeout: Limit = CLIENT) -> None:
        """Let a paused container go on.

        Endpoint: ``POST /containers/{id}/unpause``.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            timeout: seconds for the whole call; None is for ever.

        Raises:
            NotFound: there is no such object.
        """
        self._client.calling.call("containers.unpause", {"id": id}, timeout)

    def wait(
        self, id: str, *, condition: str = "", timeout: Limit = CLIENT
    ) -> ContainerWaitResponse:
        """Wait until a container ends, and tell how.

        Endpoint: ``POST /containers/{id}/wait``.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            condition: ``not-running`` (or empty), ``next-exit`` or ``removed``.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            How a container ended.

        Raises:
            NotFound: there is no such object.
        """
        answer: ContainerWaitResponse = self._client.calling.call(
            "containers.wait", {"id": id, "condition": condition}, timeout
        )
        return answer

    def remove(
        self,
        id: str,
        *,
        v: bool = False,
        force: bool = False,
        link: bool = False,
        timeout: Limit = CLIENT,
    ) -> None:
        """Remove a container.

        Endpoint: ``DELETE /containers/{id...}``.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            v: its anonymous volumes too.
            force: even while it runs: kill it first.
            link: only the link of that name.
            timeout: seconds for the whole call; None is for ever.

        Raises:
            NotFound: there is no such object.
            Conflict: it is in a state that forbids this.
        """
        self._client.calling.call(
            "containers.remove", {"id": id, "v": v, "force": force, "link": link}, timeout
        )

    def prune(
        self, *, filters: Filters | None = None, timeout: Limit = CLIENT
    ) -> ContainerPruneResponse:
        """Remove all containers that do not run.

        Filters: label, until.

        Endpoint: ``POST /containers/prune``, since 1.25.

        Args:
            filters: Docker's ``filters``.
            timeout: seconds for the whole call; None is for ever.

        Returns:
            The containers that were removed.

        Raises:
            Conflict: it is in a state that forbids this.
        """
        answer: ContainerPruneResponse = self._client.calling.call(
            "containers.prune", {"filters": filters}, timeout
        )
        return answer

    def logs(
        self,
        id: str,
        *,
        follow: bool = False,
        stdout: bool = False,
        stderr: bool = False,
        since: str = "",
        until: str = "",
        timestamps: bool = False,
        details: bool = False,
        tail: str = "all",
        timeout: float | None = None,
    ) -> OutputStream:
        """Read what a container has written.

        Endpoint: ``GET /containers/{id}/logs``.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            follow: Docker's ``follow``.
            stdout: Docker's ``stdout``.
            stderr: Docker's ``stderr``.
            since: Unix seconds, with a fraction if need be, or RFC 3339.
            until: as ``since``.
            timestamps: Docker's ``timestamps``.
            details: put the labels and variables that the log's configuration names before
                each line.
            tail: the last so many lines; what is no number is all.
            timeout: seconds to wait for each piece; None is for ever.

        Returns:
            The output, read as it comes.

        Raises:
            NotFound: there is no such object.
        """
        return OutputStream(
            self._client,
            self._client.calling.prepare(
                "containers.logs",
                {
                    "id": id,
                    "follow": follow,
                    "stdout": stdout,
                    "stderr": stderr,
                    "since": since,
                    "until": until,
                    "timestamps": timestamps,
                    "details": details,
                    "tail": tail,
                },
            ),
            timeout,
        )

    def attach(
        self,
        id: str,
        *,
        detach_keys: str = "",
        logs: bool = False,
        stream: bool = False,
        stdin: bool = False,
        stdout: bool = False,
        stderr: bool = False,
        timeout: float | None = None,
    ) -> Session:
        """Connect to the streams of a container.

        Endpoint: ``POST /containers/{id}/attach``.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            detach_keys: keys that detach, such as ``ctrl-p,ctrl-q``, which is also what empty
                means.
            logs: what it has written so far.
            stream: what it writes from now on.
            stdin: Docker's ``stdin``.
            stdout: Docker's ``stdout``.
            stderr: Docker's ``stderr``.
            timeout: seconds to wait for each piece; None is for ever.

        Returns:
            A connection, made when it is entered or first used.

        Raises:
            NotFound: there is no such object.
            Conflict: it is in a state that forbids this.
        """
        return Session(
            self._client,
            self._client.calling.prepare(
                "containers.attach",
                {
                    "id": id,
                    "detach_keys": detach_keys,
                    "logs": logs,
                    "stream": stream,
                    "stdin": stdin,
                    "stdout": stdout,
                    "stderr": stderr,
                },
            ),
            timeout,
        )

    def attach_websocket(
        self,
        id: str,
        *,
        detach_keys: str = "",
        logs: bool = False,
        stream: bool = False,
        stdin: bool = False,
        stdout: bool = False,
        stderr: bool = False,
        timeout: float | None = None,
    ) -> WebSocketSession:
        """Connect to the streams of a container through a WebSocket.

        Endpoint: ``GET /containers/{id}/attach/ws``.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            detach_keys: Docker's ``detachKeys``.
            logs: Docker's ``logs``.
            stream: Docker's ``stream``.
            stdin: Docker's ``stdin``.
            stdout: Docker's ``stdout``.
            stderr: Docker's ``stderr``.
            timeout: seconds to wait for each piece; None is for ever.

        Returns:
            A connection, made when it is entered or first used.

        Raises:
            NotFound: there is no such object.
            Conflict: it is in a state that forbids this.
        """
        from palan.client._sync.websocket import WebSocketSession

        return WebSocketSession(
            self._client,
            self._client.calling.prepare(
                "containers.attach_websocket",
                {
                    "id": id,
                    "detach_keys": detach_keys,
                    "logs": logs,
                    "stream": stream,
                    "stdin": stdin,
                    "stdout": stdout,
                    "stderr": stderr,
                },
            ),
            timeout,
        )

    def resize(self, id: str, h: int, w: int, *, timeout: Limit = CLIENT) -> None:
        """Set the size of a container's terminal, in characters.

        Endpoint: ``POST /containers/{id}/resize``.

        Args:
            id: which one: a name, an id, or the beginning of an id.
            h: Docker's ``h``.
            w: Docker's ``w``.
            timeout: seconds for the whole call; None is for ever.

        Raises:
            NotFound: there is no such object.
            Conflict: it is in a state that forbids this.
        """
        self._client.calling.call("containers.resize", {"id": id, "h": h, "w": w}, timeout)
