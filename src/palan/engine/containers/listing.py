"""``GET /containers/json``: summaries, filters, order."""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from palan.api import UNSET, Filters, Unset
from palan.api.containers import (
    ContainerSummary,
    ContainerSummaryHealth,
    ContainerSummaryHostConfig,
    ContainerSummaryNetworkSettings,
    PortSummary,
)
from palan.api.errors import InternalError, InvalidParameter, NotFound
from palan.api.images import OCIDescriptor
from palan.engine.containers.container import Container
from palan.engine.containers.context import ContainerContext
from palan.engine.containers.endpoints import endpoint_settings, exposed_now
from palan.engine.containers.health import HealthRecord, shown_status
from palan.engine.containers.links import link_names
from palan.engine.containers.status_text import status_text
from palan.patterns import compile_any


__all__ = ["select", "summaries"]

_NUMBER: Final = re.compile(r"[+-]?[0-9]{1,18}")
_MAX_PORT: Final = 65535

Test = Callable[[Container], bool]


def select(
    context: ContainerContext, filters: Filters, *, everything: bool, limit: int
) -> list[Container]:
    """Return the containers that a list shows, newest first.

    Args:
        context: the context of the room.
        filters: all must match.
        everything: include stopped ones; ``limit`` and the filter ``status`` imply it.
        limit: the largest number of containers, if positive.

    Raises:
        InvalidParameter: a filter or its value is unknown.
        NotFound: ``before`` or ``since`` name no container.
    """
    tests = list(_tests(context, filters))
    stopped_too = everything or limit > 0 or "status" in filters
    found: list[Container] = []
    newest_first = sorted(context.registry, key=lambda c: -c.record.created)
    for container in newest_first:
        if not (stopped_too or container.running or container.record.status == "restarting"):
            continue
        if all(test(container) for test in tests):
            found.append(container)
            if len(found) == limit:
                break
    return found


def _tests(context: ContainerContext, filters: Filters) -> Iterable[Test]:  # noqa: C901, PLR0912 - one plain step a filter
    if "status" in filters:
        yield lambda c: filters.exact("status", c.record.status)
    if "health" in filters:
        yield lambda c: filters.exact("health", c.health.status if c.health else "none")
    if "exited" in filters:
        codes = {_number("exited", text) for text in filters.get("exited")}
        yield lambda c: _has_exited(c) and c.record.exit_code in codes
    if "is-task" in filters:
        wanted = filters.boolean("is-task", default=False)
        yield lambda c: wanted is ("com.docker.swarm.task.id" in c.record.config.labels)
    if "label" in filters:
        yield lambda c: filters.labels(c.record.config.labels)
    if "id" in filters:
        ids = {found.id for text in filters.get("id") if (found := _by_prefix(context, text))}
        yield lambda c: c.id in ids
    if "name" in filters:
        is_named = compile_any(filters.get("name"))
        yield lambda c: is_named(c.name) or is_named(f"/{c.name}")
    for name, later in (("before", False), ("since", True)):
        if name in filters:
            yield _relative(context, filters.get(name), later=later)
    if "ancestor" in filters:
        images = context.images.descendants(filters.get("ancestor"))
        yield lambda c: c.record.image in images
    if "volume" in filters:
        volumes = set(filters.get("volume"))
        yield lambda c: any(
            m.destination in volumes or (m.volume or m.source) in volumes for m in c.record.mounts
        )
    if "network" in filters:
        networks = filters.get("network")
        yield lambda c: any(
            context.networks.is_listed(c.record.endpoints, wanted) for wanted in networks
        )
    if "publish" in filters or "expose" in filters:
        # As in dockerd, one of the two is enough; ``isolation`` has a meaning on Windows only.
        published, exposed = (
            {port for text in filters.get(name) for port in _ports(name, text)}
            for name in ("publish", "expose")
        )
        yield lambda c: any(
            (p.public_port, p.type) in published or (p.private_port, p.type) in exposed
            for p in _port_summaries(context, c)
        )


def _has_exited(container: Container) -> bool:
    record = container.record
    return record.finished > 0 and not container.running and record.status != "restarting"


def _by_prefix(context: ContainerContext, text: str) -> Container | None:
    """Return the container whose id begins so, if it is the only one."""
    found = [container for container in context.registry if container.id.startswith(text)]
    return found[0] if text and len(found) == 1 else None


def _number(name: str, text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise InvalidParameter(
            f"invalid filter '{name}={text}': strconv.Atoi: parsing \"{text}\": invalid syntax"
        )
    return int(text)


def _relative(context: ContainerContext, names: list[str], *, later: bool) -> Test:
    other = context.registry.get(names[-1]).record.created
    return lambda c: c.record.created > other if later else c.record.created < other


def _ports(name: str, text: str) -> Iterable[tuple[int, str]]:
    """Parse ``80``, ``80/udp`` or ``8000-8010/tcp``.

    Raises:
        InternalError: it is malformed; in dockerd's words, which answers a 500, too.
    """
    if ":" in text:
        raise InternalError(f"filter for '{name}' should not contain ':': {text}")
    before = f"error while looking up for {name} {text}: "
    if not text:
        raise InternalError(f"{before}invalid port range: value is empty")
    ports, _, protocol = text.partition("/")
    start, dash, end = ports.partition("-")
    first = _port(start, f"{before}invalid start port '{start}': ")
    last = _port(end, f"{before}invalid end port '{end}': ") if dash else first
    if last < first:
        raise InternalError(f"{before}invalid port range: {text}")
    return ((port, protocol.lower() or "tcp") for port in range(first, last + 1))


def _port(text: str, before: str) -> int:
    if not text:
        raise InternalError(f"{before}value is empty")
    if not (text.isascii() and text.isdigit()):
        raise InternalError(f"{before}invalid syntax")
    digits = text.lstrip("0")
    if len(digits) > len(str(_MAX_PORT)) or int(text) > _MAX_PORT:
        raise InternalError(f"{before}value out of range")
    return int(text)


def summaries(context: ContainerContext, containers: Iterable[Container]) -> list[ContainerSummary]:
    """Return the summaries of containers, as a list shows them."""
    images = _Images(context)
    links = link_names(context)
    return [_summary(context, container, images, links) for container in containers]


class _Images:
    """The names and descriptors of images, each looked up once for a list."""

    def __init__(self, context: ContainerContext) -> None:
        self._context = context
        self._ids: dict[str, str] = {}
        self._descriptors: dict[str, OCIDescriptor | Unset] = {}

    def name(self, container: Container) -> str:
        """Return the container's image by name, or by id once the name means another image."""
        name, image = container.record.config.image, container.record.image
        found = self._ids.get(name)
        if found is None:
            try:
                found = self._context.images.resolve(name).id
            except (NotFound, InvalidParameter):
                found = ""
            self._ids[name] = found
        return name if found == image else image

    def descriptor(self, image: str) -> OCIDescriptor | Unset:
        """Return the descriptor of the image's manifest, if that is stored."""
        if image not in self._descriptors:
            self._descriptors[image] = self._context.images.descriptor(image)
        return self._descriptors[image]


def _summary(
    context: ContainerContext, container: Container, images: _Images, links: Mapping[str, list[str]]
) -> ContainerSummary:
    record = container.record
    host = record.host_config
    return ContainerSummary(
        id=record.id,
        names=[f"/{record.name}", *links.get(record.id, ())],
        image=images.name(container),
        image_id=record.image,
        image_manifest_descriptor=images.descriptor(record.image),
        command=_command(record.path, record.args),
        created=record.created // 1_000_000_000,
        ports=_port_summaries(context, container),
        labels=record.config.labels,
        state=record.status,
        status=status_text(record, health=shown_status(container.health)),
        health=_health(container.health),
        host_config=ContainerSummaryHostConfig(
            network_mode=host.network_mode, annotations=host.annotations or UNSET
        ),
        network_settings=ContainerSummaryNetworkSettings(
            networks=endpoint_settings(context, record, brief=True)
        ),
        mounts=record.mount_points(),
    )


def _health(health: HealthRecord | None) -> ContainerSummaryHealth:
    if health is None:
        return ContainerSummaryHealth()
    return ContainerSummaryHealth(status=health.status, failing_streak=health.failing_streak)


def _command(path: str, args: list[str]) -> str:
    """Return the command line as Docker shows it: arguments with spaces in quotes."""
    return " ".join([path, *(f"'{a}'" if " " in a else a for a in args)])


def _port_summaries(context: ContainerContext, container: Container) -> list[PortSummary]:
    sandbox = container.record.sandbox
    published = sandbox.ports if sandbox else []
    ports = [
        PortSummary(
            ip=port.host_ip,
            private_port=port.container_port,
            public_port=port.host_port or UNSET,
            type=port.protocol,
        )
        for port in published
    ]
    taken = {(port.container_port, port.protocol) for port in published}
    if container.running:
        ports += [
            PortSummary(private_port=port.number, type=port.protocol)
            for port in exposed_now(context, container.record)
            if port not in taken
        ]
    return ports
