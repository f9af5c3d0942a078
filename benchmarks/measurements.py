"""All measurements; each takes one sample of one or more rows of the table."""

import time

from client import Client
from copies import COPIES
from crowds import CROWDS, start_by_clients
from images import IMAGES
from networks import NETWORKS
from subject import LISTED, SLEEP, Measurement, Sample, Subject, milliseconds


__all__ = ["MEASUREMENTS", "Measurement", "Subject"]

MIB = 1 << 20
LOG_MIB = 64
ATTACH_MIB = 256
LINE = "0123456789" * 6  # 61 bytes with its newline
LINES = MIB // 61


def engine_start(subject: Subject) -> Sample:
    subject.engine.stop()
    return {"engine.start": subject.engine.start() * 1000}


def memory_idle(subject: Subject) -> Sample:
    return {"mem.idle": subject.engine.memory()}


def ping(subject: Subject) -> Sample:
    return {"api.ping": milliseconds(lambda: subject.client.call("GET", "/_ping"), 300)}


def inspect(subject: Subject) -> Sample:
    target = f"/containers/{subject.idle}/json"
    return {"api.inspect": milliseconds(lambda: subject.client.call("GET", target), 100)}


def listing(subject: Subject) -> Sample:
    assert len(subject.client.json("GET", "/containers/json?all=1")) == LISTED
    target = "/containers/json?all=1"
    return {"api.list100": milliseconds(lambda: subject.client.call("GET", target), 20)}


def create(subject: Subject) -> Sample:
    made: list[str] = []
    figure = milliseconds(lambda: made.append(subject.client.create("true")), 5)
    for container in made:
        subject.client.remove(container)
    return {"run.create": figure}


def start(subject: Subject) -> Sample:
    container = subject.client.create(*SLEEP)
    figure = milliseconds(lambda: subject.client.start(container))
    subject.client.remove(container)
    return {"run.start": figure}


def _cycle(client: Client, network: str) -> float:
    def once() -> None:
        container = client.create("true", network=network)
        client.start(container)
        client.wait(container)
        client.call("DELETE", f"/containers/{container}")

    return milliseconds(once)


def cycle_bridge(subject: Subject) -> Sample:
    return {"run.cycle_bridge": _cycle(subject.client, "bridge")}


def cycle_none(subject: Subject) -> Sample:
    return {"run.cycle_none": _cycle(subject.client, "none")}


def start_20_by_4(subject: Subject) -> Sample:
    containers = [subject.client.create(*SLEEP) for _ in range(20)]
    socket = subject.engine.socket
    figure = milliseconds(lambda: start_by_clients(socket, containers, 4))
    for container in containers:
        subject.client.remove(container)
    return {"run.start20_by4": figure}


def stop(subject: Subject) -> Sample:
    if not subject.engine.has_init():
        return {}
    container = subject.client.run(*SLEEP, Init=True)
    time.sleep(0.15)  # until init has installed its signal handlers
    target = f"/containers/{container}/stop?t=5"
    figure = milliseconds(lambda: subject.client.call("POST", target))
    subject.client.remove(container)
    return {"run.stop": figure}


def exec_api(subject: Subject) -> Sample:
    client = subject.client

    def once() -> None:
        body = {"Cmd": ["true"], "AttachStdout": True, "AttachStderr": True}
        made = client.json("POST", f"/containers/{subject.running}/exec", body)["Id"]
        client.call("POST", f"/exec/{made}/start", {"Detach": False})

    return {"run.exec": milliseconds(once)}


def cli_run(subject: Subject) -> Sample:
    command = ("run", "--rm", "busybox", "true")
    return {"cli.run_rm": milliseconds(lambda: subject.docker(*command))}


def cli_exec(subject: Subject) -> Sample:
    command = ("exec", subject.running, "true")
    return {"cli.exec": milliseconds(lambda: subject.docker(*command))}


def logs(subject: Subject) -> Sample:
    client = subject.client
    # One MiB is made once and written repeatedly, so that the writer costs next to nothing.
    size = LOG_MIB * LINES * (len(LINE) + 1)
    script = f"yes {LINE} | head -n {LINES} >/lines; cat $(yes /lines | head -n {LOG_MIB})"
    container = client.create("sh", "-c", script, network="none")

    def write() -> None:
        client.start(container)
        client.wait(container)

    def read(tail: str) -> int:
        target = f"/containers/{container}/logs?stdout=1&stderr=1&tail={tail}"
        return len(client.call("GET", target))

    writing = milliseconds(write)
    lengths: list[int] = []
    reading = milliseconds(lambda: lengths.append(read("all")))
    if lengths[0] < size:
        raise AssertionError(f"only {lengths[0]} bytes of the log came back")
    tail = milliseconds(lambda: read("100"))
    client.remove(container)
    return {
        "log.write": LOG_MIB * 1000 / writing,
        "log.read": LOG_MIB * 1000 / reading,
        "log.tail": tail,
    }


def attached(subject: Subject) -> Sample:
    command = (
        "run", "--rm", "--network", "none", "--log-driver", "none", "busybox",
        "dd", "if=/dev/zero", "bs=64k", f"count={ATTACH_MIB * MIB // 65536}",
    )  # fmt: skip
    return {"log.attach": ATTACH_MIB * 1000 / milliseconds(lambda: subject.docker(*command))}


def memory_after(subject: Subject) -> Sample:
    return {"mem.after": subject.engine.memory()}


def memory_per_container(subject: Subject) -> Sample:
    before = subject.engine.memory()
    containers = [subject.client.run(*SLEEP) for _ in range(20)]
    time.sleep(1)
    figure = (subject.engine.memory() - before) / len(containers)
    for container in containers:
        subject.client.remove(container)
    return {"mem.per_container": figure}


MEASUREMENTS = (
    Measurement(("engine.start",), engine_start, 5, needs_containers=False),
    Measurement(("mem.idle",), memory_idle, 1, needs_containers=False, warm_up=False),
    Measurement(("api.ping",), ping, 7),
    Measurement(("api.inspect",), inspect, 7),
    Measurement(("api.list100",), listing, 5),
    Measurement(("run.create",), create, 7),
    Measurement(("run.start",), start, 9),
    Measurement(("run.cycle_bridge",), cycle_bridge, 11),
    Measurement(("run.cycle_none",), cycle_none, 11),
    Measurement(("run.start20_by4",), start_20_by_4, 3, warm_up=False),
    Measurement(("run.stop",), stop, 5),
    Measurement(("run.exec",), exec_api, 11),
    Measurement(("cli.run_rm",), cli_run, 11),
    Measurement(("cli.exec",), cli_exec, 7),
    Measurement(("log.write", "log.read", "log.tail"), logs, 3, warm_up=False),
    Measurement(("log.attach",), attached, 3, warm_up=False),
    *COPIES,
    *IMAGES,
    *NETWORKS,
    Measurement(("mem.after",), memory_after, 1, warm_up=False),
    Measurement(("mem.per_container",), memory_per_container, 1, warm_up=False),
    *CROWDS,
)
