"""The sockets that clients connect to: created here, or passed on by systemd."""

import errno
import os
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from palan.cli.exclusive import InUseError
from palan.engine.config import EngineConfig
from palan.engine.config_check import ConfigError, uses_tls
from palan.engine.hosts import Host, parse_host
from palan.engine.paths import SOCKET_PATH_MAX


__all__ = ["Listener", "listeners", "tls_context"]

_BACKLOG: Final = 1024


@dataclass(frozen=True, slots=True)
class Listener:
    """A listening socket, with its TLS context (None for plain connections) and its address."""

    socket: socket.socket
    tls: ssl.SSLContext | None
    name: str


@contextmanager
def listeners(
    config: EngineConfig, inherited: Callable[[], Sequence[tuple[str, int]]]
) -> Iterator[list[Listener]]:
    """Listen on all hosts of a configuration; remove the unix sockets at the end.

    Args:
        config: supplies the hosts, the socket group and the TLS directives.
        inherited: returns the names and descriptors that systemd passed on; called once.

    Raises:
        ConfigError: a certificate, key or inherited socket is missing.
        InUseError: another process listens on one of the hosts.
        OSError: the kernel refuses.
    """
    tls = tls_context(config) if uses_tls(config) else None
    passed = inherited()
    with ExitStack() as stack:
        found: list[Listener] = []
        for text in config.hosts:
            host = parse_host(text, tls=tls is not None)
            if host.kind == "unix":
                made = stack.enter_context(_unix(Path(host.path), config.socket_group))
                found.append(Listener(made, None, str(host)))
            elif host.kind == "tcp":
                made = stack.enter_context(_tcp(host))
                found.append(Listener(made, tls, f"tcp://{_bound_address(made)}"))
            else:
                for made in _inherited(host.path, passed):
                    stack.enter_context(made)
                    remote = made.family != socket.AF_UNIX
                    found.append(Listener(made, tls if remote else None, f"fd://{made.fileno()}"))
        yield found


def tls_context(config: EngineConfig) -> ssl.SSLContext:
    """Return the TLS context for TCP; under ``--tlsverify``, it demands client certificates.

    Raises:
        ConfigError: a file is missing or is no certificate or key.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(config.tlscert, config.tlskey)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f'could not load X509 key pair (cert: "{config.tlscert}", key: "{config.tlskey}"): '
            f"{error}"
        ) from None
    if config.tlsverify:
        try:
            context.load_verify_locations(config.tlscacert)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f'could not read CA certificate "{config.tlscacert}": {error}'
            ) from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@contextmanager
def _unix(path: Path, group: int) -> Iterator[socket.socket]:
    if len(os.fsencode(path)) > SOCKET_PATH_MAX:
        raise ConfigError(
            f"unix://{path}: the path of a socket can have at most {SOCKET_PATH_MAX} bytes"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as made:
        # No other user may connect before the socket has its group.
        umask = os.umask(0o177)
        try:
            made.bind(os.fspath(path))
        finally:
            os.umask(umask)
        inode = path.stat().st_ino
        try:
            os.chown(path, os.getuid(), group)
            path.chmod(0o660)
            made.listen(_BACKLOG)
            yield made
        finally:
            with suppress(OSError):
                if path.stat().st_ino == inode:
                    path.unlink()


def _remove_stale(path: Path) -> None:
    """Remove the socket file that an ended engine left behind."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(os.fspath(path))
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            if not path.is_socket():
                raise InUseError(f"unix://{path}: the file exists and is no socket") from None
            path.unlink()
        else:
            raise InUseError(f"unix://{path}: another process listens there")


@contextmanager
def _tcp(host: Host) -> Iterator[socket.socket]:
    try:
        made = _create_tcp_socket(host)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise InUseError(f"{host}: another process listens there") from None
        raise ConfigError(f"{host}: {error.strerror or error}") from None
    with made:
        yield made


def _create_tcp_socket(host: Host) -> socket.socket:
    if host.address == "::" and socket.has_dualstack_ipv6():
        return socket.create_server(
            ("::", host.port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=_BACKLOG
        )
    address = host.address
    if address == "localhost":
        address = "127.0.0.1"
    family, _, _, _, where = socket.getaddrinfo(
        address, host.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    return socket.create_server(where[:2], family=family, backlog=_BACKLOG)


def _bound_address(made: socket.socket) -> str:
    address, port = made.getsockname()[:2]
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _inherited(wanted: str, passed: Sequence[tuple[str, int]]) -> list[socket.socket]:
    """Return the sockets that systemd passed, or only the one with the wanted number or name."""
    chosen = [fd for name, fd in passed if wanted in ("", name, str(fd))]
    if not chosen:
        what = f"no socket {wanted}" if wanted else "no sockets"
        raise ConfigError(
            f"fd://{wanted}: {what} found via socket activation: make sure the service manager "
            "starts palan with its socket unit"
        )
    return [socket.socket(fileno=fd) for fd in chosen]
