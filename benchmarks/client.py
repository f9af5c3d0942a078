"""A small client of the Engine API over a unix socket: standard library only, one connection.

The same client talks to every engine, so that its own cost is the same in all figures.
"""

import http.client
import json
import socket
from pathlib import Path
from typing import Any


__all__ = ["Client", "RequestFailed"]

API_VERSION = "1.41"  # the newest version of dockerd 20.10; used for the other engines too
TIMEOUT = 300.0


class RequestFailed(Exception):
    """An engine answered with a status that was not expected."""


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(self._path)


class Client:
    """Sends requests on one connection that is kept open, as a client library does."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = _UnixConnection(path)

    def call(
        self,
        method: str,
        target: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        accept: range | tuple[int, ...] = range(200, 400),
    ) -> bytes:
        """Send a request, and return the whole body of the response.

        Raises:
            RequestFailed: the status is none of ``accept``.
        """
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        headers = {"Content-Type": content_type} if body is not None else {}
        if method == "POST" and body is None:
            headers["Content-Length"] = "0"
        answer = self._exchange(method, f"/v{API_VERSION}{target}", body, headers)
        data = answer.read()
        if answer.status not in accept:
            raise RequestFailed(f"{method} {target}: {answer.status} {data[:300]!r}")
        return data

    def json(self, method: str, target: str, body: Any = None) -> Any:
        """Send a request, and decode the response."""
        return json.loads(self.call(method, target, body))

    def open(self, method: str, target: str) -> int:
        """Send a request, read the response's head, and return the descriptor with its body."""
        answer = self._exchange(method, f"/v{API_VERSION}{target}", None, {})
        if answer.status >= 300:
            raise RequestFailed(f"{method} {target}: {answer.status}")
        return answer.fileno()

    def close(self) -> None:
        self._connection.close()

    def _exchange(
        self, method: str, target: str, body: bytes | None, headers: dict[str, str]
    ) -> http.client.HTTPResponse:
        try:
            self._connection.request(method, target, body=body, headers=headers)
            return self._connection.getresponse()
        except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
            # The engine may have closed the idle connection: connect again.
            self._connection.close()
            self._connection.request(method, target, body=body, headers=headers)
            return self._connection.getresponse()

    # Operations on containers that the measurements use

    def create(
        self, *command: str, image: str = "busybox:latest", network: str = "bridge", **host: Any
    ) -> str:
        body = {
            "Image": image,
            "Cmd": list(command),
            "HostConfig": {"NetworkMode": network, **host},
        }
        return str(self.json("POST", "/containers/create", body)["Id"])

    def start(self, container: str) -> None:
        self.call("POST", f"/containers/{container}/start")

    def wait(self, container: str) -> None:
        self.call("POST", f"/containers/{container}/wait")

    def run(self, *command: str, **options: Any) -> str:
        container = self.create(*command, **options)
        self.start(container)
        return container

    def remove(self, container: str) -> None:
        """Remove a container, running or not; this is not measured."""
        self.call("POST", f"/containers/{container}/kill", accept=range(200, 600))
        self.call("DELETE", f"/containers/{container}?force=1", accept=(200, 204, 404, 409))
