"""``palan context``: named engines, in the same store as the docker CLI's."""

import json
import sys
from typing import Any

from palan.cli.verbs.listing import show
from palan.cli.verbs.template import Template
from palan.cli.verbs.verb import Arguments, LocalVerb, Parser
from palan.client._address import DEFAULT_HOST, parse_address
from palan.client._config_file import change_config
from palan.client._context_store import ContextStore
from palan.client._environment import Environment
from palan.client.errors import ConfigError


__all__ = ["CREATE", "INSPECT", "LS", "RM", "SHOW", "UPDATE", "USE"]

_COLUMNS = {"Name": "NAME", "Description": "DESCRIPTION", "DockerEndpoint": "DOCKER ENDPOINT",
            "Error": "ERROR", "Current": "CURRENT"}  # fmt: skip
_DOCKER_OPTIONS = ("host", "ca", "cert", "key", "skip-tls-verify")


def _store(environment: Environment) -> ContextStore:
    return ContextStore(environment.directory)


def _default(environment: Environment) -> dict[str, Any]:
    """Return the context ``default``, which is not stored but follows from the environment."""
    host = environment.variables.get("DOCKER_HOST") or DEFAULT_HOST
    return {
        "Name": "default",
        "Metadata": {},
        "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": False}},
        "TLSMaterial": {},
        "Storage": {"MetadataPath": "<IN MEMORY>", "TLSPath": "<IN MEMORY>"},
    }


def _get(environment: Environment, name: str) -> dict[str, Any]:
    return _default(environment) if name == "default" else _store(environment).get(name)


def _declare_ls(parser: Parser) -> None:
    parser.add_argument("-q", "--quiet", action="store_true", help="show names only")
    parser.add_argument("--format", metavar="TEMPLATE", default="")


def _ls(environment: Environment, given: Arguments) -> int:
    current = environment.context_name()
    found = [_default(environment), *_store(environment).all()]
    found.sort(key=lambda one: str(one["Name"]))
    marked = given.format in ("", "table")
    rows = []
    for one in found:
        name, here = str(one["Name"]), one["Name"] == current
        description = str((one.get("Metadata") or {}).get("Description") or "")
        if name == "default":
            description = "Current DOCKER_HOST based configuration"
        endpoint = (one.get("Endpoints") or {}).get("docker") or {}
        rows.append(
            {
                "Name": f"{name} *" if here and marked else name,
                "Description": description,
                "DockerEndpoint": str(endpoint.get("Host", "")),
                "Error": "" if endpoint.get("Host") else "no docker endpoint",
                "Current": "true" if here else "false",
            }
        )
    if given.quiet:
        for one in found:
            print(one["Name"])
        return 0
    show(_COLUMNS, rows, given.format, shown=("Name", "Description", "DockerEndpoint", "Error"))
    if current not in {one["Name"] for one in found}:
        print(f'palan context ls: context "{current}" not found', file=sys.stderr)
    return 0


def _declare_nothing(_parser: Parser) -> None:
    return


def _show(environment: Environment, _given: Arguments) -> int:
    print(environment.context_name())
    return 0


def _declare_use(parser: Parser) -> None:
    parser.add_argument("name", metavar="CONTEXT")


def _use(environment: Environment, given: Arguments) -> int:
    _get(environment, given.name)

    def change(document: dict[str, Any]) -> None:
        document.pop("currentContext", None)
        if given.name != "default":
            document["currentContext"] = given.name

    change_config(environment, change)
    print(given.name)
    print(f'Current context is now "{given.name}"', file=sys.stderr)
    for variable in ("DOCKER_HOST", "DOCKER_CONTEXT"):
        if environment.variables.get(variable):
            print(
                f"Warning: {variable} environment variable overrides the active context. "
                f'To use "{given.name}", either set the global --context flag, or unset '
                f"{variable} environment variable.",
                file=sys.stderr,
            )
            break
    return 0


def _declare_create(parser: Parser) -> None:
    parser.add_argument("--description", default=None, metavar="TEXT")
    parser.add_argument(
        "--docker", default="", metavar="host=ADDRESS,ca=FILE,cert=FILE,key=FILE",
        help="the engine's address and certificates",
    )  # fmt: skip
    parser.add_argument("--from", dest="base", default="", metavar="CONTEXT")
    parser.add_argument("name", metavar="CONTEXT")


def _create(environment: Environment, given: Arguments) -> int:
    options = _options(given.docker)
    base = options.pop("from", "") or given.base or ("" if options else environment.context_name())
    _write(environment, given, base, options, replace=False)
    print(given.name)
    print(f'Successfully created context "{given.name}"', file=sys.stderr)
    return 0


def _declare_update(parser: Parser) -> None:
    _declare_create(parser)


def _update(environment: Environment, given: Arguments) -> int:
    _store(environment).get(given.name)
    _write(environment, given, given.base or given.name, _options(given.docker), replace=True)
    print(given.name)
    print(f'Successfully updated context "{given.name}"', file=sys.stderr)
    return 0


def _write(
    environment: Environment,
    given: Arguments,
    base: str,
    options: dict[str, str],
    *,
    replace: bool,
) -> None:
    known = _get(environment, base) if base else {}
    endpoint = (known.get("Endpoints") or {}).get("docker") or {}
    host = options.pop("host", "") or str(endpoint.get("Host", ""))
    if not host:
        raise ConfigError("docker endpoint configuration is required: --docker host=ADDRESS")
    parse_address(host)
    skip = options.pop("skip-tls-verify", str(endpoint.get("SkipTLSVerify", False)))
    certificates = options
    if not certificates and "docker" in (known.get("TLSMaterial") or {}) and base != given.name:
        directory = f"{known['Storage']['TLSPath']}/docker"
        certificates = {
            file.partition(".")[0]: f"{directory}/{file}" for file in known["TLSMaterial"]["docker"]
        }
    description = given.description
    if description is None:
        description = str((known.get("Metadata") or {}).get("Description") or "")
    _store(environment).create(
        given.name, host, description=description, certificates=certificates,
        skip_verify=skip.lower() in ("1", "t", "true"), replace=replace,
    )  # fmt: skip


def _options(text: str) -> dict[str, str]:
    """Parse ``host=...,ca=...`` into a dictionary.

    Raises:
        ValueError: a part is not of the form ``name=value``, or its name is unknown.
    """
    made = {}
    for part in filter(None, text.split(",")):
        name, equals, value = part.partition("=")
        if not equals or name not in (*_DOCKER_OPTIONS, "from"):
            raise ValueError(f"--docker: {part!r} is not one of {', '.join(_DOCKER_OPTIONS)}")
        made[name] = value
    return made


def _declare_inspect(parser: Parser) -> None:
    parser.add_argument("-f", "--format", default="", metavar="TEMPLATE")
    parser.add_argument("names", nargs="*", metavar="CONTEXT")


def _inspect(environment: Environment, given: Arguments) -> int:
    found = [_get(environment, name) for name in given.names or [environment.context_name()]]
    if given.format == "json":
        print(json.dumps(found, separators=(",", ":")))
    elif given.format:
        template = Template(given.format)
        for one in found:
            print(template.render(one))
    else:
        print(json.dumps(found, indent=4, ensure_ascii=False))
    return 0


def _declare_rm(parser: Parser) -> None:
    parser.add_argument(
        "-f", "--force", action="store_true", help="force the removal of a context in use"
    )
    parser.add_argument("names", nargs="+", metavar="CONTEXT")


def _rm(environment: Environment, given: Arguments) -> int:
    status = 0
    for name in given.names:
        try:
            _remove(environment, name, force=given.force)
        except ConfigError as error:
            print(error.message, file=sys.stderr)
            status = 1
        else:
            print(name)
    return status


def _remove(environment: Environment, name: str, *, force: bool) -> None:
    if name == "default":
        raise ConfigError('context "default" cannot be removed')
    in_use = environment.config.get("currentContext") == name
    if in_use and not force:
        raise ConfigError(f'context "{name}" is in use, set -f flag to force remove')
    _store(environment).remove(name)
    if in_use:
        change_config(environment, lambda document: document.pop("currentContext", None))


LS = LocalVerb("List contexts", _declare_ls, _ls)
SHOW = LocalVerb("Print the name of the current context", _declare_nothing, _show)
USE = LocalVerb("Set the current docker context", _declare_use, _use)
CREATE = LocalVerb("Create a context", _declare_create, _create)
UPDATE = LocalVerb("Update a context", _declare_update, _update)
INSPECT = LocalVerb(
    "Display detailed information on one or more contexts", _declare_inspect, _inspect
)
RM = LocalVerb("Remove one or more contexts", _declare_rm, _rm)
