"""Measurements of networks: starts with published ports, throughput, names."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from subject import SLEEP, Measurement, Sample, Subject, milliseconds


__all__ = ["NETWORKS"]

NETWORK = "benchnet"
FIRST_PORT = 21000
SECONDS = 1  # the length of a transfer: short, so that a disturbance spoils only one
TEN = 10  # networks, of three containers each

# Queries one after the other, as a program looks names up; then many at once.
NAMES = """
import json, socket, struct, time
question = struct.pack("!HHHHHH", 7, 0x100, 1, 0, 0, 0) + b"\\3web\\0" + struct.pack("!HH", 1, 1)
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(5)
sock.connect(("127.0.0.11", 53))
def look_up():
    sock.send(question)
    assert sock.recv(512)[7] == 1
times = []
for _ in range(2000):
    began = time.perf_counter()
    look_up()
    times.append(time.perf_counter() - began)
began = time.perf_counter()
for _ in range(500):
    for _ in range(16):
        sock.send(question)
    for _ in range(16):
        sock.recv(512)
rate = 8000 / (time.perf_counter() - began)
print(json.dumps({"median": sorted(times)[1000] * 1000, "rate": rate}))
"""


def _network(subject: Subject) -> None:
    names = [n["Name"] for n in subject.client.json("GET", "/networks")]
    if NETWORK not in names:
        subject.client.json("POST", "/networks/create", {"Name": NETWORK})


def _create(subject: Subject, ports: int = 0, **endpoint: Any) -> str:
    """Create a container on the user-defined network with published ports; return its id."""
    _network(subject)
    numbers = range(1, ports + 1)
    body = {
        "Image": "busybox:latest",
        "Cmd": list(SLEEP),
        "ExposedPorts": {f"{n}/tcp": {} for n in numbers},
        "HostConfig": {
            "NetworkMode": NETWORK,
            "PortBindings": {f"{n}/tcp": [{"HostPort": str(FIRST_PORT + n)}] for n in numbers},
        },
        "NetworkingConfig": {"EndpointsConfig": {NETWORK: endpoint}},
    }
    return str(subject.client.json("POST", "/containers/create", body)["Id"])


def _start(subject: Subject, ports: int) -> float:
    client = subject.client
    container = _create(subject, ports)
    figure = milliseconds(lambda: client.start(container))
    shown = client.json("GET", f"/containers/{container}/json")["NetworkSettings"]["Ports"]
    assert len(shown) == ports
    assert all(shown.values())
    client.remove(container)
    return figure


def start_plain(subject: Subject) -> Sample:
    return {"net.start": _start(subject, 0)}


def start_5(subject: Subject) -> Sample:
    return {"net.start5": _start(subject, 5)}


def start_200(subject: Subject) -> Sample:
    return {"net.start200": _start(subject, 200)}


def _inspect(subject: Subject, container: str) -> tuple[int, str, str]:
    """Return the pid, address and gateway of a container."""
    shown = subject.client.json("GET", f"/containers/{container}/json")
    (endpoint,) = shown["NetworkSettings"]["Networks"].values()
    return shown["State"]["Pid"], endpoint["IPAddress"], endpoint["Gateway"]


def _inside(pid: int, *command: str) -> list[str]:
    return ["nsenter", "-t", str(pid), "-n", *command]


def _pinned(last: bool) -> list[str]:
    """Return the prefix of a command that runs it on the last processor, or the one before."""
    processors = sorted(os.sched_getaffinity(0))
    return ["taskset", "-c", str(processors[-1 if last else max(0, len(processors) - 2)])]


def _transfer(server: int, client: int, address: str, port: int) -> tuple[float, float]:
    """Send TCP data from one network namespace to a server in another.

    Returns:
        Gbit/s, and the processor time of both ends in milliseconds per GB.
    """
    listening = subprocess.Popen(
        _inside(server, *_pinned(last=False), "iperf3", "-s", "-1", "--forceflush", "-p", "1"),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        assert listening.stdout is not None
        for line in listening.stdout:
            if "listening" in line:
                break
        sending = ["iperf3", "-J", "-c", address, "-p", str(port), "-t", str(SECONDS)]
        command = _inside(client, *_pinned(last=True), *sending)
        result = subprocess.run(command, check=True, capture_output=True)
    finally:
        listening.kill()
        listening.wait()
    end = json.loads(result.stdout)["end"]
    received, share = end["sum_received"], end["cpu_utilization_percent"]
    busy = (share["host_total"] + share["remote_total"]) / 100 * received["seconds"]
    return received["bits_per_second"] / 1e9, busy * 1e3 / (received["bytes"] / 1e9)


def throughput(subject: Subject) -> Sample:
    if shutil.which("iperf3") is None:
        return {}
    client = subject.client
    server, other = _create(subject, 1), _create(subject)
    try:
        client.start(server)
        client.start(other)
        pid, address, gateway = _inspect(subject, server)
        assert subject.engine.process is not None
        host = subject.engine.process.pid
        published = FIRST_PORT + 1
        sample = {}
        for row, (sender, to, port) in {
            "net.between": (_inspect(subject, other)[0], address, 1),
            "net.published": (host, gateway, published),
            "net.localhost": (host, "127.0.0.1", published),
        }.items():
            sample[row], sample[f"{row}_cpu"] = _transfer(pid, sender, to, port)
        # On this path, dockerd's proxy takes more processor time than both ends.
        del sample["net.localhost_cpu"]
        return sample
    finally:
        client.remove(server)
        client.remove(other)


def ten_networks(subject: Subject) -> Sample:
    """Create networks with containers, reach these by name, and remove all."""
    client = subject.client

    def work() -> None:
        networks, containers = [], []
        for number in range(TEN):
            name = f"ten{number}"
            networks.append(client.json("POST", "/networks/create", {"Name": name})["Id"])
            for index in range(3):
                other = f"ten{number}-{(index + 1) % 3}"
                body = {
                    "Image": "busybox:latest",
                    "Cmd": ["sh", "-c", f"until ping -c1 -W1 {other}; do :; done; exec sleep 999"],
                    "HostConfig": {"NetworkMode": name},
                }
                path = f"/containers/create?name=ten{number}-{index}"
                containers.append(client.json("POST", path, body)["Id"])
                client.start(containers[-1])
        for container in containers:
            client.remove(container)
        for network in networks:
            client.call("DELETE", f"/networks/{network}")

    return {"net.ten": milliseconds(work) / 1000}


def names(subject: Subject) -> Sample:
    client = subject.client
    container = _create(subject, Aliases=["web"])
    client.start(container)
    try:
        pid = _inspect(subject, container)[0]
        command = _inside(pid, sys.executable, "-c", NAMES)
        result = subprocess.run(command, check=False, capture_output=True)
        if result.returncode:
            return {}  # no name server at 127.0.0.11, such as with podman
        found = json.loads(result.stdout)
        return {"net.dns": found["rate"], "net.dns_median": found["median"]}
    finally:
        client.remove(container)


NETWORKS: Sequence[Measurement] = (
    Measurement(("net.start",), start_plain, 7),
    Measurement(("net.start5",), start_5, 7),
    Measurement(("net.start200",), start_200, 3),
    Measurement(
        ("net.between", "net.between_cpu", "net.published", "net.published_cpu", "net.localhost"),
        throughput,
        9,
    ),
    Measurement(("net.ten",), ten_networks, 2, warm_up=False),
    Measurement(("net.dns", "net.dns_median"), names, 5),
)
