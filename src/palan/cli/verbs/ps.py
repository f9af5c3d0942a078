"""``palan ps``: the list of containers."""

import time
from typing import Any

from palan.cli.verbs.listing import add_list_options, filters_of, label_columns, show
from palan.cli.verbs.table import ago, short, size
from palan.cli.verbs.verb import Arguments, Parser, Verb
from palan.client import Client


__all__ = ["VERB"]

_COLUMNS = {
    "ID": "CONTAINER ID",
    "Image": "IMAGE",
    "Command": "COMMAND",
    "RunningFor": "CREATED",
    "CreatedAt": "CREATED AT",
    "Status": "STATUS",
    "State": "STATE",
    "Ports": "PORTS",
    "Names": "NAMES",
    "Size": "SIZE",
    "Labels": "LABELS",
    "LocalVolumes": "LOCAL VOLUMES",
    "Mounts": "MOUNTS",
    "Networks": "NETWORKS",
}
_SHOWN = ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names")

_UNPUBLISHED = -1_000_000
"""Stands for the distance between public and private port where no public port exists."""


def _declare(parser: Parser) -> None:
    parser.add_argument(
        "-a", "--all", action="store_true", help="show all containers (default shows just running)"
    )
    parser.add_argument(
        "-n", "--last", type=int, default=0, help="show n last created containers (all states)"
    )
    parser.add_argument(
        "-l", "--latest", action="store_true", help="show the latest created container (any state)"
    )
    parser.add_argument("-s", "--size", action="store_true", help="display total file sizes")
    add_list_options(parser)


def _act(client: Client, given: Arguments) -> None:
    limit = 1 if given.latest else given.last
    found = client.containers.list(
        all=given.all,
        limit=limit,
        size=given.size or any(one in given.format for one in (".Size", "json .")),
        filters=filters_of(given.filter),
    )
    rows = [_row(container, full=given.no_trunc) for container in found]
    if given.quiet:
        for row in rows:
            print(row["ID"])
        return
    show(_COLUMNS, rows, given.format, shown=(*_SHOWN, *(["Size"] if given.size else [])))


def _row(container: Any, *, full: bool) -> dict[str, Any]:
    command = (
        container.command if full or len(container.command) <= 20 else _shortened(container.command)
    )
    names = [name.removeprefix("/") for name in container.names]
    if not full:
        names = [name for name in names if "/" not in name] or names
    image = container.image
    written = container.size_rw or 0
    virtual = f" (virtual {size(container.size_root_fs)})" if container.size_root_fs else ""
    return {
        "ID": container.id if full else short(container.id),
        "Image": image if full or not image.startswith("sha256:") else short(image),
        "Command": f'"{command}"',
        "RunningFor": ago(container.created),
        "CreatedAt": time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(container.created)),
        "Status": container.status,
        "State": container.state,
        "Ports": _ports(container.ports),
        "Names": ",".join(names),
        "Size": size(written) + virtual,
        **label_columns(container.labels),
        "LocalVolumes": str(sum(mount.driver == "local" for mount in container.mounts)),
        "Mounts": ",".join(mount.name or mount.source for mount in container.mounts),
        "Networks": ",".join(sorted(container.network_settings.networks)),
    }


def _shortened(text: str) -> str:
    return f"{text[:19]}…"


def _ports(ports: Any) -> str:
    """Return ports with the addresses that publish them; neighbouring ports form ranges."""
    groups: dict[tuple[str, str, int], list[int]] = {}
    for port in ports:
        public = port.public_port or 0
        key = (port.ip if public else "", port.type, public - port.private_port if public else 0)
        groups.setdefault((*key[:2], key[2] if public else _UNPUBLISHED), []).append(
            port.private_port
        )
    texts = []
    for (address, kind, offset), numbers in sorted(groups.items()):
        for first, last in _ranges(sorted(set(numbers))):
            inside = str(first) if first == last else f"{first}-{last}"
            if offset == _UNPUBLISHED:
                texts.append(f"{inside}/{kind}")
                continue
            outside = str(first + offset) if first == last else f"{first + offset}-{last + offset}"
            host = f"[{address}]" if ":" in address else address
            texts.append(f"{host}:{outside}->{inside}/{kind}")
    return ", ".join(texts)


def _ranges(numbers: list[int]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for number in numbers:
        if found and found[-1][1] == number - 1:
            found[-1] = (found[-1][0], number)
        else:
            found.append((number, number))
    return found


VERB = Verb("List containers", _declare, _act)
