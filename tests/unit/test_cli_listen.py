"""The sockets that clients connect to: modes, stale files, TLS, inheritance."""

import contextlib
import os
import socket
import ssl
import stat
import subprocess
import threading

import pytest

from palan.cli.exclusive import InUseError
from palan.cli.listen import listeners, tls_context
from palan.engine.config import EngineConfig
from palan.engine.config_check import ConfigError


def nothing_inherited():
    return []


def listening(*hosts, inherited=nothing_inherited, **directives):
    config = EngineConfig(hosts=hosts, group="0", **directives)
    return listeners(config, inherited)


def test_a_unix_socket_is_for_its_group_and_goes_with_the_engine(tmp_path):
    path = tmp_path / "made" / "palan.sock"
    with listening(f"unix://{path}") as (listener,):
        assert listener.name == f"unix://{path}"
        assert stat.S_IMODE(path.stat().st_mode) == 0o660
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
    assert not path.exists()


def test_a_stale_socket_is_replaced(tmp_path):
    path = tmp_path / "palan.sock"
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(path))
    with listening(f"unix://{path}"):
        pass


def test_a_live_socket_is_left_alone(tmp_path):
    path = tmp_path / "palan.sock"
    with (
        listening(f"unix://{path}"),
        pytest.raises(InUseError, match="another process listens there"),
        listening(f"unix://{path}"),
    ):
        pass
    assert not path.exists()


def test_a_file_that_is_no_socket_is_left_alone(tmp_path):
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(InUseError, match="no socket"), listening(f"unix://{path}"):
        pass
    assert path.read_text() == "data"


def test_a_socket_that_another_engine_made_since_is_left(tmp_path):
    path = tmp_path / "palan.sock"
    with listening(f"unix://{path}"):
        path.rename(tmp_path / "moved")
        path.write_text("")
    assert path.exists()


def test_a_path_that_is_too_long_is_refused():
    with pytest.raises(ConfigError, match="at most 107 bytes"), listening(f"unix://{'/x' * 60}"):
        pass


def test_tcp_on_loopback():
    with listening("tcp://127.0.0.1:0") as (listener,):
        assert listener.tls is None
        assert listener.name.startswith("tcp://127.0.0.1:")
        assert not listener.name.endswith(":0")
        socket.create_connection(listener.socket.getsockname()).close()


@pytest.mark.parametrize("host", ["tcp://0.0.0.0:0", "tcp://[::]:0"])
def test_tcp_on_every_address(host: str):
    with listening(host, tls=False) as (listener,):
        port = listener.socket.getsockname()[1]
        socket.create_connection(("127.0.0.1", port)).close()


def test_tcp_without_an_address_is_local():
    with listening("tcp://:0") as (listener,):
        assert listener.socket.getsockname()[0] == "127.0.0.1"


def test_a_taken_port_is_refused():
    with listening("tcp://127.0.0.1:0") as (listener,):
        port = listener.socket.getsockname()[1]
        with (
            pytest.raises(InUseError, match="another process listens there"),
            listening(f"tcp://127.0.0.1:{port}"),
        ):
            pass


def test_an_address_that_is_not_here_is_refused():
    with (
        pytest.raises(ConfigError, match=r"tcp://192\.0\.2\.1:0: "),
        listening("tcp://192.0.2.1:0", tls=False),
    ):
        pass


def test_one_refusal_closes_the_others(tmp_path):
    path = tmp_path / "palan.sock"
    with pytest.raises(ConfigError), listening(f"unix://{path}", "fd://"):
        pass
    assert not path.exists()


@pytest.mark.parametrize(("wanted", "count"), [("fd://", 2), ("fd://api", 1)])
def test_sockets_of_the_service_manager(tmp_path, wanted, count):
    descriptors = []
    for name in ("api", "other"):
        made = socket.socket(socket.AF_UNIX)
        made.bind(str(tmp_path / name))
        made.listen()
        descriptors.append((name, made.detach()))
    with listening(wanted, inherited=lambda: descriptors) as found:
        assert len(found) == count
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(tmp_path / "api"))
    if count == 1:
        os.close(dict(descriptors)["other"])


def test_missing_sockets_of_the_service_manager_are_an_error():
    with pytest.raises(ConfigError, match="no sockets found via socket activation"):
        listening("fd://").__enter__()
    with pytest.raises(ConfigError, match="no socket 7 found"):
        listening("fd://7", inherited=lambda: [("api", 3)]).__enter__()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Make a self-signed certificate, which is its own CA, and its key."""
    directory = tmp_path_factory.mktemp("tls")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1"
    subprocess.run(
        [
            *command.split(), "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
            "-keyout", directory / "key.pem", "-out", directory / "cert.pem",
        ],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return str(directory / "cert.pem"), str(directory / "key.pem")


def handshake(listener, client):
    """Connect, and return whether the server accepted the client."""
    outcome = []

    def serve():
        connection, _ = listener.socket.accept()
        try:
            with listener.tls.wrap_socket(connection, server_side=True) as secured:
                outcome.append(secured.recv(1))
        except ssl.SSLError:
            connection.close()
            outcome.append(None)

    thread = threading.Thread(target=serve)
    thread.start()
    with (
        socket.create_connection(listener.socket.getsockname()) as plain,
        client.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        # With TLS 1.3, a refused client sees the error only here, or not at all.
        with contextlib.suppress(OSError):
            secured.sendall(b"x")
        thread.join()
    return outcome == [b"x"]


def test_tlsverify_admits_only_clients_with_a_certificate(certificate):
    cert, key = certificate
    directives = {"tlsverify": True, "tlscert": cert, "tlskey": key, "tlscacert": cert}
    with listening("tcp://127.0.0.1:0", **directives) as (listener,):
        stranger = ssl.create_default_context(cafile=cert)
        assert not handshake(listener, stranger)
        friend = ssl.create_default_context(cafile=cert)
        friend.load_cert_chain(cert, key)
        assert handshake(listener, friend)


def test_tls_alone_asks_for_no_certificate(certificate):
    cert, key = certificate
    with listening("tcp://127.0.0.1:0", tls=True, tlscert=cert, tlskey=key) as (listener,):
        assert handshake(listener, ssl.create_default_context(cafile=cert))


def test_missing_certificates_are_named(certificate):
    cert, key = certificate
    with pytest.raises(ConfigError, match=r'could not load X509 key pair \(cert: "/absent"'):
        tls_context(EngineConfig(tls=True, tlscert="/absent", tlskey=key))
    with pytest.raises(ConfigError, match='could not read CA certificate "/absent"'):
        tls_context(EngineConfig(tlsverify=True, tlscert=cert, tlskey=key, tlscacert="/absent"))
