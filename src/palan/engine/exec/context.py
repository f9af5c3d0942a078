"""The shared state of execs: all instances in memory, and their surroundings."""

import asyncio
import time
from pathlib import Path
from typing import Final

from palan.api.errors import NotFound
from palan.engine.exec.instance import ExecInstance
from palan.engine.exec.surroundings import Surroundings


__all__ = ["ExecContext"]

KEPT: Final = 300.0
"""Seconds for which an ended exec can still be asked for its exit code."""

CHECKS_STARTING: Final = 4
"""Health checks that are started concurrently; starts for clients take precedence."""


class ExecContext:
    """All that the operations on execs share.

    Attributes:
        surroundings: the rest of the engine.
        starting_checks: held while a health check is started.
    """

    def __init__(self, surroundings: Surroundings) -> None:
        self.surroundings = surroundings
        self.starting_checks = asyncio.Semaphore(CHECKS_STARTING)
        self._instances: dict[str, ExecInstance] = {}
        self._by_container: dict[str, dict[str, ExecInstance]] = {}

    def get(self, exec_id: str) -> ExecInstance:
        """Return the exec of that id.

        Raises:
            NotFound: there is no such exec.
        """
        try:
            return self._instances[exec_id]
        except KeyError:
            raise NotFound(f"No such exec instance: {exec_id}") from None

    def all(self) -> list[ExecInstance]:
        """Return all execs."""
        return list(self._instances.values())

    def of_container(self, container_id: str) -> list[ExecInstance]:
        """Return the execs of one container."""
        return list(self._by_container.get(container_id, {}).values())

    def add(self, instance: ExecInstance) -> None:
        """Enter a new exec, and discard those that ended long ago."""
        limit = time.monotonic() - KEPT
        for known in self.all():
            if known.ended_at is not None and known.ended_at < limit:
                self.discard(known)
        self._instances[instance.id] = instance
        self._by_container.setdefault(instance.target.id, {})[instance.id] = instance

    def discard(self, instance: ExecInstance) -> None:
        """Drop an exec from memory; its process, if it runs, continues."""
        self._instances.pop(instance.id, None)
        siblings = self._by_container.get(instance.target.id, {})
        siblings.pop(instance.id, None)
        if not siblings:
            self._by_container.pop(instance.target.id, None)

    def directory(self, instance: ExecInstance) -> Path:
        """Return the directory of an exec's conmon."""
        return self.surroundings.paths.bundle(instance.target.id) / "execs" / instance.id

    def publish(self, instance: ExecInstance, action: str, **attributes: str) -> None:
        """Publish an event of an exec, which is one of its container."""
        target = instance.target
        self.surroundings.events.publish(
            "container",
            action,
            target.id,
            {**target.attributes, "execID": instance.id, **attributes},
        )
