"""Measurements with many containers at once: starting, watching and restarting them."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from client import Client
from processes import pss
from subject import SLEEP, Measurement, Sample, Subject


__all__ = ["CROWDS", "start_by_clients"]

_TICKS = os.sysconf("SC_CLK_TCK")


def start_by_clients(socket: Path, containers: Sequence[str], clients: int) -> None:
    """Start containers with several concurrent clients, each with a connection of its own."""
    failures: list[Exception] = []

    def work(mine: Sequence[str]) -> None:
        client = Client(socket)
        try:
            for container in mine:
                client.start(container)
        except Exception as error:  # noqa: BLE001 - raised again below, in the main thread
            failures.append(error)
        finally:
            client.close()

    threads = [
        threading.Thread(target=work, args=(containers[first::clients],))
        for first in range(clients)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def processor_share(pids: Sequence[int], action: Callable[[], object]) -> float:
    """Return the processor time of processes during an action, in percent of one processor."""

    def spent() -> float:
        total = 0
        for pid in pids:
            with contextlib.suppress(OSError):
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                total += int(fields[11]) + int(fields[12])
        return total / _TICKS

    before, began = spent(), time.monotonic()
    action()
    return (spent() - before) * 100 / (time.monotonic() - began)


@contextlib.contextmanager
def watching(socket: Path, containers: Sequence[str]) -> Iterator[Callable[[], int]]:
    """Stream the stats of containers; yield a function that returns the number of samples."""
    # One thread reads without decoding, so that reading costs next to nothing.
    import selectors

    clients = [Client(socket) for _ in containers]
    selector, samples, ended = selectors.DefaultSelector(), [0], threading.Event()
    for client, container in zip(clients, containers, strict=True):
        file = client.open("GET", f"/containers/{container}/stats")
        selector.register(file, selectors.EVENT_READ)

    def read() -> None:
        while not ended.is_set():
            for key, _ in selector.select(0.2):
                samples[0] += os.read(key.fd, 1 << 20).count(b'"read"')

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield lambda: samples[0]
    finally:
        ended.set()
        thread.join()
        selector.close()
        for client in clients:
            client.close()


def restarting(
    client: Client, containers: Sequence[str], engine: int, seconds: float, interval: float
) -> tuple[float, float]:
    """Kill one container after the other; their restart policy starts them again.

    Args:
        client: a client of the engine.
        containers: containers with the policy ``always``; each is killed at most once.
        engine: the pid of the engine.
        seconds: the length of the measurement.
        interval: seconds between two kills.

    Returns:
        The engine's processor time in percent of one processor, and its memory in MiB.
    """
    pids = [client.json("GET", f"/containers/{one}/json")["State"]["Pid"] for one in containers]
    kills = int(seconds / interval)

    def kill_some() -> None:
        due = time.monotonic()
        for pid in pids[:kills]:
            os.kill(pid, signal.SIGKILL)
            due += interval
            time.sleep(max(0.0, due - time.monotonic()))

    share = processor_share([engine], kill_some)
    memory = pss([engine])
    time.sleep(2)
    restarted = sum(
        client.json("GET", f"/containers/{one}/json")["RestartCount"] for one in containers
    )
    if restarted != min(kills, len(pids)):
        raise AssertionError(f"{restarted} of {kills} containers were restarted")
    return share, memory


def start_100_by_8(subject: Subject) -> Sample:
    containers = [subject.client.create(*SLEEP) for _ in range(100)]
    began = time.perf_counter()
    start_by_clients(subject.engine.socket, containers, 8)
    figure = (time.perf_counter() - began) * 1000
    for container in containers:
        subject.client.remove(container)
    return {"run.start100_by8": figure}


def stats(subject: Subject) -> Sample:
    containers = [subject.client.run(*SLEEP, network="none") for _ in range(100)]
    pids = sorted(subject.engine.processes())
    with watching(subject.engine.socket, containers) as samples:
        time.sleep(2)
        before = samples()
        figure = processor_share(pids, lambda: time.sleep(10))
        came = samples() - before
    for container in containers:
        subject.client.remove(container)
    if came < 500:
        raise AssertionError(f"only {came} samples in 10 seconds")
    return {"stats.share": figure}


def restarts(subject: Subject) -> Sample:
    if subject.engine.name != "palan" or subject.engine.process is None:
        return {}  # the other engines take minutes to start so many; the targets are absolute
    always = {"Name": "always"}
    containers = [subject.client.create(*SLEEP, RestartPolicy=always) for _ in range(500)]
    start_by_clients(subject.engine.socket, containers, 8)
    time.sleep(2)
    try:
        share, memory = restarting(
            subject.client, containers, subject.engine.process.pid, seconds=20, interval=0.1
        )
    finally:
        for container in containers:
            subject.client.call("DELETE", f"/containers/{container}?force=1")
    return {"restart.share": share, "restart.memory": memory}


CROWDS = (
    Measurement(("run.start100_by8",), start_100_by_8, 1, warm_up=False),
    Measurement(("stats.share",), stats, 1, warm_up=False),
    Measurement(("restart.share", "restart.memory"), restarts, 1, warm_up=False),
)
