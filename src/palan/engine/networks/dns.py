"""Names for containers on user-defined networks: a name server for each of them.

It is made when the container starts and when the engine does, and goes with either.
"""

import asyncio
import hashlib
import os
import socket
from collections.abc import Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from palan.engine.networks.dns_forward import Forwarder, Upstream
from palan.engine.networks.dns_names import SandboxNames
from palan.engine.networks.dns_server import ADDRESS, DnsServer, open_sockets
from palan.engine.networks.endpoint_records import SandboxRecord
from palan.engine.networks.resolv_conf import container_resolv_conf, ndots
from palan.host import iptables, nft_messages
from palan.host.namespaces import run_in_netns


if TYPE_CHECKING:
    from palan.engine.containers.container import Container
    from palan.engine.engine import Engine


__all__ = ["Dns", "upstreams"]

MOST_AT_ONCE: Final = 1024
"""Questions under way to others, of all containers; as with Docker."""
ATTEMPTS: Final = 20
_PORTS: Final = range(32768, 60999)
_TABLE: Final = "palan-dns"


def upstreams(
    servers: Sequence[str], host_servers: Sequence[str], *, forwards: bool
) -> list[Upstream]:
    """Who is asked about names that are none of ours.

    Args:
        servers: those asked for; they are reached from the container's network.
        host_servers: the host's own, if none are asked for.
        forwards: whether the container reaches beyond its networks; else resolvers on the
            host's loopback would lead it there.
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


class Dns:
    """The name servers of all containers that have one."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self._servers: dict[str, DnsServer] = {}
        self._slots = asyncio.Semaphore(MOST_AT_ONCE)

    async def attach(self, container: "Container", sandbox: SandboxRecord, *, fresh: bool) -> None:
        """Give a container a name server, if it is on a user-defined network.

        Args:
            container: the container.
            sandbox: its network namespace and endpoints.
            fresh: the namespace was just made, and nothing is in it yet.
        """
        if not sandbox.path or not any(e.dns_names for e in sandbox.endpoints):
            return
        self.detach(container.id)
        try:
            sockets = await asyncio.to_thread(_prepare, sandbox.path, fresh=fresh)
        except (OSError, iptables.IptablesError) as error:
            self._engine.log.warning("no names", container=container.id, reason=str(error))
            return
        host_config = container.record.host_config
        config, resolvers = self._engine.config, self._engine.networks.resolvers

        def asked() -> list[Upstream]:
            forwards = bool(sandbox.main(4) or sandbox.main(6))
            servers = host_config.dns or config.dns
            return upstreams(servers, resolvers.servers(), forwards=forwards)

        self._servers[container.id] = DnsServer(
            sockets,
            SandboxNames(self._engine.networks, sandbox),
            Forwarder(sandbox.path, asked),
            dotted_only=ndots(host_config.dns_options or config.dns_opts) > 0,
            slots=self._slots,
        )

    async def joined(self, container: "Container", sandbox: SandboxRecord) -> None:
        """Have a running container that has joined a network be told names, if it was not yet.

        Its ``resolv.conf`` is written anew unless somebody has changed it there.
        """
        if self.has(container.id):
            return
        await self.attach(container, sandbox, fresh=False)
        if self.has(container.id):
            await asyncio.to_thread(self._write_resolv_conf, container)

    def _write_resolv_conf(self, container: "Container") -> None:
        path = self._engine.paths.container(container.id) / "resolv.conf"
        host = self._engine.networks.resolvers.text()
        given = container.record.host_config, self._engine.config
        ours = container_resolv_conf(host, *given, embedded=False).encode()
        with path.open("rb") as file:
            unchanged = file.read(len(ours) + 1) == ours
        if unchanged:
            path.write_text(container_resolv_conf(host, *given, embedded=True))

    def has(self, container_id: str) -> bool:
        """Whether a container has one."""
        return container_id in self._servers

    def detach(self, container_id: str) -> None:
        """Take it away; idempotent.  What it had in the namespace goes with that."""
        server = self._servers.pop(container_id, None)
        if server is not None:
            server.close()

    def close(self) -> None:
        """Take all away; they come back with the next engine."""
        for container_id in list(self._servers):
            self.detach(container_id)


def _prepare(netns: str, *, fresh: bool) -> tuple[socket.socket, socket.socket]:
    """Open a name server's sockets inside of a namespace, and have port 53 lead there.

    The ports follow from the namespace, so that after a restart of the engine the rules
    there are mostly still right; they are written anew all the same.
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
