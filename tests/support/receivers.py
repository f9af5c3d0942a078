"""Receivers of log lines, which parse the messages of log drivers: threads on loopback."""

import array
import contextlib
import gzip
import http.server
import json
import os
import re
import socket
import ssl
import struct
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Self

import msgspec


class Receiver:
    """The base of receivers; ``messages`` has the messages received so far."""

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self._sockets: list[socket.socket] = []
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop, and close all connections."""
        self._closed = True
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def wait(self, count: int, seconds: float = 15) -> list[Any]:
        """Wait for ``count`` messages."""
        deadline = time.monotonic() + seconds
        while len(self.messages) < count:
            assert time.monotonic() < deadline, (len(self.messages), count, self.messages[-3:])
            time.sleep(0.01)
        return self.messages

    def _thread(self, work: Callable[[], None]) -> None:
        def guarded() -> None:
            with contextlib.suppress(OSError):  # the other side has closed the connection
                work()

        threading.Thread(target=guarded, daemon=True).start()

    def _listen(
        self, handle: Callable[[socket.socket], None], path: Path | None, port: int,
        tls: ssl.SSLContext | None = None,
    ) -> int:  # fmt: skip
        """Accept connections, and return the port."""
        if path is not None:
            listener = socket.socket(socket.AF_UNIX)
            path.unlink(missing_ok=True)
            listener.bind(str(path))
        else:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(("127.0.0.1", port))
        listener.listen(50)
        self._sockets.append(listener)

        def serve(connection: socket.socket) -> None:
            secured = tls.wrap_socket(connection, server_side=True) if tls else connection
            self._sockets.append(secured)
            handle(secured)

        def accept() -> None:
            while not self._closed:
                connection, _ = listener.accept()
                self._thread(lambda connection=connection: serve(connection))  # type: ignore[misc]

        self._thread(accept)
        return 0 if path is not None else int(listener.getsockname()[1])

    def _datagrams(self, handle: Callable[[bytes], None], path: Path | None) -> int:
        if path is not None:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            path.unlink(missing_ok=True)
            sock.bind(str(path))
        else:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.bind(("127.0.0.1", 0))
        self._sockets.append(sock)

        def receive() -> None:
            while not self._closed:
                data = sock.recv(65536)
                if data:
                    handle(data)

        self._thread(receive)
        return 0 if path is not None else int(sock.getsockname()[1])


class SyslogMessage(NamedTuple):
    """A syslog message in any of the formats."""

    facility: int
    severity: int
    rest: str
    text: str


_SYSLOG = re.compile(
    r"<(\d+)>(?:1 (?P<new>\S+ \S+ \S+ \d+ \S+ -) |(?P<old>\w{3} [ \d]\d \d\d:\d\d:\d\d .*?): )(.*)",
    re.DOTALL,
)


def parse_syslog(data: bytes) -> SyslogMessage:
    """Parse a syslog message."""
    match = _SYSLOG.fullmatch(data.decode())
    assert match, data
    priority = int(match[1])
    rest = match["new"] or match["old"]
    return SyslogMessage(priority >> 3, priority & 7, rest, match[4].removesuffix("\n"))


class Syslog(Receiver):
    """A syslog server: ``udp``, ``tcp``, ``tcp+tls`` (counted or lines), ``unix``, ``unixgram``."""

    def __init__(
        self, scheme: str, path: Path | None = None, *, port: int = 0,
        tls: ssl.SSLContext | None = None, counted: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()
        self._counted = counted
        if scheme in ("udp", "unixgram"):
            number = self._datagrams(lambda data: self.messages.append(parse_syslog(data)), path)
        else:
            number = self._listen(self._lines, path, port, tls)
        self.port = number
        self.address = f"{scheme}://{path}" if path else f"{scheme}://127.0.0.1:{number}"

    def _lines(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as file:
            while True:
                if self._counted:
                    size = b""
                    while not size.endswith(b" "):
                        byte = file.read(1)
                        if not byte:
                            return
                        size += byte
                    line = file.read(int(size))
                else:
                    line = file.readline()
                if not line:
                    return
                self.messages.append(parse_syslog(line))


class Gelf(Receiver):
    """A GELF server over ``udp`` or ``tcp``."""

    def __init__(self, scheme: str, *, port: int = 0) -> None:
        super().__init__()
        self._chunks: dict[bytes, dict[int, bytes]] = {}
        self.chunked = 0
        self.forms: set[str] = set()
        if scheme == "udp":
            self.port = self._datagrams(self._datagram, None)
        else:
            self.port = self._listen(self._stream, None, port)
        self.address = f"{scheme}://127.0.0.1:{self.port}"

    def _datagram(self, data: bytes) -> None:
        assert len(data) <= 1420
        if data[:2] == b"\x1e\x0f":
            name, number, count = data[2:10], data[10], data[11]
            parts = self._chunks.setdefault(name, {})
            parts[number] = data[12:]
            if len(parts) < count:
                return
            self.chunked += 1
            data = b"".join(parts[n] for n in range(count))
        if data[:2] == b"\x1f\x8b":
            self.forms.add("gzip")
            data = gzip.decompress(data)
        elif data[:1] == b"\x78":
            self.forms.add("zlib")
            data = zlib.decompress(data)
        else:
            self.forms.add("none")
        self.messages.append(json.loads(data))

    def _stream(self, connection: socket.socket) -> None:
        data = b""
        while more := connection.recv(65536):
            data += more
            *whole, data = data.split(b"\0")
            self.messages += [json.loads(message) for message in whole]


class Fluentd(Receiver):
    """A server of Fluentd's forward protocol."""

    def __init__(self, path: Path | None = None, *, port: int = 0) -> None:
        super().__init__()
        self.acknowledged = 0
        self.silent = False
        self.port = self._listen(self._stream, path, port)
        self.address = f"unix://{path}" if path else f"127.0.0.1:{self.port}"

    def _stream(self, connection: socket.socket) -> None:
        data = b""
        while more := connection.recv(65536):
            data += more
            while data and (size := _size_of(data)):
                message, data = msgspec.msgpack.decode(data[:size]), data[size:]
                self.messages.append(message)
                chunk = message[3].get("chunk")
                if chunk is not None and not self.silent:
                    self.acknowledged += 1
                    connection.sendall(msgspec.msgpack.encode({"ack": chunk}))


_FIXED = {0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9, 0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9, 0xD7: 10}
"""Bytes of numbers, and of times."""


def _size_of(data: bytes) -> int:
    """Return the size of the first msgpack value in bytes; 0 while it is incomplete."""
    try:
        end = _after(data, 0)
    except IndexError:
        return 0
    return end if end <= len(data) else 0


def _after(data: bytes, at: int) -> int:
    kind, values = data[at], 0
    end = at + 1
    if 0x80 <= kind <= 0x9F:  # maps, lists
        values = (kind & 15) * (2 if kind <= 0x8F else 1)
    elif 0xA0 <= kind <= 0xBF:
        end += kind & 31
    elif kind in (0xD9, 0xDA, 0xDB):  # texts
        width = 1 << (kind - 0xD9)
        end += width + int.from_bytes(data[at + 1 : at + 1 + width], "big")
    elif kind == 0xDE:
        end, values = at + 3, 2 * int.from_bytes(data[at + 1 : at + 3], "big")
    else:
        end = at + _FIXED.get(kind, 1)
    for _ in range(values):
        end = _after(data, end)
    return end


class Splunk(Receiver):
    """Splunk's HTTP event collector."""

    def __init__(
        self, *, port: int = 0, status: int = 200, tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__()
        self.status = status
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                self.send_response(receiver.status)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"{}")

            def do_OPTIONS(self) -> None:
                receiver.requests.append(("OPTIONS", self.path, dict(self.headers)))
                self._answer()

            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    data = gzip.decompress(data)
                receiver.requests.append(("POST", self.path, dict(self.headers)))
                if receiver.status == 200:
                    receiver._events(data.decode())
                self._answer()

            def log_message(self, *_: object) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.port = int(self._server.server_address[1])
        self.address = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def _events(self, text: str) -> None:
        decoder, position = json.JSONDecoder(), 0
        while position < len(text):
            event, position = decoder.raw_decode(text, position)
            self.messages.append(event)

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        super().close()


class Journal(Receiver):
    """systemd's journal: receives datagrams of fields, or descriptors of files with fields."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.files = 0
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        sock.bind(str(path))
        self._sockets.append(sock)

        def receive() -> None:
            while not self._closed:
                data, ancillary, _, _ = sock.recvmsg(1 << 20, 64)
                for _, _, rights in ancillary:
                    (fd,) = array.array("i", rights[:4])
                    data = os.pread(fd, 1 << 24, 0)
                    os.close(fd)
                    self.files += 1
                if data:
                    self.messages.append(self._fields(data))

        self._thread(receive)

    @staticmethod
    def _fields(data: bytes) -> dict[str, str]:
        fields = {}
        while data:
            line, _, rest = data.partition(b"\n")
            name, equals, value = line.partition(b"=")
            if equals:
                data = rest
            else:
                (size,) = struct.unpack_from("<Q", rest)
                value, data = rest[8 : 8 + size], rest[9 + size :]
            fields[name.decode()] = value.decode()
        return fields
