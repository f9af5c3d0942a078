"""Many networks with a few containers each: created, used and removed without leftovers.

    python -m tests.soak.networks --networks 100 --containers 3

Every container of a network looks up the name of the next one and sends bytes to it.
"""

import argparse
import contextlib
import statistics
import sys
import time
from collections.abc import Iterator

from tests.support.crash import (
    assert_quiet_log,
    assert_same_footprint,
    exec_output,
    running,
    settled_footprint,
)
from tests.support.engine import TestEngine


@contextlib.contextmanager
def timed(what: str, times: dict[str, list[float]]) -> Iterator[None]:
    """Record the time that a step takes."""
    began = time.perf_counter()
    yield
    times.setdefault(what, []).append((time.perf_counter() - began) * 1000)


def one_round(engine: TestEngine, networks: int, containers: int) -> dict[str, list[float]]:
    """Create, use and remove all networks; return the milliseconds of each step."""
    times: dict[str, list[float]] = {}
    made = []
    for number in range(networks):
        with timed("create network", times):
            body = {"Name": f"soak{number}", "EnableIPv6": number % 4 == 0}
            answer = engine.api.post("/networks/create", body)
        assert answer.status == 201, answer.body
        made.append(answer.json["Id"])
        for index in range(containers):
            host = {"NetworkMode": f"soak{number}"}
            container = engine.create("sleep", "1000", name=f"soak{number}-{index}", host=host)
            with timed("start container", times):
                assert engine.api.post(f"/containers/{container}/start").status == 204
    for number in range(networks):
        for index in range(containers):
            other = f"soak{number}-{(index + 1) % containers}"
            with timed("ping by name", times):
                said = exec_output(engine, f"soak{number}-{index}", "ping", "-c1", "-W2", other)
            assert " 0% packet loss" in said, said
    for number in range(networks):
        for index in range(containers):
            with timed("remove container", times):
                engine.remove(f"soak{number}-{index}")
        with timed("remove network", times):
            assert engine.api.delete(f"/networks/{made[number]}").status == 204
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", type=int, default=100)
    parser.add_argument("--containers", type=int, default=3)
    given = parser.parse_args()
    with running() as engine:
        engine.remove(engine.run("true"))
        before = settled_footprint(engine)
        times = one_round(engine, given.networks, given.containers)
        assert_same_footprint(engine, before, seconds=30)
        assert_quiet_log(engine)
    for what, values in times.items():
        sys.stdout.write(
            f"{what:18} {len(values):5} times, median {statistics.median(values):7.1f} ms,"
            f" worst {max(values):7.1f} ms\n"
        )


if __name__ == "__main__":
    main()
