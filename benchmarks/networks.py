"""Measurements of networks: starts with published ports, throughput, names."""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from subject import SLEEP, Measurement, Sample, Subject, milliseconds


__all__ = ["NETWORKS"]

NETWORK = "benchnet"
FIRST_PORT = 21000
SECONDS = 2

# Sent one after the other, as a program would that looks a name up; then many at once.
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
    """A container on the user-defined network with published ports."""
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
    """The process, address and gateway of a container."""
    shown = subject.client.json("GET", f"/containers/{container}/json")
    (endpoint,) = shown["NetworkSettings"]["Networks"].values()
    return shown["State"]["Pid"], endpoint["IPAddress"], endpoint["Gateway"]


def _inside(pid: int, *command: str) -> list[str]:
    return ["nsenter", "-t", str(pid), "-n", *command]


def _gigabits(server: int, client: int, address: str, port: int) -> float:
    """TCP from one network namespace to a server in another, in Gbit/s."""
    listening = subprocess.Popen(
        _inside(server, "iperf3", "-s", "-1", "--forceflush", "-p", "1"),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        assert listening.stdout is not None
        for line in listening.stdout:
            if "listening" in line:
                break
        result = subprocess.run(
            _inside(client, "iperf3", "-J", "-c", address, "-p", str(port), "-t", str(SECONDS)),
            check=True, capture_output=True,
        )  # fmt: skip
    finally:
        listening.kill()
        listening.wait()
    return float(json.loads(result.stdout)["end"]["sum_received"]["bits_per_second"]) / 1e9


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
        return {
            "net.between": _gigabits(pid, _inspect(subject, other)[0], address, 1),
            "net.published": _gigabits(pid, host, gateway, published),
            "net.localhost": _gigabits(pid, host, "127.0.0.1", published),
        }
    finally:
        client.remove(server)
        client.remove(other)


def names(subject: Subject) -> Sample:
    client = subject.client
    container = _create(subject, Aliases=["web"])
    client.start(container)
    try:
        pid = _inspect(subject, container)[0]
        command = _inside(pid, sys.executable, "-c", NAMES)
        result = subprocess.run(command, check=False, capture_output=True)
        if result.returncode:
            return {}  # such as podman's, which is elsewhere
        found = json.loads(result.stdout)
        return {"net.dns": found["rate"], "net.dns_median": found["median"]}
    finally:
        client.remove(container)


NETWORKS: Sequence[Measurement] = (
    Measurement(("net.start",), start_plain, 7),
    Measurement(("net.start5",), start_5, 7),
    Measurement(("net.start200",), start_200, 3),
    Measurement(("net.between", "net.published", "net.localhost"), throughput, 3),
    Measurement(("net.dns", "net.dns_median"), names, 5),
)
