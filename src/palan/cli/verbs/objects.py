"""``palan inspect``, ``cp``, ``info``, and the verbs of networks and volumes."""

import json
import re
import sys
from typing import Any

from palan.cli.verbs.listing import add_list_options, filters_of, label_columns, show
from palan.cli.verbs.table import short
from palan.cli.verbs.template import Template
from palan.cli.verbs.verb import Arguments, Parser, Refused, Verb, key_values
from palan.client import Client


__all__ = ["CP", "INFO", "INSPECT", "NETWORK_CONNECT", "NETWORK_CREATE", "NETWORK_DISCONNECT",
           "NETWORK_LS", "VOLUME_CREATE", "VOLUME_LS", "inspect_verb"]  # fmt: skip

_KINDS = {
    "container": "/containers/{}/json",
    "image": "/images/{}/json",
    "network": "/networks/{}",
    "volume": "/volumes/{}",
    "node": "/nodes/{}",
    "service": "/services/{}",
    "task": "/tasks/{}",
    "secret": "/secrets/{}",
    "config": "/configs/{}",
    "plugin": "/plugins/{}/json",
}


def inspect_verb(kind: str = "") -> Verb:
    """Return a verb that prints objects in full.

    Args:
        kind: one of the keys of ``_KINDS``; empty for objects of any kind.
    """

    def declare(parser: Parser) -> None:
        parser.add_argument("-f", "--format", default="", metavar="TEMPLATE")
        parser.add_argument(
            "-s", "--size", action="store_true", help="display total file sizes of a container"
        )
        if not kind:
            parser.add_argument("--type", default="")
        parser.add_argument("names", nargs="+", metavar=(kind or "object").upper())

    def act(client: Client, given: Arguments) -> int:
        wanted = kind or given.type
        _check_kind(wanted)
        found = []
        status = 0
        for name in given.names:
            document = _find(client, [wanted] if wanted else list(_KINDS), name, size=given.size)
            if document is None:
                where = "response from daemon" if wanted else ""
                no = f"No such {wanted or 'object'}: {name}"
                print(f"Error {where}: {no}" if where else f"Error: {no}", file=sys.stderr)
                status = 1
            else:
                found.append(document)
        if given.format and given.format != "json":
            template = Template(given.format)
            for document in found:
                print(template.render(document))
        elif given.format:
            for document in found:
                print(json.dumps(document, separators=(",", ":"), ensure_ascii=False))
        else:
            print(json.dumps(found, indent=4, ensure_ascii=False))
        return status

    return Verb(f"Display detailed information on one or more {kind or 'object'}s", declare, act)


def _check_kind(wanted: str) -> None:
    if wanted and wanted not in _KINDS:
        kinds = ", ".join(f'"{one}"' for one in sorted(_KINDS))
        raise Refused(f'unknown type: "{wanted}": must be one of {kinds}')


def _find(client: Client, kinds: list[str], name: str, *, size: bool) -> Any:
    """Return the engine's document of an object unchanged, with fields that Palan does not know."""
    from urllib.parse import quote

    for kind in kinds:
        path = _KINDS[kind].format(quote(name, safe="/:@"))
        query = {"size": True} if size and kind == "container" else None
        with client.request("GET", path, query=query, timeout=None) as response:
            if response.status == 200:
                return response.json()
            # An engine outside of a swarm answers 503 for the kinds of swarm objects.
            if response.status not in (404, 503, 501, 400, 406):
                response.raise_for_status()
    return None


def _declare_cp(parser: Parser) -> None:
    parser.add_argument("-a", "--archive", action="store_true", help="copy all uid/gid information")
    parser.add_argument("-q", "--quiet", action="store_true", help="suppress progress output")
    parser.add_argument("source", metavar="[CONTAINER:]SOURCE")
    parser.add_argument("target", metavar="[CONTAINER:]TARGET")


def _split_container(text: str) -> tuple[str, str]:
    """Split ``CONTAINER:PATH``; the container is empty where the text is a local path."""
    container, colon, path = text.partition(":")
    if not colon or "/" in container or container == ".":
        return "", text
    return container, path


def _cp(client: Client, given: Arguments) -> None:
    (source_container, source), (container, target) = (
        _split_container(given.source),
        _split_container(given.target),
    )
    if source_container and container:
        raise Refused("copying between containers is not supported")
    if source_container:
        if target == "-":
            client.containers.archive_get(source_container, source).save(sys.stdout.buffer)
        else:
            client.containers.copy_out(source_container, source, target, keep_owner=given.archive)
    elif container:
        if source == "-":
            client.containers.archive_put(
                container, target, sys.stdin.buffer, copy_uidgid=given.archive
            )
        else:
            client.containers.copy_in(container, source, target, keep_owner=given.archive)
    else:
        raise Refused("must specify at least one container source")


def _declare_info(parser: Parser) -> None:
    parser.add_argument("-f", "--format", default="", metavar="TEMPLATE")


def _info(client: Client, given: Arguments) -> None:
    with client.request("GET", "/info") as response:
        response.raise_for_status()
        document = response.json()
    if given.format == "json":
        print(json.dumps(document, separators=(",", ":")))
    elif given.format:
        print(Template(given.format).render(document))
    else:
        print(f"Engine: {client.address} (API {client.negotiate()})")
        for name, value in document.items():
            if isinstance(value, str | int | float) and value != "":
                print(f" {name}: {value}")
        for warning in document.get("Warnings") or ():
            print(f"WARNING: {warning}", file=sys.stderr)


_NETWORKS = {"ID": "NETWORK ID", "Name": "NAME", "Driver": "DRIVER", "Scope": "SCOPE",
             "Internal": "INTERNAL", "Labels": "LABELS", "IPv6": "IPV6",
             "CreatedAt": "CREATED AT"}  # fmt: skip
_VOLUMES = {"Driver": "DRIVER", "Name": "VOLUME NAME", "Mountpoint": "MOUNTPOINT",
            "Scope": "SCOPE", "Labels": "LABELS", "Links": "LINKS", "Size": "SIZE",
            "Status": "STATUS", "Availability": "AVAILABILITY", "Group": "GROUP"}  # fmt: skip


def _network_ls(client: Client, given: Arguments) -> None:
    rows = [
        {
            "ID": one.id if given.no_trunc else short(one.id), "Name": one.name,
            "Driver": one.driver, "Scope": one.scope, "Internal": str(one.internal).lower(),
            "IPv6": str(one.enable_ipv6).lower(), "CreatedAt": _go_time(one.created),
            **label_columns(one.labels),
        }
        for one in sorted(
            client.networks.list(filters=filters_of(given.filter)), key=lambda one: one.name
        )
    ]  # fmt: skip
    _list(rows, _NETWORKS, given, ("ID", "Name", "Driver", "Scope"), "ID")


def _volume_ls(client: Client, given: Arguments) -> None:
    rows = [
        {
            "Driver": one.driver, "Name": one.name, "Mountpoint": one.mountpoint,
            "Scope": one.scope, "Links": "N/A", "Size": "N/A", "Status": "N/A",
            "Availability": "N/A", "Group": "N/A", **label_columns(one.labels),
        }
        for one in sorted(
            client.volumes.list(filters=filters_of(given.filter)).volumes or (),
            key=lambda one: one.name,
        )
    ]  # fmt: skip
    _list(rows, _VOLUMES, given, ("Driver", "Name"), "Name")


def _go_time(text: str) -> str:
    """Return an RFC 3339 time in the form that Go prints times in."""
    return re.sub(r"T(.*)Z$", r" \1 +0000 UTC", text)


def _list(
    rows: list[dict[str, Any]],
    columns: dict[str, str],
    given: Arguments,
    shown: tuple[str, ...],
    name: str,
) -> None:
    if given.quiet:
        for row in rows:
            print(row[name])
    else:
        show(columns, rows, given.format, shown=shown)


def _declare_network_create(parser: Parser) -> None:
    parser.add_argument("-d", "--driver", default="bridge")
    parser.add_argument(
        "--internal", action="store_true", help="restrict external access to the network"
    )
    parser.add_argument("--ipv6", action="store_true", help="enable IPv6 address assignment")
    parser.add_argument("--attachable", action="store_true")
    for name, metavar in (("subnet", "CIDR"), ("gateway", "ADDRESS"), ("ip-range", "CIDR"),
                          ("label", "KEY=VALUE"), ("opt", "NAME=VALUE")):  # fmt: skip
        names = ["-o"] if name == "opt" else []
        parser.add_argument(*names, f"--{name}", action="append", default=[], metavar=metavar)
    parser.add_argument("name", metavar="NETWORK")


def _network_create(client: Client, given: Arguments) -> None:
    from palan.api.networks import IPAM, IPAMConfig

    if max(len(given.gateway), len(given.ip_range)) > len(given.subnet):
        raise Refused("every ip-range or gateway must have a corresponding subnet")
    pools = [
        IPAMConfig(
            subnet=subnet,
            gateway=given.gateway[place] if place < len(given.gateway) else "",
            ip_range=given.ip_range[place] if place < len(given.ip_range) else "",
        )
        for place, subnet in enumerate(given.subnet)
    ]
    options: dict[str, Any] = {"ipam": IPAM(driver="default", config=pools)} if pools else {}
    if given.ipv6:
        options["enable_ipv6"] = True
    made = client.networks.create(
        name=given.name, driver=given.driver, internal=given.internal,
        attachable=given.attachable, labels=key_values(given.label),
        options=key_values(given.opt), **options,
    )  # fmt: skip
    if made.warning:
        print(f"WARNING: {made.warning}", file=sys.stderr)
    print(made.id)


def _declare_connect(parser: Parser) -> None:
    parser.add_argument("--alias", action="append", default=[], metavar="NAME")
    parser.add_argument("--ip", default="", metavar="ADDRESS")
    parser.add_argument("--ip6", default="", metavar="ADDRESS")
    parser.add_argument("network", metavar="NETWORK")
    parser.add_argument("container", metavar="CONTAINER")


def _connect(client: Client, given: Arguments) -> None:
    from palan.api.containers import EndpointIPAMConfig, EndpointSettings

    settings = EndpointSettings(aliases=given.alias or None)
    if given.ip or given.ip6:
        settings.ipam_config = EndpointIPAMConfig(ipv4_address=given.ip, ipv6_address=given.ip6)
    client.networks.connect(given.network, container=given.container, endpoint_config=settings)


def _declare_disconnect(parser: Parser) -> None:
    parser.add_argument("-f", "--force", action="store_true")
    parser.add_argument("network", metavar="NETWORK")
    parser.add_argument("container", metavar="CONTAINER")


def _disconnect(client: Client, given: Arguments) -> None:
    client.networks.disconnect(given.network, container=given.container, force=given.force)


def _declare_volume_create(parser: Parser) -> None:
    parser.add_argument("-d", "--driver", default="local")
    parser.add_argument("--label", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("-o", "--opt", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--name", dest="named", default="", metavar="NAME")
    parser.add_argument("name", nargs="?", default="", metavar="VOLUME")


def _volume_create(client: Client, given: Arguments) -> None:
    if given.named and given.name:
        raise Refused(
            "conflicting options: cannot specify a volume-name through both --name and as a "
            "positional arg"
        )
    given.name = given.name or given.named
    made = client.volumes.create(
        name=given.name, driver=given.driver, labels=key_values(given.label),
        driver_opts=key_values(given.opt),
    )  # fmt: skip
    print(made.name)


INSPECT = inspect_verb()
CP = Verb("Copy files/folders between a container and the local filesystem", _declare_cp, _cp)
INFO = Verb("Display system-wide information", _declare_info, _info)
NETWORK_LS = Verb("List networks", add_list_options, _network_ls)
NETWORK_CREATE = Verb("Create a network", _declare_network_create, _network_create)
NETWORK_CONNECT = Verb("Connect a container to a network", _declare_connect, _connect)
NETWORK_DISCONNECT = Verb("Disconnect a container from a network", _declare_disconnect, _disconnect)
VOLUME_LS = Verb("List volumes", add_list_options, _volume_ls)
VOLUME_CREATE = Verb("Create a volume", _declare_volume_create, _volume_create)
