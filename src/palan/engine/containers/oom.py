"""Containers that run out of memory: noted at once, whichever of their processes is killed.

As with dockerd, each time is an event ``oom``, and inspect shows ``OOMKilled`` until the next
start, also while the container still runs.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Protocol

from palan.engine.containers.container import Container
from palan.engine.events import Publisher
from palan.host.inotify import MODIFY, OVERFLOW, Inotify
from palan.host.oom import (
    EVENTS,
    count_kills,
    register_eventfd,
    take_signals,
)
from palan.store.database import StoreFailure


__all__ = ["MemoryWatches", "note_out_of_memory"]


class _Context(Protocol):
    """The part of the room's context that is needed to note it."""

    @property
    def events(self) -> Publisher:
        """The journal of events."""

    @property
    def log(self) -> Any:
        """The log of the room."""

    async def save(self, container: Container, /) -> None:
        """Write the container's row; committed on return."""

    def spawn(self, work: Coroutine[Any, Any, None], /) -> object:
        """Run something without waiting for it."""


def note_out_of_memory(context: _Context, container: Container) -> None:
    """Publish and save that a container has run out of memory."""
    container.record.oom_killed = True
    context.events.publish("container", "oom", container.id, container.attributes)
    context.spawn(_save(context, container))


async def _save(context: _Context, container: Container) -> None:
    async with container.lock:
        if not container.running:
            return  # its end is saved with that
        try:
            await context.save(container)
        except StoreFailure as failure:
            context.log.warning(
                "a container's lack of memory is not saved",
                container=container.id,
                reason=str(failure),
            )


class _Watched:
    """A container's memory cgroup.

    Attributes:
        eventfd: with cgroup v1, the descriptor that the kernel signals.
        watch: with cgroup v2, the watch on ``memory.events``.
        kills: the number of processes that were killed, as far as it was noted.
    """

    def __init__(self, container: Container, cgroup: Path) -> None:
        self.container = container
        self.cgroup = cgroup
        self.eventfd: int | None = None
        self.watch: int | None = None
        self.kills = 0


class MemoryWatches:
    """The watches on the memory cgroups of all containers that run.

    Args:
        note: is called with a container each time that it has run out of memory.
    """

    def __init__(self, note: Callable[[Container], None]) -> None:
        self._note = note
        self._watched: dict[str, _Watched] = {}
        self._by_watch: dict[int, _Watched] = {}
        self._inotify: Inotify | None = None

    def begin(self, container: Container, cgroup: Path | None) -> None:
        """Watch a container that runs; it may have run out of memory already.

        Args:
            container: the container.
            cgroup: the directory with its memory controller; None without that controller.
        """
        self._close(container.id)
        if cgroup is None:
            return
        watched = self._watched[container.id] = _Watched(container, cgroup)
        with contextlib.suppress(OSError):  # it has just ended, or the kernel has no more watches
            if (cgroup / EVENTS).exists():
                watched.watch = self._opened().add(cgroup / EVENTS, MODIFY)
                self._by_watch[watched.watch] = watched
            else:
                watched.eventfd = register_eventfd(cgroup)
                asyncio.get_running_loop().add_reader(watched.eventfd, self._signalled, watched)
        watched.kills = count_kills(cgroup)
        # The kernel signals at once if processes wait for memory now.
        waiting = watched.eventfd is not None and take_signals(watched.eventfd)
        if (watched.kills or waiting) and not container.record.oom_killed:
            self._note(container)  # otherwise an earlier engine has noted it

    def end(self, container: Container) -> None:
        """Look a last time: the container has ended, and its cgroup still exists."""
        watched = self._watched.get(container.id)
        if watched is None:
            return
        if watched.eventfd is None:
            self._count(watched)
        elif take_signals(watched.eventfd):
            self._note(container)
        self._close(container.id)

    def close(self) -> None:
        """Close all watches; the containers continue to run."""
        for container_id in list(self._watched):
            self._close(container_id)
        if self._inotify is not None:
            asyncio.get_running_loop().remove_reader(self._inotify.fd)
            self._inotify.close()
            self._inotify = None

    def _close(self, container_id: str) -> None:
        watched = self._watched.pop(container_id, None)
        if watched is None:
            return
        if watched.eventfd is not None:
            asyncio.get_running_loop().remove_reader(watched.eventfd)
            os.close(watched.eventfd)
        if watched.watch is not None and self._inotify is not None:
            self._by_watch.pop(watched.watch, None)
            with contextlib.suppress(OSError):  # the cgroup is gone, and the watch with it
                self._inotify.remove(watched.watch)

    def _opened(self) -> Inotify:
        if self._inotify is None:
            self._inotify = Inotify()
            asyncio.get_running_loop().add_reader(self._inotify.fd, self._changed)
        return self._inotify

    def _signalled(self, watched: _Watched) -> None:
        assert watched.eventfd is not None  # noqa: S101 - it is what was signalled
        if not take_signals(watched.eventfd):
            return
        if watched.cgroup.exists():  # its removal is signalled, too
            self._note(watched.container)
        else:
            self._close(watched.container.id)

    def _changed(self) -> None:
        if self._inotify is None:
            return
        for event in self._inotify.read():
            if event.mask & OVERFLOW:
                for watched in list(self._by_watch.values()):
                    self._count(watched)
            elif (found := self._by_watch.get(event.watch)) is not None:
                self._count(found)

    def _count(self, watched: _Watched) -> None:
        kills = count_kills(watched.cgroup)
        if kills > watched.kills:
            watched.kills = kills
            self._note(watched.container)
