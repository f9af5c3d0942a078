"""The name servers of containers on user-defined networks, one for each container.

A name server is created when the container or the engine starts, and closed when either stops.
"""

import asyncio
import hashlib
import os
import socket
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final

from palan.engine.networks.dns_forward import Forwarder, Upstream
from palan.engine.networks.dns_names import SandboxNames
from palan.engine.networks.dns_server import ADDRESS, DnsServer, open_sockets
from palan.engine.networks.endpoint_records import SandboxRecord
from palan.engine.networks.host_resolvers import HostResolvers
from palan.engine.networks.member import Member
from palan.engine.networks.resolv_conf import ndots
from palan.engine.networks.surroundings import Surroundings
from palan.engine.networks.table import NetworkTable
from palan.host import iptables, nft_messages
from palan.host.namespaces import run_in_netns


__all__ = ["NameServers", "upstreams"]

ATTEMPTS: Final = 20
_PORTS: Final = range(32768, 60999)
_TABLE: Final = "palan-dns"


def upstreams(
    servers: Sequence[str], host_servers: Sequence[str], *, forwards: bool
) -> list[Upstream]:
    """Return the resolvers for names that do not belong to containers.

    Args:
        servers: the resolvers asked for, which are reached from the container's namespace.
        host_servers: the host's resolvers, used if no others are asked for.
        forwards: whether the container reaches other networks than its own; if not,
            resolvers on the host's loopback are left out, as they would lead it there.
    """
    found = []
    for server in servers or host_servers:
        try:
            local = ip_address(server.partition("%")[0]).is_loopback
        except ValueError:
            continue
        on_host = local and not servers
        if forwards or not on_host:
            found.append(Upstream(server, on_host=on_host))
    return found


class NameServers:
    """The name servers of all containers that have one."""

    def __init__(
        self, surroundings: Surroundings, networks: NetworkTable, resolvers: HostResolvers
    ) -> None:
        self._surroundings = surroundings
        self._networks = networks
        self._resolvers = resolvers
        self._servers: dict[str, DnsServer] = {}

    async def attach(self, member: Member, sandbox: SandboxRecord, *, fresh: bool) -> None:
        """Start the name server of a container, if it is on a user-defined network.

        Args:
            member: the container.
            sandbox: its network namespace and endpoints.
            fresh: whether the namespace is new and has no rules yet.
        """
        if not sandbox.path or not any(e.dns_names for e in sandbox.endpoints):
            return
        self.detach(member.id)
        try:
            sockets = await asyncio.to_thread(_prepare, sandbox.path, fresh=fresh)
        except (OSError, iptables.IptablesError) as error:
            self._surroundings.log.warning("no names", container=member.id, reason=str(error))
            return

        def current_upstreams() -> list[Upstream]:
            forwards = bool(sandbox.main(4) or sandbox.main(6))
            settings = member.dns.with_defaults(self._surroundings.config)
            return upstreams(settings.servers, self._resolvers.servers(), forwards=forwards)

        options = member.dns.with_defaults(self._surroundings.config).options
        self._servers[member.id] = DnsServer(
            sockets,
            SandboxNames(self._networks, sandbox),
            Forwarder(sandbox.path, current_upstreams),
            dotted_only=ndots(options) > 0,
        )

    def has(self, container_id: str) -> bool:
        """Return whether a container has a name server."""
        return container_id in self._servers

    def detach(self, container_id: str) -> None:
        """Close a container's name server; idempotent.  The rules go with the namespace."""
        server = self._servers.pop(container_id, None)
        if server is not None:
            server.close()

    def close(self) -> None:
        """Close all name servers; the next engine starts them again."""
        for container_id in list(self._servers):
            self.detach(container_id)


def _prepare(netns: str, *, fresh: bool) -> tuple[socket.socket, socket.socket]:
    """Open a name server's sockets in a namespace, and redirect port 53 to them.

    The port is derived from the path of the namespace.  So after a restart of the engine the
    rules there are mostly still right; they are rewritten all the same.
    """
    digest = int.from_bytes(hashlib.sha256(os.fsencode(netns)).digest()[:8], "big")
    first = digest % len(_PORTS)
    ports = [_PORTS[(first + n) % len(_PORTS)] for n in range(ATTEMPTS)]
    sockets = run_in_netns(netns, lambda: open_sockets(ports))
    try:
        _redirect(netns, sockets[0].getsockname()[1], replace=not fresh)
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _redirect(netns: str, port: int, *, replace: bool) -> None:
    ways = [(protocol, 53, port) for protocol in ("udp", "tcp")]
    changes = nft_messages.destination_redirect(_TABLE, ADDRESS, ways, replace=replace)
    try:
        nft_messages.commit(changes, netns=netns)
    except OSError:
        program = iptables.find(4)
        if program is None:
            raise
        program.restore(_iptables_text(port), netns=netns)
        program.ensure("nat", "OUTPUT", f"-j {_TABLE}", first=True, netns=netns)


def _iptables_text(port: int) -> str:
    rules = [
        f"-A {_TABLE} -d {ADDRESS} -p {protocol} --dport 53"
        f" -j DNAT --to-destination {ADDRESS}:{port}"
        for protocol in ("udp", "tcp")
    ]
    return "\n".join(["*nat", f":{_TABLE} - [0:0]", *rules, "COMMIT\n"])
