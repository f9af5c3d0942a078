"""``palan version``: the versions of Palan and of the engine."""

import json
import platform
import sys
from typing import Any

from palan import __version__
from palan.api.version import MAX_VERSION, MIN_VERSION
from palan.cli.verbs.template import Template
from palan.cli.verbs.verb import Arguments, Parser, Verb
from palan.client import Client
from palan.client.errors import ConnectFailed


__all__ = ["VERSION"]


def _declare(parser: Parser) -> None:
    parser.add_argument("-f", "--format", default="", metavar="TEMPLATE")


def _version(client: Client, given: Arguments) -> int:
    document: dict[str, Any] = {
        "Client": {
            "Version": __version__,
            "ApiVersion": str(MAX_VERSION),
            "MinAPIVersion": str(MIN_VERSION),
            "Python": platform.python_version(),
            "Os": platform.system().lower(),
            "KernelVersion": platform.release(),
        },
        "Server": None,
    }
    failure: ConnectFailed | None = None
    try:
        with client.request("GET", "/version") as response:
            response.raise_for_status()
            document["Server"] = response.json()
    except ConnectFailed as error:
        failure = error
        # The client's part needs no engine; a template that uses .Server does.
        if ".Server" in given.format:
            raise
    if given.format == "json":
        print(json.dumps(document, separators=(",", ":")))
    elif given.format:
        print(Template(given.format).render(document))
    else:
        _print_versions(client, document)
    if failure is not None:
        # As with docker, after the client's part.
        print(
            f"Cannot connect to the Docker daemon at {client.address}. "
            "Is the docker daemon running?",
            file=sys.stderr,
        )
        return 1
    return 0


def _print_versions(client: Client, document: dict[str, Any]) -> None:
    local, server = document["Client"], document["Server"]
    for name, value in (
        ("Palan", local["Version"]),
        ("API", f"{local['MinAPIVersion']} to {local['ApiVersion']}"),
        ("Python", local["Python"]),
        ("Kernel", local["KernelVersion"]),
    ):
        print(f"{name + ':':<8}{value}")
    if server is None:
        print(f"Engine: no engine at {client.address}")
        return
    print(f"Engine: {client.address}")
    print(f" API: {server.get('MinAPIVersion') or '?'} to {server.get('ApiVersion') or '?'}")
    for part in server.get("Components") or [{"Name": "Engine", **server}]:
        print(f" {part.get('Name')}: {part.get('Version')}")


VERSION = Verb("Show the version information of Palan and the engine", _declare, _version)
