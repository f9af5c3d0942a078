"""Ports of the host that are published for containers: bound sockets, and proxies on them.

A port is reserved by binding a socket to it.  So a port that any program uses is noticed before
anything is changed; firewall rules then redirect its packets.  After a restart of the engine
the ports of running containers are bound again; their rules have stayed in place.
"""

import socket
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv6Address, ip_address

from palan.api.errors import InternalError
from palan.engine.networks.endpoint_records import PortRecord
from palan.engine.networks.proxy import Proxy, StreamProxy
from palan.engine.networks.proxy_limits import Budget, default_limit
from palan.engine.networks.proxy_udp import DatagramProxy
from palan.engine.networks.rules import Publication


__all__ = ["HostPorts", "PortRequest", "Target", "fits", "publications", "routed_records"]

ANY4, ANY6 = "0.0.0.0", "::"  # noqa: S104 - what Docker publishes on by default
EPHEMERAL = range(32768, 60999)
BACKLOG = 1024
_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM, "sctp": socket.SOCK_STREAM}
_IPPROTO_SCTP = 132

Key = tuple[str, int, str]
"""An address of the host, a port and a protocol."""


@dataclass(frozen=True, slots=True)
class PortRequest:
    """A container port to publish; ``host_ports`` are tried in turn, empty for any free port."""

    container_port: int
    protocol: str
    host_ip: str
    host_ports: Sequence[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The addresses that published ports of a container lead to, and the ways to them.

    Attributes:
        address: its IPv4 address; empty for none.
        address6: its IPv6 address; empty for none.
        default_ip: the host address where a request names none.
        routed: versions of IP in which clients send to the container's own address, and no
            port of the host is bound.
        direct: versions of IP in which some clients may do so in addition.
        proxy: whether the engine forwards what no rule can redirect (``userland-proxy``).
    """

    address: str = ""
    address6: str = ""
    default_ip: str = ANY4
    routed: frozenset[int] = frozenset()
    direct: frozenset[int] = frozenset()
    proxy: bool = True

    def inner(self, host_ip: str) -> str:
        """Return its address of the same family as an address of the host; empty without one."""
        return self.address6 if ":" in host_ip else self.address

    def forwarded(self, host_ip: str) -> str:
        """Return the address to which a proxy forwards what arrives at an address of the host."""
        return self.inner(host_ip) or self.address or self.address6


class HostPorts:
    """The sockets of all published ports of an engine.

    Ports may be reserved and released in any thread; proxies belong to the event loop.
    """

    def __init__(self) -> None:
        self._budget = Budget(default_limit())
        self._lock = threading.Lock()
        self._sockets: dict[str, list[socket.socket]] = {}
        self._proxies: dict[str, list[Proxy]] = {}
        self._hosts: dict[tuple[int, str], set[str]] = {}
        """The addresses at which a port is published, by port and protocol."""
        self._claims: dict[str, set[Key]] = {}
        self._next = EPHEMERAL.start

    def reserve(
        self, owner: str, requests: Iterable[PortRequest], target: Target
    ) -> list[PortRecord]:
        """Bind the ports of a container: all of them or none.

        Exact ports come first, then ranges, then free ones, so that no port is chosen that
        another request names.  Requests that differ only in the address get the same port.

        Args:
            owner: the container's id.
            requests: the ports to publish.
            target: the addresses of the container.

        Returns:
            The bound ports, in the order of the requests.

        Raises:
            InternalError: a port is in use; in dockerd's words.
        """
        requests = list(requests)
        found: dict[int, list[PortRecord]] = {}
        try:
            with self._lock:
                for group in _groups(requests, target):
                    together = self._reserve_together(
                        owner, {number: requests[number] for number in group}, target
                    )
                    found.update(together)
        except BaseException:
            self.release(owner)
            raise
        return [record for number in range(len(requests)) for record in found[number]]

    def _reserve_together(
        self, owner: str, requests: dict[int, PortRequest], target: Target
    ) -> dict[int, list[PortRecord]]:
        """Bind one port of the host at the addresses of all these requests."""
        hosts = {number: list(_hosts(request, target)) for number, request in requests.items()}
        bound = [h for each in hosts.values() for h in each if _version(h) not in target.routed]
        port = self._bind_one_of(owner, bound, next(iter(requests.values()))) if bound else 0
        found = {}
        for number, request in requests.items():
            records = [_record(request, h, port if h in bound else 0) for h in hosts[number]]
            found[number] = sorted(records, key=lambda record: not record.host_port)
        return found

    def _bind_one_of(self, owner: str, hosts: Sequence[str], request: PortRequest) -> int:
        """Bind the first free port of a request, and return it."""
        failure: InternalError | None = None
        if len(request.host_ports) > 1 and all(
            self._is_taken(host, port, request.protocol)
            for port in request.host_ports
            for host in hosts
        ):
            raise InternalError("all ports are allocated")
        for port in request.host_ports or self._ephemeral():
            try:
                self._bind_all(owner, hosts, port, request.protocol)
            except InternalError as error:
                failure = error
                if not request.host_ports and not _in_use(error):
                    break  # no other port would do, for example where the kernel lacks the protocol
                continue
            return port
        raise failure or InternalError("all ports are allocated")

    def _ephemeral(self) -> Iterator[int]:
        for _ in EPHEMERAL:
            port = self._next
            self._next = port + 1 if port + 1 < EPHEMERAL.stop else EPHEMERAL.start
            yield port

    def _bind_all(self, owner: str, hosts: Sequence[str], port: int, protocol: str) -> None:
        bound: list[socket.socket] = []
        for host in hosts:
            shown = f"[{host}]" if ":" in host else host
            if self._is_taken(host, port, protocol):
                _close(bound)
                raise InternalError(f"Bind for {shown}:{port} failed: port is already allocated")
            try:
                bound.append(_bind(host, port, protocol))
            except OSError as error:
                _close(bound)
                reason = (error.strerror or str(error)).lower()
                raise InternalError(
                    f"failed to bind host port {shown}:{port}/{protocol}: {reason}"
                ) from None
        self._hosts.setdefault((port, protocol), set()).update(hosts)
        self._claims.setdefault(owner, set()).update((host, port, protocol) for host in hosts)
        self._sockets.setdefault(owner, []).extend(bound)

    def _is_taken(self, host: str, port: int, protocol: str) -> bool:
        """Return whether a container has the port at this address, or either at all addresses."""
        everywhere = ANY6 if ":" in host else ANY4
        return any(
            (":" in taken) == (":" in host) and (taken == host or everywhere in (taken, host))
            for taken in self._hosts.get((port, protocol), ())
        )

    def start_proxies(self, owner: str, records: Iterable[PortRecord], target: Target) -> None:
        """Forward to a container what arrives at its sockets because no rule redirects it.

        Without the userland proxy, TCP connections are reset.
        """
        inner = {
            (_without_zone(r.host_ip), r.host_port, r.protocol): r.container_port for r in records
        }
        proxies = self._proxies.setdefault(owner, [])
        for sock in self._sockets.get(owner, []):
            host, port = _address(sock)
            protocol = _protocol(sock)
            where = target.forwarded(host), inner[host, port, protocol]
            if protocol != "udp":
                proxies.append(StreamProxy(sock, where if target.proxy else None, self._budget))
            elif target.proxy:
                proxies.append(DatagramProxy(sock, where, self._budget))

    def stop_proxies(self, owner: str) -> None:
        """Stop forwarding to a container; its ports stay bound."""
        with self._lock:
            held = self._sockets.get(owner, [])
            # Proxies close their sockets at the end: duplicates keep the ports bound.
            self._sockets[owner] = [sock.dup() for sock in held]
        for proxy in self._proxies.pop(owner, []):
            proxy.close()
        for sock in held:
            sock.close()

    def adopt(self, owner: str, records: Iterable[PortRecord]) -> list[str]:
        """Bind a running container's ports again; returns a message for each failure."""
        failures = []
        with self._lock:
            for record in records:
                if not record.host_port:
                    continue
                try:
                    self._bind_all(owner, [record.host_ip], record.host_port, record.protocol)
                except InternalError as error:
                    failures.append(error.message)
        return failures

    def release(self, owner: str) -> None:
        """Close the container's proxies and sockets; idempotent."""
        for proxy in self._proxies.pop(owner, []):
            proxy.close()
        with self._lock:
            _close(self._sockets.pop(owner, []))
            for host, port, protocol in self._claims.pop(owner, ()):
                hosts = self._hosts[port, protocol]
                hosts.discard(host)
                if not hosts:
                    del self._hosts[port, protocol]

    def close(self) -> None:
        """Close all sockets; the firewall rules stay and redirect packets without them."""
        for owner in list(self._claims):
            self.release(owner)


def _groups(requests: Sequence[PortRequest], target: Target) -> list[list[int]]:
    """Return the numbers of requests that need the same port, in the order of binding."""
    groups: list[tuple[PortRequest, list[int], set[str]]] = []
    latest: dict[tuple[int, str, tuple[int, int]], int] = {}
    for number, request in enumerate(requests):
        hosts = set(_hosts(request, target))
        ports = request.host_ports
        key = request.container_port, request.protocol, (ports[0], ports[-1]) if ports else (0, 0)
        index = latest.get(key)
        if index is None or groups[index][2] & hosts:
            latest[key] = len(groups)
            groups.append((request, [number], hosts))
        else:
            groups[index][1].append(number)
            groups[index][2].update(hosts)
    exact_first = {0: 2, 1: 0}
    groups.sort(key=lambda group: exact_first.get(len(group[0].host_ports), 1))
    return [numbers for _, numbers, _ in groups]


def _hosts(request: PortRequest, target: Target) -> Iterator[str]:
    """Yield the addresses of the host at which a port is published, in canonical form."""
    address = ip_address(request.host_ip or target.default_ip)
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    chosen = str(address)
    if request.host_ip or chosen != ANY4:
        yield chosen
        return
    # All addresses: a proxy forwards the IP version that the container lacks.
    if target.address or not target.address6:
        yield ANY4
    if _has_ipv6() and (target.address6 or (target.proxy and 4 not in target.routed)):
        yield ANY6


def fits(records: Iterable[PortRecord], requests: Iterable[PortRequest], target: Target) -> bool:
    """Return whether the reserved ports are those that the requests need for a target."""
    wanted = {
        (request.container_port, request.protocol, host, _version(host) in target.routed)
        for request in requests
        for host in _hosts(request, target)
    }
    return wanted == {
        (r.container_port, r.protocol, r.host_ip, not r.host_port) for r in records if not r.address
    }


def _version(address: str) -> int:
    return 6 if ":" in address else 4


def _record(request: PortRequest, host: str, port: int) -> PortRecord:
    return PortRecord(
        host_ip=host,
        host_port=port,
        container_port=request.container_port,
        protocol=request.protocol,
    )


def publications(records: Iterable[PortRecord], target: Target) -> list[Publication]:
    """Return the rules for published ports; proxies serve the IP versions a container lacks."""
    return [
        Publication(
            r.host_ip,
            r.host_port,
            r.protocol,
            r.address or target.inner(r.host_ip),
            r.container_port,
            direct=bool(r.address) or _version(r.host_ip) in target.routed | target.direct,
        )
        for r in records
        if r.address or target.inner(r.host_ip)
    ]


def routed_records(requests: Iterable[PortRequest], addresses: Iterable[str]) -> list[PortRecord]:
    """Return the ports that are published at addresses of a container in routed networks."""
    addresses = list(addresses)
    found = {}
    for request in requests:
        for address in addresses:
            host = ip_address(request.host_ip) if request.host_ip else None
            if isinstance(host, IPv6Address):
                host = host.ipv4_mapped or host
            if host is None or host.version == _version(address):
                found[request.container_port, request.protocol, address] = PortRecord(
                    host_ip=ANY6 if ":" in address else ANY4,
                    host_port=0,
                    container_port=request.container_port,
                    protocol=request.protocol,
                    address=address,
                )
    return list(found.values())


def _in_use(error: InternalError) -> bool:
    return error.message.endswith(("already allocated", "already in use"))


def _bind(host: str, port: int, protocol: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, _KINDS[protocol], _IPPROTO_SCTP if protocol == "sctp" else 0)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if protocol == "udp":
            DatagramProxy.prepare(sock)
        else:
            # Old connections in TIME_WAIT must not prevent a restart.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        if protocol != "udp":
            sock.listen(BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _without_zone(address: str) -> str:
    return address.partition("%")[0]


def _address(sock: socket.socket) -> tuple[str, int]:
    """Return the address and port of a socket; link-local ones without zone."""
    host, port, *_ = sock.getsockname()
    return _without_zone(host), port


def _protocol(sock: socket.socket) -> str:
    if sock.type == socket.SOCK_DGRAM:
        return "udp"
    return "sctp" if sock.proto == _IPPROTO_SCTP else "tcp"


def _close(sockets: Iterable[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


@cache
def _has_ipv6() -> bool:
    try:
        with closing(_bind("::1", 0, "udp")):
            return True
    except OSError:
        return False
