"""What tests of networks share: a machine next door, and sockets inside of containers."""

import contextlib
import os
import random
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

from tests.support.engine import TestEngine

from palan.host.namespaces import run_in_netns


class Neighbour:
    """A network namespace at the end of a cable, which knows the host and nothing behind it.

    Attributes:
        netns: its network namespace.
        address: its address.
        host: the host's address at the other end of the cable.
        address6, host6: the same with IPv6.
        cable: the host's interface of it.
    """

    def __init__(self, name: str) -> None:
        subnet = f"100.{random.randrange(64, 128)}.{random.randrange(256)}."
        self.name, self.host, self.address = name, f"{subnet}1", f"{subnet}2"
        prefix = f"fd64:{random.randrange(0x10000):x}:{random.randrange(0x10000):x}::"
        self.host6, self.address6 = f"{prefix}1", f"{prefix}2"
        self.netns = Path("/run/netns", name)
        self.cable = f"pt{os.getpid() % 0xFFFF:04x}{random.randrange(0xFFFF):04x}"

    def plug(self) -> None:
        for command in (
            f"netns add {self.name}",
            f"link add {self.cable} type veth peer name up0 netns {self.name}",
            f"addr add {self.host}/24 dev {self.cable}",
            f"addr add {self.host6}/64 dev {self.cable} nodad",
            f"link set {self.cable} up",
            f"-n {self.name} addr add {self.address}/24 dev up0",
            f"-n {self.name} addr add {self.address6}/64 dev up0 nodad",
            f"-n {self.name} link set up0 up",
            f"-n {self.name} link set lo up",
        ):
            subprocess.run(["ip", *command.split()], check=True)

    def learn_route(self, subnet: str) -> None:
        """Reach a network by way of the host."""
        gateway = self.host6 if ":" in subnet else self.host
        command = f"-n {self.name} route add {subnet} via {gateway}"
        subprocess.run(["ip", *command.split()], check=True)

    def unplug(self) -> None:
        subprocess.run(["ip", "link", "delete", self.cable], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "delete", self.name], check=False, capture_output=True)


@contextlib.contextmanager
def neighbour() -> Iterator[Neighbour]:
    """A machine next door, for as long as it is needed."""
    made = Neighbour(f"palan-test-{os.getpid()}-{random.randrange(10**6)}")
    try:
        made.plug()
        yield made
    finally:
        made.unplug()


def netns_of(engine: TestEngine, container: str) -> Path:
    """The network namespace of a running container."""
    return Path(f"/proc/{engine.inspect(container)['State']['Pid']}/ns/net")


def listen(
    netns: Path | None, port: int = 0, *, kind: int = socket.SOCK_STREAM, host: str = "0.0.0.0"
) -> socket.socket:
    """A socket that waits for clients in a namespace, in ours if there is none."""

    def make() -> socket.socket:
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.settimeout(10)
        sock.bind((host, port))
        if kind == socket.SOCK_STREAM:
            sock.listen()
        return sock

    return run_in_netns(netns, make) if netns else make()


def connect(
    netns: Path | None, host: str, port: int, *, kind: int = socket.SOCK_STREAM, timeout: float = 5
) -> socket.socket:
    """A socket connected from inside a namespace, from ours if there is none."""

    def make() -> socket.socket:
        sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
        sock.settimeout(timeout)
        try:
            sock.connect((host, port))
        except BaseException:
            sock.close()
            raise
        return sock

    return run_in_netns(netns, make) if netns else make()


def talk(server: socket.socket, client: socket.socket) -> str:
    """Say something and answer it over TCP; the address that the server sees."""
    with client:
        connection, peer = server.accept()
        with connection:
            connection.settimeout(5)
            client.sendall(b"ping")
            assert connection.recv(4) == b"ping"
            connection.sendall(b"pong")
            assert client.recv(4) == b"pong"
    return str(peer[0])


def talk_udp(server: socket.socket, client: socket.socket) -> str:
    """The same over UDP; a connected client takes an answer only from where it sent to."""
    with client:
        client.send(b"ping")
        data, peer = server.recvfrom(100)
        assert data == b"ping"
        server.sendto(b"pong", peer)
        assert client.recv(4) == b"pong"
    return str(peer[0])


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    """A port of the host that nobody has."""
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("0.0.0.0", 0))
        return int(sock.getsockname()[1])
