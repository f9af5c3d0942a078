"""A fake engine that sends the bytes that a test gives it, and records the client's requests."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path


Handler = Callable[["ServerConnection"], None]


class ServerConnection:
    """The engine's end of one connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sock.settimeout(10)
        self.buffer = b""

    def head(self) -> str:
        """Read the next request's head; empty at the end of the connection."""
        while b"\r\n\r\n" not in self.buffer:
            data = self.sock.recv(65536)
            if not data:
                return ""
            self.buffer += data
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        return head.decode()

    def body(self, head: str) -> bytes:
        """Read the body that belongs to a head."""
        for line in head.split("\r\n"):
            if line.lower().startswith("content-length:"):
                size = int(line.split(":")[1])
                while len(self.buffer) < size:
                    self.buffer += self.sock.recv(65536)
                body, self.buffer = self.buffer[:size], self.buffer[size:]
                return body
        body = b""
        while "chunked" in head:
            while b"\r\n" not in self.buffer:
                self.buffer += self.sock.recv(65536)
            size_line, _, self.buffer = self.buffer.partition(b"\r\n")
            size = int(size_line, 16)
            while len(self.buffer) < size + 2:
                self.buffer += self.sock.recv(65536)
            body += self.buffer[:size]
            self.buffer = self.buffer[size + 2 :]
            if not size:
                break
        return body

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def at_end(self) -> bool:
        """Wait for bytes or the end; return whether the client has closed the connection."""
        with contextlib.suppress(OSError):
            return self.sock.recv(1) == b""
        return True


class FakeEngine:
    """Listens on a unix socket; runs the handler in a thread for each connection."""

    def __init__(self, path: Path, handler: Handler) -> None:
        self.path = path
        self.handler = handler
        self.connections = 0
        self.errors: list[BaseException] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(128)
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    @property
    def url(self) -> str:
        return f"unix://{self.path}"

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            try:
                self.handler(ServerConnection(sock))
            except OSError:
                return  # the client may close the connection at any time
            except Exception as error:  # noqa: BLE001 - raised at the end
                self.errors.append(error)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(5)
        for thread in self._threads:
            thread.join(5)
        if self.errors:
            raise self.errors[0]


@contextlib.contextmanager
def fake_engine(path: Path, handler: Handler) -> Iterator[FakeEngine]:
    engine = FakeEngine(path, handler)
    try:
        yield engine
    finally:
        engine.close()


def answering(answer: bytes, *, keep: bool = False) -> Handler:
    """Return a handler that answers with the same bytes, once, or every request if ``keep``."""

    def handle(connection: ServerConnection) -> None:
        while head := connection.head():
            connection.body(head)
            connection.send(answer)
            if not keep:
                return

    return handle


def json_answer(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{headers}"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def chunked(*pieces: bytes, status: str = "200 OK", kind: str = "application/json") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head.encode() + b"".join(
        b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (*pieces, b"")
    )
