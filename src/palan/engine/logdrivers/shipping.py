"""All containers whose lines a driver sends elsewhere: from their start until all is sent."""

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from palan.api.errors import InternalError, PalanError
from palan.engine.containers.container import Container
from palan.engine.logdrivers.attributes import extra_attributes, log_tag
from palan.engine.logdrivers.drivers import SHIPPING
from palan.engine.logdrivers.shipper import Position, Shipper
from palan.engine.logdrivers.sink import Driver, Origin, Sink
from palan.engine.logdrivers.template import TemplateError
from palan.engine.timestamps import go_time
from palan.store.documents import Documents


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["POSITIONS", "Shipping"]

POSITIONS: Final = Documents("log_positions", Position)

DRAIN: Final = 5.0
"""Seconds that the removal of a container waits for its last lines to be sent."""


class Shipping:
    """The shippers of an engine."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._positions = dict(POSITIONS.load(engine.db))
        self._shippers: dict[str, Shipper] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._sinks: dict[str, Sink] = {}
        self.turn = asyncio.Lock()
        """Held by the one that rests, of those that have more to do."""

    async def connect(self, container: Container, *, by_policy: bool) -> None:
        """Before a start: see that the receiver is there.

        A restart policy does not need it: nobody is there to be told, and lines can wait.

        Raises:
            InternalError: it is not, and the driver wants it to be; in dockerd's words.
        """
        driver = SHIPPING.get(container.record.host_config.log_config.type)
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

    async def disconnect(self, container: Container) -> None:
        """It was not started after all."""
        if (sink := self._sinks.pop(container.id, None)) is not None:
            await sink.close()

    def begin(self, container: Container) -> None:
        """A container runs, or has lines left that were not sent."""
        driver = SHIPPING.get(container.record.host_config.log_config.type)
        if driver is None:
            return
        if (shipper := self._shippers.get(container.id)) is not None:
            shipper.ended = not container.running
            return
        sink = self._sinks.pop(container.id, None)
        position = self._positions.get(container.id, Position())
        is_open = sink is not None and sink.must_connect
        if sink is None:
            try:
                sink = driver.sink(self._origin(container, driver))
            except TemplateError as error:  # it is another image's by now
                self._engine.log.warning(
                    "log lines can't be sent", container=container.id, reason=str(error)
                )
                return
        shipper = Shipper(self._engine, container, sink, position, is_open=is_open)
        shipper.ended = not container.running
        self._shippers[container.id] = shipper
        task = self._engine.spawn(shipper.run(), endless=True)
        self._tasks[container.id] = task
        task.add_done_callback(lambda _: self._forget(container.id, shipper))

    def resume(self, container: Container) -> None:
        """After a start of the engine: go on with what was not sent, or is still written."""
        position = self._positions.get(container.id)
        started = bool(container.record.started)
        if container.running or (started and not (position and position.done)):
            self.begin(container)

    def end(self, container: Container) -> None:
        """A container has ended, and its log is complete."""
        if (shipper := self._shippers.get(container.id)) is not None:
            shipper.ended = True
            shipper.poke()

    def rotated(self, container_id: str) -> None:
        """The log of a container goes on in another file."""
        if (shipper := self._shippers.get(container_id)) is not None:
            shipper.poke()

    async def forget(self, container: Container) -> None:
        """A container is removed: send its last lines, if that goes without delay."""
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
            POSITIONS.post_delete(self._engine.db, container.id)

    def note(self, container: Container, position: Position) -> None:
        """Write down how far a shipper got."""
        self._positions[container.id] = position
        POSITIONS.post(self._engine.db, container.id, position)

    def _forget(self, container_id: str, shipper: Shipper) -> None:
        if self._shippers.get(container_id) is not shipper:
            return
        del self._shippers[container_id]
        self._tasks.pop(container_id, None)
        container = self._engine.containers.registry.find(container_id)
        # It was started again between its last line and now.
        if container is not None and container.running and not self._engine.stopping.is_set():
            self.begin(container)

    def _origin(self, container: Container, driver: Driver) -> Origin:
        record = container.record
        hostname = self._engine.machine.facts.hostname
        return Origin(
            id=record.id,
            name=record.name,
            image_id=record.image,
            image_name=record.config.image,
            command=" ".join([record.path, *record.args]),
            created=go_time(record.created),
            hostname=hostname,
            tag=log_tag(
                record,
                default=driver.default_tag,
                hostname=hostname,
                path=str(self._engine.paths.log(record.id)),
            ),
            extra=extra_attributes(record, driver.rename),
            options=record.host_config.log_config.config or {},
        )
