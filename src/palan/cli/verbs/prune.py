"""``palan ... prune`` and ``palan system df``: the use of disk space, and freeing it."""

import contextlib
import sys
from typing import Any, Final

from palan.api.system import SystemDataUsageResponse
from palan.api.version import Version
from palan.cli.verbs.listing import filters_of, show
from palan.cli.verbs.table import size
from palan.cli.verbs.verb import Arguments, Parser, Verb
from palan.client import Client
from palan.client.errors import NotFound, NotYetImplemented


__all__ = ["SYSTEM_DF", "SYSTEM_PRUNE", "prune_verb"]

_DESCRIPTIONS: Final = {
    "build": "build cache",
    "containers": "stopped containers",
    "images": "images",
    "networks": "networks not used by at least one container",
    "volumes": "volumes not used by at least one container",
}

_SUMMARIES: Final = {
    "build": "Remove build cache",
    "containers": "Remove all stopped containers",
    "images": "Remove unused images",
    "networks": "Remove all unused networks",
    "volumes": "Remove unused local volumes",
}


_ANONYMOUS_ONLY_SINCE: Final = Version(1, 42)
"""The version since which a prune spares named volumes, unless the filter ``all`` is given."""


def prune_verb(group: str, *, all_filter: str = "") -> Verb:
    """Return a verb that removes unused objects.

    Args:
        group: their kind, a key of ``_DESCRIPTIONS``.
        all_filter: the filter ``name=value`` that ``--all`` stands for; empty if no filter does.
    """

    def declare(parser: Parser) -> None:
        parser.add_argument(
            "-f", "--force", action="store_true", help="do not prompt for confirmation"
        )
        if all_filter or group == "build":
            parser.add_argument(
                "-a", "--all", action="store_true", help="remove all unused, not just unnamed ones"
            )
        parser.add_argument("--filter", action="append", default=[], metavar="NAME=VALUE")

    def act(client: Client, given: Arguments) -> int:
        if not given.force and not _confirmed([_DESCRIPTIONS[group]]):
            return 1
        filters: dict[str, Any] = filters_of(given.filter)
        if all_filter and given.all:
            name, _, value = all_filter.partition("=")
            filters[name] = [value]
        space = _prune(client, group, filters, whole=group == "build" and given.all)
        if group != "networks":
            print(f"Total reclaimed space: {size(space, digits=4)}")
        return 0

    return Verb(_SUMMARIES[group], declare, act)


def _confirmed(what: list[str]) -> bool:
    print("WARNING! This will remove:")
    for one in what:
        print(f"  - all {one}")
    print("\nAre you sure you want to continue? [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _prune(client: Client, group: str, filters: dict[str, Any], *, whole: bool = False) -> int:
    """Remove unused objects of a kind, print which, and return the bytes that were freed."""
    if group == "build":
        found: Any = client.build.prune(filters=filters, all=whole)
    else:
        if group == "volumes" and client.negotiate() < _ANONYMOUS_ONLY_SINCE:
            filters.setdefault("all", ["true"])
        found = getattr(client, group).prune(filters=filters)
    if group == "images":
        removed = [
            f"untagged: {one.untagged}" if one.untagged else f"deleted: {one.deleted}"
            for one in found.images_deleted or ()
        ]
    else:
        attribute = "caches_deleted" if group == "build" else f"{group}_deleted"
        removed = list(getattr(found, attribute) or ())
    if removed:
        title = "build cache objects" if group == "build" else group
        print(f"Deleted {title if group == 'build' else title.capitalize()}:")
        print("\n".join(removed), end="\n\n")
    return int(getattr(found, "space_reclaimed", 0))


def _declare_system_prune(parser: Parser) -> None:
    parser.add_argument(
        "-a", "--all", action="store_true", help="remove all unused images, not just dangling ones"
    )
    parser.add_argument("-f", "--force", action="store_true", help="do not prompt for confirmation")
    parser.add_argument("--volumes", action="store_true", help="prune anonymous volumes")
    parser.add_argument("--filter", action="append", default=[], metavar="NAME=VALUE")


def _system_prune(client: Client, given: Arguments) -> int:
    filters: dict[str, Any] = filters_of(given.filter)
    if given.volumes and "until" in filters:
        raise ValueError('the "until" filter is not supported with --volumes')
    groups = ["containers", "networks", *(["volumes"] if given.volumes else []), "images", "build"]
    descriptions = {
        **_DESCRIPTIONS,
        "volumes": "anonymous volumes not used by at least one container",
        "images": "images without at least one container" if given.all else "dangling images",
        "build": "build cache" if given.all else "unused build cache",
    }
    if not given.force and not _confirmed([descriptions[group] for group in groups]):
        return 1
    space = 0
    for group in groups:
        own = {name: values for name, values in filters.items() if name != "until"}
        if group == "volumes":
            space += _prune(client, group, own)
            continue
        wanted = dict(filters)
        if group == "images":
            wanted["dangling"] = ["false" if given.all else "true"]
        # Not every engine has a build cache.
        with contextlib.suppress(*((NotFound, NotYetImplemented) if group == "build" else ())):
            space += _prune(client, group, wanted, whole=given.all)
    print(f"Total reclaimed space: {size(space, digits=4)}")
    return 0


_COLUMNS: Final = {"Type": "TYPE", "TotalCount": "TOTAL", "Active": "ACTIVE", "Size": "SIZE",
                   "Reclaimable": "RECLAIMABLE"}  # fmt: skip


def _declare_df(parser: Parser) -> None:
    parser.add_argument("--format", default="", metavar="TEMPLATE")


def _df(client: Client, given: Arguments) -> None:
    usage: SystemDataUsageResponse = client.system.disk_usage()
    rows = []
    for title, found in (
        ("Images", usage.image_usage),
        ("Containers", usage.container_usage),
        ("Local Volumes", usage.volume_usage),
        ("Build Cache", usage.build_cache_usage),
    ):
        total = getattr(found, "total_size", 0)
        free = getattr(found, "reclaimable", 0)
        share = f" ({free * 100 // total}%)" if total and title != "Build Cache" else ""
        rows.append(
            {
                "Type": title,
                "TotalCount": str(getattr(found, "total_count", 0)),
                "Active": str(getattr(found, "active_count", 0)),
                "Size": size(total, digits=4),
                "Reclaimable": size(free, digits=4) + share,
            }
        )
    show(_COLUMNS, rows, given.format, shown=tuple(_COLUMNS))


SYSTEM_DF = Verb("Show disk usage", _declare_df, _df)
SYSTEM_PRUNE = Verb("Remove unused data", _declare_system_prune, _system_prune)
