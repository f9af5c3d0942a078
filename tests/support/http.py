"""Raw HTTP over a unix socket, so that tests do not depend on a client library."""

import contextlib
import http.client
import json
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from palan.api.version import MAX_VERSION


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body) if self.body else None

    @property
    def message(self) -> str:
        return str(self.json["message"])


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout: float = 60) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class API:
    """Calls of the Engine API at one version; without a version, paths have no prefix."""

    def __init__(self, path: Path, version: str | None = str(MAX_VERSION)) -> None:
        self.path = path
        self._prefix = f"/v{version}" if version else ""

    def at(self, version: str | None) -> "API":
        return API(self.path, version)

    def call(
        self,
        method: str,
        target: str,
        body: Any = None,
        *,
        headers: dict[str, str] | None = None,
        timeout: float = 60,
    ) -> Answer:
        """Send one request on a new connection; dicts and lists are sent as JSON."""
        sent = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        connection = UnixConnection(self.path, timeout)
        with contextlib.closing(connection):
            connection.request(method, self._prefix + target, body=body, headers=sent)
            response = connection.getresponse()
            return Answer(
                response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
            )

    def get(self, target: str, **options: Any) -> Answer:
        return self.call("GET", target, **options)

    def post(self, target: str, body: Any = None, **options: Any) -> Answer:
        return self.call("POST", target, body, **options)

    def delete(self, target: str, **options: Any) -> Answer:
        return self.call("DELETE", target, **options)

    @contextlib.contextmanager
    def stream(self, target: str) -> Iterator[http.client.HTTPResponse]:
        """Send a GET, and return the response for reading its body as a stream."""
        with contextlib.closing(UnixConnection(self.path)) as connection:
            connection.request("GET", self._prefix + target)
            yield connection.getresponse()

    def hijack(
        self, target: str, body: Any = None, *, upgrade: bool = True
    ) -> tuple[bytes, socket.socket]:
        """Send a request that takes over the connection; return response head and socket."""
        data = b"" if body is None else json.dumps(body).encode()
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(30)
        sock.connect(str(self.path))
        lines = [f"POST {self._prefix}{target} HTTP/1.1", "Host: localhost"]
        if upgrade:
            lines += ["Upgrade: tcp", "Connection: Upgrade"]
        if body is not None:
            lines.append("Content-Type: application/json")
        lines += [f"Content-Length: {len(data)}", "", ""]
        sock.sendall("\r\n".join(lines).encode() + data)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = sock.recv(1)
            if not byte:
                break
            head += byte
        return head, sock


def read_all(sock: socket.socket) -> bytes:
    """Read until the other side closes."""
    with contextlib.closing(sock):
        return b"".join(iter(lambda: sock.recv(65536), b""))


def frames(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Split a multiplexed stream into its frames."""
    position = 0
    while position < len(data):
        stream, size = struct.unpack_from(">BxxxL", data, position)
        position += 8 + size
        yield stream, data[position - size : position]


def text_of(data: bytes, stream: int) -> bytes:
    """Return the text on one of the streams of a multiplexed stream."""
    return b"".join(part for number, part in frames(data) if number == stream)
