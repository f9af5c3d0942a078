"""Sends the lines of all containers whose driver ships them, from start until all is sent."""

import asyncio
import contextlib
from functools import partial
from typing import Any, Final

import structlog

from palan.api.errors import InternalError, PalanError
from palan.engine.logdrivers.attributes import extra_attributes, log_tag
from palan.engine.logdrivers.container import LoggedContainer
from palan.engine.logdrivers.driver import Driver, Origin, Sink
from palan.engine.logdrivers.drivers import SHIPPING
from palan.engine.logdrivers.positions import TABLE, Position
from palan.engine.logdrivers.shipper import Shipper
from palan.engine.logdrivers.surroundings import Surroundings
from palan.engine.logdrivers.template import TemplateError
from palan.engine.logdrivers.watches import FileWatches
from palan.engine.timestamps import go_time


__all__ = ["Shipping"]

DRAIN: Final = 5.0
"""Seconds that the removal of a container waits for its last lines to be sent."""

_log: Any = structlog.get_logger("palan.engine")


class Shipping:
    """The shippers of all containers.

    Args:
        surroundings: the rest of the engine.
        watches: watches on files.
        hostname: the machine's name, which drivers send.
    """

    def __init__(self, surroundings: Surroundings, watches: FileWatches, hostname: str) -> None:
        self._engine = surroundings
        self._watches = watches
        self._hostname = hostname
        self._positions = dict(TABLE.load(surroundings.db))
        self._shippers: dict[str, Shipper] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._sinks: dict[str, Sink] = {}
        self._resting = asyncio.Lock()

    async def connect(self, container: LoggedContainer, *, by_policy: bool) -> None:
        """Connect to the receiver before a container is started.

        A start by a restart policy does not need it: no client could see the error, and lines
        can be sent later.

        Raises:
            InternalError: the receiver can't be reached and the driver requires it; in
                dockerd's words.
        """
        driver = _driver(container)
        if driver is None or by_policy or container.id in self._shippers:
            return
        before = "failed to create task for container: failed to initialize logging driver: "
        sink: Sink | None = None
        try:
            sink = driver.sink(self._origin(container, driver))
            if sink.must_connect:
                await sink.open()
        except (OSError, PalanError, TemplateError) as error:
            if sink is not None:
                await sink.close()
            text = error.message if isinstance(error, PalanError) else str(error)
            raise InternalError(before + text) from None
        self._sinks[container.id] = sink

    async def disconnect(self, container: LoggedContainer) -> None:
        """Undo :meth:`connect` for a container that was not started after all."""
        if (sink := self._sinks.pop(container.id, None)) is not None:
            await sink.close()

    def begin(self, container: LoggedContainer) -> None:
        """Send the lines of a container that runs, or has lines left that were not sent."""
        driver = _driver(container)
        if driver is None:
            return
        if (shipper := self._shippers.get(container.id)) is not None:
            shipper.ended = not container.running
            return
        sink = self._sinks.pop(container.id, None)
        is_open = sink is not None and sink.must_connect
        if sink is None:
            try:
                sink = driver.sink(self._origin(container, driver))
            except TemplateError as error:  # an update may have changed what it refers to
                _log.warning("log lines can't be sent", container=container.id, reason=str(error))
                return
        shipper = Shipper(
            self._engine.paths.log(container.id),
            sink,
            self._positions.get(container.id, Position()),
            container_id=container.id,
            options=container.record.host_config.log_config.config or {},
            watches=self._watches,
            save=partial(self._save, container.id),
            resting=self._resting,
            is_open=is_open,
        )
        shipper.ended = not container.running
        self._shippers[container.id] = shipper
        task = self._engine.spawn(shipper.run(), endless=True)
        self._tasks[container.id] = task
        task.add_done_callback(lambda _: self._finished(container, shipper))

    def resume(self, container: LoggedContainer) -> None:
        """Send the lines that an earlier engine has not sent, and those still to come."""
        position = self._positions.get(container.id)
        started = bool(container.record.started)
        if container.running or (started and not (position and position.done)):
            self.begin(container)

    def end(self, container: LoggedContainer) -> None:
        """Let a shipper finish: its container has ended, and the log is complete."""
        if (shipper := self._shippers.get(container.id)) is not None:
            shipper.ended = True
            shipper.wake()

    def rotated(self, container_id: str) -> None:
        """Wake a shipper: the log continues in another file."""
        if (shipper := self._shippers.get(container_id)) is not None:
            shipper.wake()

    async def remove(self, container: LoggedContainer) -> None:
        """Send the last lines of a container that is removed, unless its receiver fails."""
        shipper, task = self._shippers.get(container.id), self._tasks.get(container.id)
        if shipper is not None and task is not None:
            deadline = asyncio.get_running_loop().time() + DRAIN
            while not (task.done() or shipper.failing):
                if asyncio.get_running_loop().time() > deadline:
                    break
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await asyncio.shield(task)
            task.cancel()
        if self._positions.pop(container.id, None) is not None:
            TABLE.post_delete(self._engine.db, container.id)

    def _save(self, container_id: str, position: Position) -> None:
        self._positions[container_id] = position
        TABLE.post(self._engine.db, container_id, position)

    def _finished(self, container: LoggedContainer, shipper: Shipper) -> None:
        if self._shippers.get(container.id) is not shipper:
            return
        del self._shippers[container.id]
        self._tasks.pop(container.id, None)
        # It may have been started again after its last line was sent.
        if container.running and not self._engine.stopping.is_set():
            self.begin(container)

    def _origin(self, container: LoggedContainer, driver: Driver) -> Origin:
        record = container.record
        return Origin(
            id=record.id,
            name=record.name,
            image_id=record.image,
            image_name=record.config.image,
            command=" ".join([record.path, *record.args]),
            created=go_time(record.created),
            hostname=self._hostname,
            tag=log_tag(
                record,
                default=driver.default_tag,
                hostname=self._hostname,
                path=str(self._engine.paths.log(record.id)),
            ),
            extra=extra_attributes(record, driver.rename),
            options=record.host_config.log_config.config or {},
        )


def _driver(container: LoggedContainer) -> Driver | None:
    return SHIPPING.get(container.record.host_config.log_config.type)
