"""TLS connections: their two directions can be closed separately, like those of a socket."""

import asyncio
import contextlib
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.serving import rooms

from palan.api import Group, Message, Request
from palan.api.results import Bytes, ByteStream, Hijack, Json
from palan.server.app import Server


pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="makes certificates")

containers = Group("containers", "Containers.")


class Thing(Message):
    name: str = ""


@containers.endpoint("GET", "/name", operation="name", result=Json(Thing))
class Name(Request):
    pass


@containers.endpoint(
    "POST", "/containers/{id}/attach", operation="attach", result=Hijack(early=True)
)
class Attach(Request):
    id: str


@containers.endpoint("GET", "/tar", operation="tar", result=Bytes())
class Tar(Request):
    pass


class Session:
    """A session that outputs only after the end of input."""

    tty = True

    def __init__(self) -> None:
        self.taken = b""
        self.ended = asyncio.Event()
        self.closed = asyncio.Event()

    async def output(self) -> AsyncIterator[bytes]:
        await self.ended.wait()
        yield b"x" * 300_000 + self.taken

    async def write(self, data: bytes) -> None:
        self.taken += data

    async def close_input(self) -> None:
        self.ended.set()

    async def close(self) -> None:
        self.closed.set()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    base = tmp_path_factory.mktemp("tls")
    key, cert = base / "key.pem", base / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=localhost", "-keyout", key, "-out", cert,
         "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    return key, cert


class Secure:
    """A client on a plain socket with its own TLS, so that each direction can be closed."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname="localhost")
        try:
            self._until(self.tls.do_handshake)
        except BaseException:
            self.sock.close()
            raise

    def _until(self, step: Any) -> Any:
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                self._flush()
                data = self.sock.recv(65536)
                self.incoming.write(data) if data else self.incoming.write_eof()
            else:
                self._flush()
                return result

    def _flush(self) -> None:
        if self.outgoing.pending:
            self.sock.sendall(self.outgoing.read())

    def send(self, data: bytes) -> None:
        self.tls.write(data)
        self._flush()

    def end_input(self) -> None:
        """Send close_notify, as Go's CloseWrite does, and continue to read."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self._flush()

    def read(self) -> bytes:
        try:
            return bytes(self._until(lambda: self.tls.read(65536)))
        except ssl.SSLZeroReturnError:
            return b""

    def read_until(self, end: bytes) -> bytes:
        data = b""
        while not data.endswith(end):
            data += self.read()
        return data

    def close(self) -> None:
        self.sock.close()


@contextlib.asynccontextmanager
async def secure(certificate, **methods: Any) -> AsyncIterator[Any]:
    key, cert = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    trust = ssl.create_default_context(cafile=str(cert))
    pending = {f"containers.{e.operation}" for e in containers} - {
        f"containers.{name}" for name in methods
    }
    server = Server(rooms(pending, containers=methods), containers)
    sock = socket.create_server(("127.0.0.1", 0))
    await server.listen(sock, tls=context)
    try:
        yield sock.getsockname()[1], trust, server
    finally:
        await server.close(grace=0.2)


async def name(_request: Any) -> Thing:
    return Thing(name="n")


async def test_requests(certificate):
    def client(port, trust):
        tls = Secure(port, trust)
        for _ in range(3):
            tls.send(b"GET /name HTTP/1.1\r\nHost: d\r\n\r\n")
            assert tls.read_until(b'{"Name":"n"}\n').startswith(b"HTTP/1.1 200 OK")
        tls.send(b"GET /name HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n")
        tls.read_until(b'{"Name":"n"}\n')
        assert tls.read() == b""
        tls.close()

    async with secure(certificate, name=name) as (port, trust, _):
        await asyncio.to_thread(client, port, trust)


async def test_output_after_the_end_of_input(certificate):
    session = Session()

    async def attach(_request):
        return session

    def client(port, trust):
        tls = Secure(port, trust)
        tls.send(b"POST /containers/1/attach HTTP/1.1\r\nHost: d\r\n\r\nhello")
        tls.read_until(b"\r\n\r\n")
        tls.end_input()
        data = b""
        # The client's OpenSSL reads nothing after its own close_notify, but the records arrive.
        while part := tls.sock.recv(65536):
            data += part
        tls.close()
        return len(data)

    async with secure(certificate, attach=attach) as (port, trust, _):
        assert await asyncio.to_thread(client, port, trust) > 300_000
        await asyncio.wait_for(session.closed.wait(), 2)
    assert session.taken == b"hello"


async def test_a_client_that_vanishes(certificate):
    closed = asyncio.Event()

    async def forever():
        try:
            yield b"x"
            await asyncio.Event().wait()
        finally:
            closed.set()

    async def tar(_request):
        return ByteStream(forever())

    def client(port, trust):
        tls = Secure(port, trust)
        tls.send(b"GET /tar HTTP/1.1\r\nHost: d\r\n\r\n")
        tls.read_until(b"x\r\n")
        tls.close()

    async with secure(certificate, tar=tar) as (port, trust, server):
        await asyncio.to_thread(client, port, trust)
        await asyncio.wait_for(closed.wait(), 2)
        await asyncio.sleep(0.01)
        assert not server._connections


async def test_clients_without_tls_are_disconnected(certificate):
    def client(port):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
            sock.sendall(b"GET /name HTTP/1.1\r\nHost: d\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                while sock.recv(4096):
                    pass

    async with secure(certificate, name=name) as (port, _, server):
        await asyncio.to_thread(client, port)
        assert not server._connections


async def test_clients_without_a_certificate(certificate):
    _, cert = certificate

    def client(port, trust):
        # With TLS 1.3, the client sees the refusal only after its handshake.
        tls = Secure(port, trust)
        with contextlib.closing(tls):
            tls.send(b"GET /name HTTP/1.1\r\nHost: d\r\n\r\n")
            while tls.read():
                pass

    async with secure(certificate, name=name) as (port, trust, server):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(cert, certificate[0])
        context.load_verify_locations(cert)
        context.verify_mode = ssl.CERT_REQUIRED
        strict = socket.create_server(("127.0.0.1", 0))
        await server.listen(strict, tls=context)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.to_thread(client, strict.getsockname()[1], trust)
        await asyncio.to_thread(lambda: Secure(port, trust).close())


async def test_plain_tcp():
    server = Server(rooms(containers={"name": name}), [containers.endpoints[0]])
    sock = socket.create_server(("127.0.0.1", 0))
    await server.listen(sock)
    reader, writer = await asyncio.open_connection(*sock.getsockname())
    writer.write(b"GET /name HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n")
    assert (await reader.read()).endswith(b'{"Name":"n"}\n')
    writer.close()
    await writer.wait_closed()
    await server.close()
