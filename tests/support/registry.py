"""Servers for tests of the registry client: Debian's docker-registry, and ones that misbehave."""

import contextlib
import http.client
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest


USER, PASSWORD = "tester", "only-for-tests"
"""The user name and password of registries with authentication."""

_HTPASSWD = f"{USER}:$2b$04$palanpalanpalanpalanpOnQLUt6JN4dJy0hhr.Whvl.zKc7TDbTq\n"

_CONFIG = """\
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{delete: {{enabled: true}}, filesystem: {{rootdirectory: {folder}/data}}}}
http: {{addr: "{host}:0"{http}}}
"""


@contextlib.contextmanager
def docker_registry(
    folder: Path,
    *,
    authenticated: bool = False,
    host: str = "127.0.0.1",
    http: str = "",
    more: str = "",
    mutual: tuple[Path, Path] | None = None,
) -> Iterator[str]:
    """Run a registry in ``folder``, at an address that the kernel picks; yields ``host:port``.

    Args:
        folder: the directory for its files.
        authenticated: whether it demands a user name and a password.
        host: the address that it listens on.
        http: further entries for the section ``http`` of its configuration, such as TLS.
        more: further sections of its configuration.
        mutual: the client certificate (and key) to use, if it demands one.
    """
    if shutil.which("docker-registry") is None:
        pytest.skip("docker-registry is not installed")
    config = _CONFIG.format(folder=folder, host=host, http=f", {http}" if http else "") + more
    if authenticated:
        (folder / "htpasswd").write_text(_HTPASSWD)
        config += f"auth: {{htpasswd: {{realm: tests, path: {folder}/htpasswd}}}}\n"
    (folder / "config.yml").write_text(config)
    process = subprocess.Popen(
        ["docker-registry", "serve", str(folder / "config.yml")],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield _address_of(process, host, mutual)
    finally:
        process.terminate()
        process.wait(10)


def _address_of(
    process: subprocess.Popen[bytes], host: str, mutual: tuple[Path, Path] | None
) -> str:
    """Wait until the process answers, and return its address."""
    context = ssl._create_unverified_context()
    if mutual:
        context.load_cert_chain(*mutual)
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        assert process.poll() is None, "docker-registry ended"
        for port in _listening(process.pid):
            for connection in (
                http.client.HTTPConnection(host, port, timeout=5),
                http.client.HTTPSConnection(host, port, timeout=5, context=context),
            ):
                with contextlib.closing(connection), contextlib.suppress(OSError):
                    connection.request("GET", "/v2/")
                    if connection.getresponse().status in (200, 401):
                        return f"{host}:{port}"
        time.sleep(0.02)
    raise TimeoutError("docker-registry does not answer")


def _listening(pid: int) -> list[int]:
    """Return the TCP ports of 127.0.0.1 on which a process listens (proc(5))."""
    inodes = set()
    with contextlib.suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                inodes.add(str(entry.readlink()))
    rows = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return [
        int(row[1].rpartition(":")[2], 16)
        for row in rows
        if row[3] == "0A" and f"socket:[{row[9]}]" in inodes
    ]


class Handler(BaseHTTPRequestHandler):
    """Answers requests by the server's ``answer`` and records them."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def log_message(self, *_arguments: object) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        if self.server.early is not None and self.server.early(self):
            return
        size = int(self.headers.get("Content-Length", 0))
        self.data = self.rfile.read(size)
        self.body = self.data.decode(errors="replace")
        self.server.requests.append((self.command, self.path, dict(self.headers), self.body))
        self.server.answer(self)

    def do_POST(self) -> None:
        self.do_GET()

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_PUT(self) -> None:
        self.do_GET()

    def do_PATCH(self) -> None:
        self.do_GET()

    def do_DELETE(self) -> None:
        self.do_GET()

    def do_CONNECT(self) -> None:
        self.do_GET()

    def relay(self, port: int) -> None:
        """Become a tunnel to a port of loopback, as a proxy does."""
        self.close_connection = True
        with socket.create_connection(("127.0.0.1", port)) as upstream:
            back = threading.Thread(target=_pump, args=(upstream, self.connection), daemon=True)
            back.start()
            _pump(self.connection, upstream)
            back.join()

    def reply(self, status: int, body: str = "", **headers: str) -> None:
        """Send a response; underscores in names of headers stand for hyphens."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body.encode())

    def json(self, status: int, body: str) -> None:
        self.reply(status, body, Content_Type="application/json; charset=utf-8")


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


class Server(ThreadingHTTPServer):
    """A server on loopback with answers that a test determines."""

    daemon_threads = True

    def __init__(self, answer: Callable[[Handler], None]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer = answer
        self.early: Callable[[Handler], bool] | None = None
        """Answers a request before its body is read and returns true, or returns false."""

        self.requests: list[tuple[str, str, dict[str, str], str]] = []
        self.scheme = "http"

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_address[1]}"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.address}"

    def handle_error(self, *_arguments: object) -> None:
        """Ignore errors: in some tests, clients close the connection early."""


@contextlib.contextmanager
def serve(
    answer: Callable[[Handler], None], *, certificate: tuple[Path, Path] | None = None
) -> Iterator[Server]:
    """Serve on loopback, with TLS if a certificate (and key) is given."""
    server = Server(answer)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        # The handshake happens in the handler's thread, so that it does not block accepting.
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        server.scheme = "https"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def self_signed(folder: Path, *, days: int = 1, name: str = "IP:127.0.0.1") -> tuple[Path, Path]:
    """Make a self-signed certificate and its key."""
    certificate, key = folder / "server.pem", folder / "server.key"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
            "-nodes", "-subj", "/CN=palan-test", "-addext", f"subjectAltName={name}",
            "-days", str(days), "-keyout", str(key), "-out", str(certificate),
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return certificate, key
