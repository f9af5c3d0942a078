"""``GET /containers/{id}/stats``: the resource usage of a container, now or once a second.

All watched containers are sampled together by one call in a thread: a hundred streams cost a
hundred samples a second, and clients that watch the same container share its samples.  A
client that reads slowly misses samples, and delays no other.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Collection
from typing import Final

from msgspec.structs import replace

from palan.api import UNSET, Unset
from palan.api.containers import (
    ContainerBlkioStatEntry,
    ContainerBlkioStats,
    ContainerCPUStats,
    ContainerCPUUsage,
    ContainerMemoryStats,
    ContainerNetworkStats,
    ContainerPidsStats,
    ContainerStatsResponse,
    ContainerThrottlingData,
)
from palan.api.results import MessageStream
from palan.engine.containers.container import Container
from palan.engine.containers.context import ContainerContext
from palan.engine.containers.spec import cgroup_path, network_owner
from palan.engine.timestamps import ZERO_TIME, go_time
from palan.host.cgroup_usage import (
    BlockIO,
    CgroupMeter,
    Usage,
    online_processors,
    system_processor_time,
)
from palan.host.interface_counters import interface_counters


__all__ = ["StatsStreams"]

_INTERVAL: Final = 1.0
"""Seconds between two samples."""

_TOO_SOON: Final = 0.5
"""A client that got a sample less than so many seconds ago is not sent another one."""


class _Watcher:
    """A client that streams, with the newest sample that it has not read."""

    def __init__(self) -> None:
        self._newest: ContainerStatsResponse | None = None
        self._changed = asyncio.Event()
        self._ended = False
        self._given = float("-inf")

    def offer(self, sample: ContainerStatsResponse, now: float) -> None:
        if now - self._given >= _TOO_SOON:
            self._newest, self._given = sample, now
            self._changed.set()

    def end(self) -> None:
        self._ended = True
        self._changed.set()

    async def next(self) -> ContainerStatsResponse | None:
        """Return the next sample; None once the container is removed."""
        while True:
            sample, self._newest = self._newest, None
            if sample is not None or self._ended:
                return sample
            self._changed.clear()
            await self._changed.wait()


class _Watched:
    """A container that is sampled, and its meter."""

    def __init__(self, context: ContainerContext, container: Container) -> None:
        self.container = container
        path = cgroup_path(context, container.record)
        self._meter = CgroupMeter(context.machine.cgroups, path)
        self._memory = context.machine.facts.memory_total
        self._context = context
        self.watchers: set[_Watcher] = set()
        self._removal: asyncio.Future[int] | None = None

    def await_removal(self) -> None:
        """End the streams of all watchers as soon as the container is removed."""
        self._removal = self.container.removal
        self._removal.add_done_callback(self._removal_resolved)

    def cancel(self) -> None:
        """Wait for the removal no longer."""
        if self._removal is not None:
            self._removal.remove_done_callback(self._removal_resolved)

    def _removal_resolved(self, _: asyncio.Future[int]) -> None:
        if not self.container.removed:
            self.await_removal()  # it has failed, and may be tried again
            return
        for watcher in list(self.watchers):
            watcher.end()

    def sample(self, system: int, processors: int) -> ContainerStatsResponse:
        """Return the resource usage; zeros if the container does not run.  Blocking."""
        container = self.container
        record = container.record
        process = record.process
        answer = ContainerStatsResponse(id=record.id, name=f"/{record.name}", os_type="linux")
        if not container.running or process is None:
            return answer
        try:
            usage = self._meter.read()
            networks = self._networks(process.pid)
        except OSError:  # the container has just ended
            return answer
        answer.read = go_time(time.time_ns())
        answer.cpu_stats = _cpu(usage, system, processors)
        answer.memory_stats = _memory(usage, self._memory)
        answer.pids_stats = ContainerPidsStats(
            current=usage.processes or 0, limit=usage.process_limit or 0
        )
        answer.blkio_stats = _block_io(usage)
        answer.networks = networks
        return answer

    def _networks(self, pid: int) -> dict[str, ContainerNetworkStats] | Unset:
        owner = network_owner(self._context, self.container)
        if owner.record.host_config.network_mode == "host":
            return UNSET  # its interfaces are the host's
        return {
            name: ContainerNetworkStats(**counters._asdict())
            for name, counters in interface_counters(pid).items()
        } or UNSET


class StatsStreams:
    """All clients that watch containers.

    Args:
        context: the context of the room.
    """

    def __init__(self, context: ContainerContext) -> None:
        self._context = context
        self._watched: dict[str, _Watched] = {}
        self._sampling = False

    def answer(self, container: Container, *, stream: bool, one_shot: bool) -> MessageStream:
        """Return the answer to a request.

        Args:
            container: the container.
            stream: send a sample each second, until the container is removed.
            one_shot: without ``stream``, take one sample instead of two a second apart.
        """
        if stream:
            return MessageStream(self._stream(container), early=True)
        return MessageStream(self._single(container, one_shot=one_shot))

    async def _single(
        self, container: Container, *, one_shot: bool
    ) -> AsyncIterator[ContainerStatsResponse]:
        before = None
        if not one_shot and container.running:
            before = await self._sample(container)
            await asyncio.sleep(_INTERVAL)
        yield _with_previous(before, await self._sample(container))

    async def _sample(self, container: Container) -> ContainerStatsResponse:
        watched = self._watched.get(container.id) or _Watched(self._context, container)
        (sample,) = await asyncio.to_thread(_sample_all, [watched])
        return sample

    async def _stream(self, container: Container) -> AsyncIterator[ContainerStatsResponse]:
        watcher, watched = _Watcher(), self._watched.get(container.id)
        if watched is None:
            watched = self._watched[container.id] = _Watched(self._context, container)
            watched.await_removal()
        watched.watchers.add(watcher)
        if container.removed:
            watcher.end()
        try:
            watcher.offer(await self._sample(container), time.monotonic())
            self._begin_sampling()
            before = None
            while (sample := await watcher.next()) is not None:
                yield _with_previous(before, sample)
                before = sample
        finally:
            watched.watchers.discard(watcher)
            if not watched.watchers and self._watched.get(container.id) is watched:
                del self._watched[container.id]
                watched.cancel()

    def _begin_sampling(self) -> None:
        if not self._sampling:
            self._sampling = True
            self._context.spawn(self._sample_every_second(), endless=True)

    async def _sample_every_second(self) -> None:
        """Sample the watched containers once a second, until no client is left."""
        try:
            due = time.monotonic() + _INTERVAL
            while self._watched:
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                # A busy machine skips samples instead of catching up.
                due = max(due + _INTERVAL, time.monotonic() + _TOO_SOON)
                watched = list(self._watched.values())
                samples = await asyncio.to_thread(_sample_all, watched)
                now = time.monotonic()
                for one, sample in zip(watched, samples, strict=True):
                    for watcher in list(one.watchers):
                        watcher.offer(sample, now)
        finally:
            self._sampling = False


def _sample_all(watched: Collection[_Watched]) -> list[ContainerStatsResponse]:
    processors = online_processors()
    return [one.sample(system_processor_time(), processors) for one in watched]


def _with_previous(
    before: ContainerStatsResponse | None, sample: ContainerStatsResponse
) -> ContainerStatsResponse:
    """Return a sample with the processor times of the previous one."""
    if before is None or before.read == ZERO_TIME:
        return sample
    return replace(sample, preread=before.read, precpu_stats=before.cpu_stats)


# ---- a sample as the API has it -------------------------------------------------------


def _cpu(usage: Usage, system: int, processors: int) -> ContainerCPUStats:
    return ContainerCPUStats(
        cpu_usage=ContainerCPUUsage(
            total_usage=usage.processor,
            percpu_usage=UNSET if usage.per_processor is None else usage.per_processor,
            usage_in_kernelmode=usage.system,
            usage_in_usermode=usage.user,
        ),
        system_cpu_usage=system,
        online_cpus=processors,
        throttling_data=ContainerThrottlingData(
            periods=usage.periods,
            throttled_periods=usage.throttled_periods,
            throttled_time=usage.throttled,
        ),
    )


def _memory(usage: Usage, machine: int) -> ContainerMemoryStats:
    if usage.memory is None:
        return ContainerMemoryStats()
    limit = machine if usage.memory_limit is None else min(usage.memory_limit, machine)
    return ContainerMemoryStats(
        usage=usage.memory,
        max_usage=usage.memory_peak,
        stats=usage.memory_details,
        failcnt=usage.memory_failures,
        limit=limit,
    )


def _block_io(usage: Usage) -> ContainerBlkioStats:
    def entries(kind: str) -> list[ContainerBlkioStatEntry] | None:
        found: list[BlockIO] | None = usage.block_io.get(kind)
        if found is None:
            return None
        return [
            ContainerBlkioStatEntry(major=major, minor=minor, op=op, value=value)
            for major, minor, op, value in found
        ]

    return ContainerBlkioStats(
        io_service_bytes_recursive=entries("service_bytes"),
        io_serviced_recursive=entries("serviced"),
        io_queue_recursive=entries("queued"),
        io_service_time_recursive=entries("service_time"),
        io_wait_time_recursive=entries("wait_time"),
        io_merged_recursive=entries("merged"),
        io_time_recursive=entries("time"),
        sectors_recursive=entries("sectors"),
    )
