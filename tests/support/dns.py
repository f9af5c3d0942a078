"""DNS queries from inside of a container's namespace, without a program in the container."""

import contextlib
import ipaddress
import os
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Self

from palan.engine.networks.dns_message import encode_name
from palan.host.namespaces import run_in_netns


A, PTR, MX, TXT, AAAA = 1, 12, 15, 16, 28
SERVER = ("127.0.0.11", 53)


class Reply(NamedTuple):
    """A response; ``found`` are the addresses and names in it."""

    rcode: int
    found: list[str]
    truncated: bool
    size: int


def question(name: str, rtype: int = A, *, edns: int = 0) -> bytes:
    opt = b"\0" + struct.pack("!HHIH", 41, edns, 0, 0) if edns else b""
    header = struct.pack("!HHHHHH", int.from_bytes(os.urandom(2)), 0x0100, 1, 0, 0, bool(edns))
    return header + encode_name(name) + struct.pack("!HH", rtype, 1) + opt


def _name(message: bytes, position: int) -> tuple[str, int]:
    labels, end = [], 0
    while length := message[position]:
        if length > 63:
            end = end or position + 2
            position = int.from_bytes(message[position : position + 2]) & 0x3FFF
            continue
        labels.append(message[position + 1 : position + 1 + length].decode())
        position += 1 + length
    return ".".join(labels), end or position + 1


def read(message: bytes) -> Reply:
    _, flags, questions, answers, _, _ = struct.unpack_from("!HHHHHH", message)
    position = 12
    for _ in range(questions):
        position = _name(message, position)[1] + 4
    found = []
    for _ in range(answers):
        position = _name(message, position)[1]
        rtype, _, _, size = struct.unpack_from("!HHIH", message, position)
        data = message[position + 10 : position + 10 + size]
        if rtype in (A, AAAA):
            found.append(str(ipaddress.ip_address(data)))
        elif rtype == PTR:
            found.append(_name(message, position + 10)[0])
        else:
            found.append(f"{rtype}:{size}")
        position += 10 + size
    return Reply(flags & 0xF, found, bool(flags & 0x200), len(message))


def ask(
    netns: Path, name: str, rtype: int = A, *, tcp: bool = False, edns: int = 0, wait: float = 6,
    server: tuple[str, int] = SERVER,
) -> Reply:  # fmt: skip
    """Look a name up from inside of a network namespace."""
    sent = question(name, rtype, edns=edns)

    def talk() -> bytes:
        kind = socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM
        with socket.socket(socket.AF_INET, kind) as sock:
            sock.settimeout(wait)
            sock.connect(server)
            if not tcp:
                sock.send(sent)
                return sock.recv(65535)
            sock.sendall(len(sent).to_bytes(2) + sent)
            with sock.makefile("rb") as stream:
                return stream.read(int.from_bytes(stream.read(2)))

    message = run_in_netns(netns, talk)
    assert message[:2] == sent[:2]
    return read(message)


class Resolver:
    """A resolver in a network namespace, over UDP and TCP, with answers made by the test.

    Args:
        netns: the namespace; None for the test's own.
        host: its address.
        respond: returns the response to a question, or nothing to stay silent.
    """

    def __init__(
        self, netns: Path | None, host: str, respond: Callable[[bytes, bool], bytes | None],
        port: int = 53,
    ) -> None:  # fmt: skip
        self._respond = respond
        self.asked: list[tuple[str, str]] = []

        def make() -> tuple[socket.socket, socket.socket]:
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            udp.bind((host, port))
            tcp = socket.create_server((host, port))
            return udp, tcp

        self._udp, self._tcp = run_in_netns(netns, make) if netns else make()
        self._ended = False
        for sock in (self._udp, self._tcp):
            sock.settimeout(0.05)
        self._threads = [
            threading.Thread(target=work, daemon=True) for work in (self._datagrams, self._streams)
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        for thread in self._threads:
            thread.join()
        self._udp.close()
        self._tcp.close()

    def _answer(self, message: bytes, *, tcp: bool) -> bytes | None:
        self.asked.append((_name(message, 12)[0], "tcp" if tcp else "udp"))
        return self._respond(message, tcp)

    def _datagrams(self) -> None:
        while not self._ended:
            with contextlib.suppress(TimeoutError):
                message, client = self._udp.recvfrom(65535)
                if reply := self._answer(message, tcp=False):
                    self._udp.sendto(reply, client)

    def _streams(self) -> None:
        while not self._ended:
            try:
                connection, _ = self._tcp.accept()
            except TimeoutError:
                continue
            connection.settimeout(5)
            with connection, connection.makefile("rwb") as stream:
                message = stream.read(int.from_bytes(stream.read(2)))
                if reply := self._answer(message, tcp=True):
                    stream.write(len(reply).to_bytes(2) + reply)


def address_record(address: str) -> Callable[[bytes, bool], bytes]:
    """Return a ``respond`` that answers every question with one address."""

    def respond(message: bytes, _tcp: bool) -> bytes:
        end = message.index(b"\0", 12) + 5
        record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + socket.inet_aton(address)
        return message[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + message[12:end] + record

    return respond
