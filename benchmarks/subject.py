"""What is measured: an engine with what measurements find there, and how a sample is taken."""

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from engines import PATH, Engine
from registry import RegistryHost


__all__ = ["LISTED", "SLEEP", "Measurement", "Sample", "Subject", "milliseconds"]

Sample = dict[str, float]

LISTED = 100  # containers that exist while everything else is measured
SLEEP = ("sleep", "86400")


class Subject:
    """An engine and the containers that measurements find there."""

    def __init__(self, engine: Engine, registry: RegistryHost) -> None:
        self.engine = engine
        self.registry = registry
        self.client = engine.client
        self.running = ""
        self.idle = ""

    def furnish(self) -> None:
        """Make one container that runs, and others up to the number that is listed."""
        self.running = self.client.run(*SLEEP)
        self.idle = self.client.create("true")
        for _ in range(LISTED - 2):
            self.client.create("true", network="none")

    def docker(self, *arguments: str) -> None:
        """Run the docker command against it."""
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
    """Takes a sample, ``rounds`` times on each engine in turn."""

    rows: tuple[str, ...]
    take: Callable[[Subject], Sample]
    rounds: int
    furnished: bool = True  # whether the containers must be there
    warm_up: bool = True


def milliseconds(action: Callable[[], object], times: int = 1) -> float:
    """How long it takes, once."""
    began = time.perf_counter()
    for _ in range(times):
        action()
    return (time.perf_counter() - began) * 1000 / times
