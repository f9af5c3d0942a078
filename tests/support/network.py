"""Helpers for tests of networks: a neighbouring machine, and sockets inside of containers."""

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
    """A network namespace behind a veth pair, with a route to the host and nothing behind it.

    Attributes:
        netns: its network namespace.
        address: its address.
        host: the host's address at the other end of the veth pair.
        address6, host6: the same with IPv6.
        interface: the name of the host's end.
    """

    def __init__(self, name: str) -> None:
        subnet = f"100.{random.randrange(64, 128)}.{random.randrange(256)}."
        self.name, self.host, self.address = name, f"{subnet}1", f"{subnet}2"
        prefix = f"fd64:{random.randrange(0x10000):x}:{random.randrange(0x10000):x}::"
        self.host6, self.address6 = f"{prefix}1", f"{prefix}2"
        self.netns = Path("/run/netns", name)
        self.interface = f"pt{os.getpid() % 0xFFFF:04x}{random.randrange(0xFFFF):04x}"

    def plug(self) -> None:
        for command in (
            f"netns add {self.name}",
            f"link add {self.interface} type veth peer name up0 netns {self.name}",
            f"addr add {self.host}/24 dev {self.interface}",
            f"addr add {self.host6}/64 dev {self.interface} nodad",
            f"link set {self.interface} up",
            f"-n {self.name} addr add {self.address}/24 dev up0",
            f"-n {self.name} addr add {self.address6}/64 dev up0 nodad",
            f"-n {self.name} link set up0 up",
            f"-n {self.name} link set lo up",
        ):
            subprocess.run(["ip", *command.split()], check=True)

    def add_route(self, subnet: str) -> None:
        """Add a route to a network by way of the host."""
        gateway = self.host6 if ":" in subnet else self.host
        command = f"-n {self.name} route add {subnet} via {gateway}"
        subprocess.run(["ip", *command.split()], check=True)

    def unplug(self) -> None:
        subprocess.run(["ip", "link", "delete", self.interface], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "delete", self.name], check=False, capture_output=True)


@contextlib.contextmanager
def neighbour() -> Iterator[Neighbour]:
    """Yield a neighbouring machine, and remove it at the end."""
    made = Neighbour(f"palan-test-{os.getpid()}-{random.randrange(10**6)}")
    try:
        made.plug()
        yield made
    finally:
        made.unplug()


def netns_of(engine: TestEngine, container: str) -> Path:
    """Return the network namespace of a running container."""
    return Path(f"/proc/{engine.inspect(container)['State']['Pid']}/ns/net")


def listen(
    netns: Path | None, port: int = 0, *, kind: int = socket.SOCK_STREAM, host: str = "0.0.0.0"
) -> socket.socket:
    """Return a listening socket in a network namespace; None is the test's own."""

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
    """Return a socket connected from inside a network namespace; None is the test's own."""

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
    """Exchange bytes over TCP; return the client's address as the server sees it."""
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
    """Do the same over UDP; a connected client accepts a reply only from the peer's address."""
    with client:
        client.send(b"ping")
        data, peer = server.recvfrom(100)
        assert data == b"ping"
        server.sendto(b"pong", peer)
        assert client.recv(4) == b"pong"
    return str(peer[0])


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    """Return a port of the host that is not in use."""
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("0.0.0.0", 0))
        return int(sock.getsockname()[1])
