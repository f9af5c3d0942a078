"""A plugin of Docker's protocol with behaviour that tests determine."""

import json
import socketserver
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Self


Answer = Mapping[str, Any] | tuple[int, bytes] | None
"""A method's answer: a JSON object, a status with a body, or None to close the connection."""


class TestPlugin:
    """A server at a unix socket, in threads of its own.

    Attributes:
        calls: the methods called so far, with their arguments.
        methods: the answer of each method; a missing one is a 404.
    """

    __test__ = False

    def __init__(
        self,
        socket: Path,
        kinds: tuple[str, ...],
        methods: Mapping[str, Callable[[dict[str, Any]], Answer]],
    ) -> None:
        self.socket = socket
        self.methods = {"Plugin.Activate": lambda _: {"Implements": list(kinds)}, **methods}
        self.calls: list[tuple[str, dict[str, Any]]] = []
        plugin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                arguments = json.loads(self.rfile.read(length) or b"{}")
                name = self.path.removeprefix("/")
                plugin.calls.append((name, arguments))
                method = plugin.methods.get(name)
                answer: Answer = (404, b"404 page not found\n")
                if method is not None:
                    answer = method(arguments)
                if answer is None:
                    self.close_connection = True
                    return
                status, body = answer if isinstance(answer, tuple) else (200, b"")
                if not isinstance(answer, tuple):
                    body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def address_string(self) -> str:
                return "unix"

            def log_message(self, *_: object) -> None:
                pass

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                """Ignore clients that close the connection."""

        socket.parent.mkdir(parents=True, exist_ok=True)
        self._server = Server(str(socket), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def called(self, name: str) -> list[dict[str, Any]]:
        """Return the arguments of all calls of a method."""
        return [arguments for method, arguments in self.calls if method == name]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self.socket.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
