"""Downloads of URLs: incomplete ones are errors, and no password is shown."""

import contextlib
import gzip
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from palan.api.errors import Forbidden, InternalError, InvalidParameter, NotFound, Unauthorized
from palan.engine.builder.downloading import download
from palan.engine.builder.output import Output
from palan.engine.builder.remote import Clone, fetch_context, open_context
from palan.engine.images.fetch import open_url, redacted
from palan.host.archive.unpack import Abort


DATA = bytes(range(256)) * 2000


@contextlib.contextmanager
def serving(answer: Callable[[bytes], bytes], *, hold: bool = False) -> Iterator[str]:
    """Answer each connection with bytes that depend on the request; yield the address."""
    listener = socket.create_server(("127.0.0.1", 0))
    held: list[socket.socket] = []

    def run() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            request = b""
            while b"\r\n\r\n" not in request:
                request += connection.recv(4096)
            connection.sendall(answer(request))
            held.append(connection)
            if not hold:
                connection.shutdown(socket.SHUT_RDWR)
                connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield f"127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
        for connection in held:
            connection.close()


def response(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    head = "\r\n".join((f"HTTP/1.1 {status}", *headers))
    return f"{head}\r\n\r\n".encode() + body


def read(url: str) -> bytes:
    with open_url(url) as source:
        return b"".join(iter(source, b""))


LENGTH = f"Content-Length: {len(DATA)}"


@pytest.mark.parametrize(
    "answer",
    [
        response(DATA, LENGTH),
        response(DATA),
        response(b"%x\r\n%b\r\n0\r\n\r\n" % (len(DATA), DATA), "Transfer-Encoding: chunked"),
        response(gzip.compress(DATA), "Content-Encoding: gzip"),
        response(gzip.compress(DATA), "Content-Encoding: X-Gzip"),
    ],
)
def test_whole_downloads(answer):
    with serving(lambda _: answer) as address:
        assert read(f"http://{address}/x") == DATA


@pytest.mark.parametrize(
    "answer",
    [
        response(DATA[:-1], LENGTH),
        response(b"", LENGTH),
        response(b"%x\r\n%b" % (len(DATA), DATA[:-1]), "Transfer-Encoding: chunked"),
        response(b"%x\r\n%b\r\n" % (len(DATA), DATA), "Transfer-Encoding: chunked"),
        response(gzip.compress(DATA)[:-9], "Content-Encoding: gzip"),
    ],
)
def test_short_downloads_are_errors(answer):
    with (
        serving(lambda _: answer) as address,
        open_url(f"http://{address}/x") as source,
        pytest.raises(ConnectionError),
    ):
        while source():
            pass


def test_a_gzip_response_that_is_none():
    answer = response(b"nonsense" * 20, "Content-Encoding: gzip")
    with (
        serving(lambda _: answer) as address,
        open_url(f"http://{address}/x") as source,
        pytest.raises(ConnectionError, match="gzip"),
    ):
        source()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("404 Not Found", NotFound),
        ("400 Bad Request", InvalidParameter),
        ("401 Unauthorized", Unauthorized),
        ("403 Forbidden", Forbidden),
        ("500 Internal Server Error", InternalError),
    ],
)
def test_statuses(status, kind):
    with serving(lambda _: response(b"why\n", status=status)) as address:
        url = f"http://me:secret@{address}/x"
        with pytest.raises(kind) as error:
            open_url(url)
    assert error.value.message == (
        f"failed to GET http://me:xxxxx@{address}/x with status {status}: why"
    )


def test_an_absent_host_is_not_found():
    with pytest.raises(NotFound, match=r"dial tcp: lookup absent\.invalid: no such host"):
        open_url("http://me:secret@absent.invalid/x")


def test_a_user_is_authenticated_at_its_own_server_only():
    requests: list[bytes] = []

    def elsewhere(request: bytes) -> bytes:
        requests.append(request)
        return response(b"x", "Content-Length: 1")

    with serving(elsewhere) as other:

        def redirect(request: bytes) -> bytes:
            requests.append(request)
            return response(b"", f"Location: http://{other}/", status="302 Found")

        with serving(redirect) as address:
            assert read(f"http://me:se%20cret@{address}/x") == b"x"
    assert b"Authorization: Basic bWU6c2UgY3JldA==" in requests[0]
    assert b"uthorization" not in requests[1]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://a/b", "http://a/b"),
        ("http://me@a/b", "http://me@a/b"),
        ("http://me:secret@a/b@c", "http://me:xxxxx@a/b@c"),
        ("https://me:s:e@c@a", "https://me:xxxxx@a"),
        ("-", "-"),
    ],
)
def test_passwords_are_not_shown(url, shown):
    assert redacted(url) == shown


def test_a_read_that_waits_can_be_ended():
    with (
        serving(lambda _: response(b"", LENGTH), hold=True) as address,
        open_url(f"http://{address}/x") as source,
    ):
        timer = threading.Timer(0.1, source.abort)
        timer.start()
        with pytest.raises(ConnectionAbortedError):
            source()
        with pytest.raises(ConnectionAbortedError):
            source()
        timer.join()


# ---- builds ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "answer",
    [
        response(b"FROM scratch\n", "Content-Length: 99"),
        response(bytes(1024), "Content-Length: 2048", "Content-Type: application/x-tar"),
    ],
)
def test_a_short_context_is_an_error(answer, tmp_path):
    with (
        serving(lambda _: answer) as address,
        open_context(f"http://me:secret@{address}/x") as source,
        pytest.raises(InternalError) as error,
    ):
        fetch_context(source, tmp_path / "context", Abort())
    assert error.value.message.endswith("unexpected EOF")
    assert "secret" not in error.value.message


def test_a_compressed_dockerfile(tmp_path):
    text = b"FROM scratch\n" * 50
    answer = response(gzip.compress(text), "Content-Encoding: gzip", "Content-Type: text/plain")
    with serving(lambda _: answer) as address, open_context(f"http://{address}/x") as source:
        assert fetch_context(source, tmp_path / "context", Abort()).dockerfile == text


class _Output(Output):
    async def send(self, message):
        pass


async def test_an_added_file_is_inflated_and_whole(tmp_path):
    answer = response(gzip.compress(DATA), "Content-Encoding: gzip")
    with serving(lambda _: answer) as address:
        await download(f"http://{address}/file", tmp_path / "a", "/", _Output())
    assert (tmp_path / "a/file").read_bytes() == DATA
    with serving(lambda _: response(DATA[:-1], LENGTH)) as address:
        with pytest.raises(InternalError) as error:
            await download(f"http://me:secret@{address}/file", tmp_path / "b", "/", _Output())
        assert error.value.message == f'Get "http://me:xxxxx@{address}/file": unexpected EOF'


def test_git_shows_no_password(tmp_path):
    with pytest.raises((InvalidParameter, InternalError)) as error:
        Clone().run("http://me:secret@127.0.0.1:1/r.git", tmp_path / "context")
    assert "secret" not in error.value.message
