"""Ports of the host that lead to containers: taking them, publishing them, giving them back.

Taking a port means binding it, so that a port in use is noticed before anything is
changed, whoever uses it; the rules in :mod:`palan.engine.networks.rules` then
redirect its packets.  After a restart of the engine the ports of running containers
are bound again; their rules were there all along.
"""

import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from palan.api.errors import InternalError
from palan.engine.containers.record import PortRecord
from palan.engine.networks.proxy import Proxy
from palan.engine.networks.rules import Publication


__all__ = ["PortRequest", "PublishedPorts", "publications"]

ANY4, ANY6 = "0.0.0.0", "::"  # noqa: S104 - what Docker publishes on by default
EPHEMERAL = range(32768, 60999)
_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM, "sctp": socket.SOCK_STREAM}
_IPPROTO_SCTP = 132


@dataclass(frozen=True, slots=True)
class PortRequest:
    """A container port to publish; ``host_ports`` are tried in turn, empty for any free one."""

    container_port: int
    protocol: str
    host_ip: str
    host_ports: Sequence[int]


class PublishedPorts:
    """The sockets of all published ports of an engine."""

    def __init__(self) -> None:
        self._sockets: dict[str, list[socket.socket]] = {}
        self._proxies: dict[str, list[Proxy]] = {}
        self._owners: set[tuple[str, int, str]] = set()
        self._claims: dict[str, set[tuple[str, int, str]]] = {}
        self._next = EPHEMERAL.start
        self._ipv6 = _has_ipv6()

    def take(
        self, owner: str, requests: Iterable[PortRequest], default_ip: str
    ) -> list[PortRecord]:
        """Bind ports for a container: all of them or none.

        Args:
            owner: the container's id.
            requests: what to publish.
            default_ip: the host address where a request names none.

        Raises:
            InternalError: a port is taken, in dockerd's words.
        """
        records: list[PortRecord] = []
        try:
            for request in requests:
                records += self._take_one(owner, request, default_ip)
        except BaseException:
            self.give_back(owner)
            raise
        return records

    def _take_one(self, owner: str, request: PortRequest, default_ip: str) -> list[PortRecord]:
        # As the kernel will say it ("::1" for "0:0::1").
        hosts = [str(ip_address(request.host_ip or default_ip))]
        if hosts == [ANY4] and not request.host_ip and self._ipv6 and request.protocol == "tcp":
            hosts.append(ANY6)
        candidates = request.host_ports or self._ephemeral()
        failure: InternalError | None = None
        for port in candidates:
            try:
                self._bind_all(owner, hosts, port, request.protocol)
            except InternalError as error:
                failure = error
                continue
            return [
                PortRecord(
                    host_ip=host,
                    host_port=port,
                    container_port=request.container_port,
                    protocol=request.protocol,
                )
                for host in hosts
            ]
        raise failure or InternalError("all ports are allocated")

    def _ephemeral(self) -> Iterable[int]:
        for _ in EPHEMERAL:
            port = self._next
            self._next = port + 1 if port + 1 < EPHEMERAL.stop else EPHEMERAL.start
            yield port

    def _bind_all(self, owner: str, hosts: Sequence[str], port: int, protocol: str) -> None:
        bound: list[socket.socket] = []
        for host in hosts:
            key = (host, port, protocol)
            shown = f"[{host}]" if ":" in host else host
            if self._is_taken(*key):
                _close(bound)
                raise InternalError(f"Bind for {shown}:{port} failed: port is already allocated")
            try:
                bound.append(_bind(*key))
            except OSError as error:
                _close(bound)
                reason = (error.strerror or str(error)).lower()
                raise InternalError(
                    f"failed to bind host port {shown}:{port}/{protocol}: {reason}"
                ) from None
        keys = {(host, port, protocol) for host in hosts}
        self._owners |= keys
        self._claims.setdefault(owner, set()).update(keys)
        self._sockets.setdefault(owner, []).extend(bound)

    def _is_taken(self, host: str, port: int, protocol: str) -> bool:
        """Whether a container has the port at this address, or either is for all addresses."""
        everywhere = ANY6 if ":" in host else ANY4
        return any(
            (port, protocol) == (taken_port, taken_protocol)
            and (":" in taken) == (":" in host)
            and (taken == host or everywhere in (taken, host))
            for taken, taken_port, taken_protocol in self._owners
        )

    async def serve(self, owner: str, records: Iterable[PortRecord], address: str) -> None:
        """Carry connections that arrive at the owner's TCP sockets to ``address``."""
        where = {(r.host_ip, r.host_port): r for r in records if r.protocol == "tcp"}
        for listener in self._sockets.get(owner, []):
            if listener.type != socket.SOCK_STREAM or listener.proto == _IPPROTO_SCTP:
                continue
            host, port, *_ = listener.getsockname()
            record = where[host, port]
            proxy = Proxy(listener, address, record.container_port)
            await proxy.start()
            self._proxies.setdefault(owner, []).append(proxy)

    def aim(self, owner: str, address: str) -> None:
        """Carry new connections to another address of the owner; those that are there go on."""
        for proxy in self._proxies.get(owner, []):
            proxy.aim(address)

    async def resume(self, owner: str, records: Iterable[PortRecord], address: str) -> list[str]:
        """Bind a running container's ports again; returns what could not be bound."""
        records = list(records)
        failures = []
        for record in records:
            try:
                self._bind_all(owner, [record.host_ip], record.host_port, record.protocol)
            except InternalError as error:
                failures.append(error.message)
        await self.serve(owner, records, address)
        return failures

    def give_back(self, owner: str) -> None:
        """Close the container's sockets; idempotent."""
        for proxy in self._proxies.pop(owner, []):
            proxy.close()
        _close(self._sockets.pop(owner, []))
        self._owners -= self._claims.pop(owner, set())

    def close(self) -> None:
        """Close everything; the rules stay and go on redirecting."""
        for owner in list(self._claims):
            self.give_back(owner)


def publications(records: Iterable[PortRecord], address: str) -> list[Publication]:
    """The rules for published ports; IPv6 ones are carried by the proxy."""
    return [
        Publication(r.host_ip, r.host_port, r.protocol, address, r.container_port)
        for r in records
        if ":" not in r.host_ip
    ]


def _bind(host: str, port: int, protocol: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, _KINDS[protocol], _IPPROTO_SCTP if protocol == "sctp" else 0)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if protocol == "tcp":
            # Old connections in TIME_WAIT are no reason to refuse a restart.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        if protocol == "tcp":
            sock.listen(128)
    except BaseException:
        sock.close()
        raise
    return sock


def _close(sockets: Iterable[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


def _has_ipv6() -> bool:
    try:
        _bind("::1", 0, "udp").close()
    except OSError:
        return False
    return True
