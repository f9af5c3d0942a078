"""The subject of measurements (an engine with containers), and the class of a measurement."""

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from engines import PATH, Engine
from registry import RegistryHost


__all__ = ["LISTED", "SLEEP", "Measurement", "Sample", "Subject", "milliseconds"]

Sample = dict[str, float]

LISTED = 100  # the number of containers that exist during most measurements
SLEEP = ("sleep", "86400")


class Subject:
    """An engine, and the containers in it that measurements use."""

    def __init__(self, engine: Engine, registry: RegistryHost) -> None:
        self.engine = engine
        self.registry = registry
        self.client = engine.client
        self.running = ""
        self.idle = ""

    def create_containers(self) -> None:
        """Create one running container, and stopped ones up to ``LISTED`` in total."""
        self.running = self.client.run(*SLEEP)
        self.idle = self.client.create("true")
        for _ in range(LISTED - 2):
            self.client.create("true", network="none")

    def docker(self, *arguments: str) -> None:
        """Run the docker command against the engine."""
        subprocess.run(
            ["docker", "-H", self.engine.url, *arguments],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={"PATH": PATH, "DOCKER_CONFIG": str(self.engine.run)},
        )


@dataclass(frozen=True)
class Measurement:
    """A function that takes one sample; it is called ``rounds`` times for each engine."""

    rows: tuple[str, ...]
    take: Callable[[Subject], Sample]
    rounds: int
    needs_containers: bool = True  # the containers of ``Subject.create_containers``
    warm_up: bool = True  # whether a first round is discarded


def milliseconds(action: Callable[[], object], times: int = 1) -> float:
    """Return the milliseconds of one call of an action, on average over ``times`` calls."""
    began = time.perf_counter()
    for _ in range(times):
        action()
    return (time.perf_counter() - began) * 1000 / times
