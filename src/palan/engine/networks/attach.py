"""Endpoints that are added to, and removed from, the namespace of a running container."""

import asyncio
import contextlib
from collections.abc import Mapping

from palan.api.containers import EndpointSettings
from palan.api.errors import InternalError, PalanError
from palan.engine.networks.context import NetworkContext
from palan.engine.networks.endpoint_records import EndpointRecord, SandboxRecord
from palan.engine.networks.endpoints import create_endpoint, discard_endpoint
from palan.engine.networks.interfaces import move_default_routes, plug, unplug
from palan.engine.networks.member import Member
from palan.engine.networks.network import Network
from palan.engine.networks.publish import republish_ports
from palan.engine.networks.sandbox import connections


__all__ = ["add_endpoint", "plug_endpoint", "remove_endpoint"]


async def add_endpoint(
    context: NetworkContext,
    member: Member,
    sandbox: SandboxRecord,
    network: Network,
    settings: EndpointSettings,
) -> EndpointRecord:
    """Create an endpoint for a running container, in memory: :meth:`plug_endpoint` follows.

    Raises:
        PalanError: as :func:`create_endpoint` does; nothing is left of the endpoint then.
    """
    try:
        return await create_endpoint(context, member, sandbox, network, settings)
    except BaseException:
        if (half := network.endpoints.get(member.id)) is not None:
            await remove_endpoint(context, member, sandbox, half)
        raise


async def plug_endpoint(
    context: NetworkContext,
    member: Member,
    sandbox: SandboxRecord,
    endpoint: EndpointRecord,
    before: Mapping[int, EndpointRecord | None],
) -> None:
    """Make the interface of a new endpoint, and move routes and published ports to it.

    Args:
        context: the networks.
        member: the container.
        sandbox: its namespace, which has the endpoint already.
        endpoint: the endpoint.
        before: the endpoints that had the default routes before, by IP version.

    Raises:
        PalanError: something failed; the caller has to remove the endpoint.
    """

    def connect() -> None:
        plug(sandbox, connections(context, [endpoint]), late=True)
        move_default_routes(sandbox, before)

    try:
        await asyncio.to_thread(connect)
    except OSError as error:
        raise InternalError(
            f"failed to connect container {member.name} to network {endpoint.network_name}: {error}"
        ) from error
    await republish_ports(context, member, sandbox, before)


async def remove_endpoint(
    context: NetworkContext, member: Member, sandbox: SandboxRecord, endpoint: EndpointRecord
) -> None:
    """Remove an endpoint, whole or half made, from a namespace that stays; idempotent."""
    before = sandbox.main_endpoints
    if endpoint in sandbox.endpoints:
        sandbox.endpoints.remove(endpoint)
    try:
        await republish_ports(context, member, sandbox, before)
    except PalanError as error:  # the endpoint is removed all the same
        context.log.warning(
            "ports are no longer published", container=member.id, reason=error.message
        )

    def disconnect() -> None:
        unplug(context.driver_of(endpoint), sandbox, endpoint)
        with contextlib.suppress(OSError):  # the container may just be ending
            move_default_routes(sandbox, before)

    try:
        await asyncio.to_thread(disconnect)
    finally:
        discard_endpoint(context.table.by_id(endpoint.network), member.id, endpoint)
        await context.leases.release(endpoint.id)
