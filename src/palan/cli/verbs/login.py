"""``palan login`` and ``palan logout``: credentials of registries, kept where docker keeps them."""

import getpass
import os
import sys

from palan.cli.verbs.verb import Arguments, Failed, LocalVerb, Parser, Verb
from palan.client import Client
from palan.client._config_file import erase_credentials, store_credentials
from palan.client._credentials import registry_of
from palan.client._environment import Environment
from palan.client.errors import ClientError


__all__ = ["LOGIN", "LOGOUT"]


def _declare_login(parser: Parser) -> None:
    parser.add_argument("-u", "--username", default="", metavar="NAME")
    parser.add_argument("-p", "--password", default="", metavar="PASSWORD")
    parser.add_argument("--password-stdin", action="store_true", help="read it from stdin")
    parser.add_argument("server", nargs="?", default="", metavar="REGISTRY")


def _login(client: Client, given: Arguments) -> int:
    user, password = _get_credentials(client, given)
    registry = _registry_key(given.server)
    try:
        answer = client.system.auth(username=user, password=password, server_address=registry)
    except ClientError as error:
        print(f"Error response from daemon: {error.message}", file=sys.stderr)
        return 1
    token = answer.identity_token
    path = store_credentials(
        client.environment, registry, user, token or password, is_token=bool(token)
    )
    if path is not None:
        print(f"WARNING! Your credentials are stored unencrypted in '{path}'.", file=sys.stderr)
    print(answer.status or "Login Succeeded")
    return 0


def _get_credentials(client: Client, given: Arguments) -> tuple[str, str]:
    """Return a name and a password, from the options, stdin, the stored credentials or a prompt."""
    if given.password_stdin:
        if given.password:
            raise _failed("--password and --password-stdin are mutually exclusive")
        if not given.username:
            raise _failed("Must provide --username with --password-stdin")
        return given.username, sys.stdin.read().rstrip("\r\n")
    if given.password:
        print(
            "WARNING! Using --password via the CLI is insecure. Use --password-stdin.",
            file=sys.stderr,
        )
    known = None
    if not given.username and not given.password:
        known = client.environment.credentials.get(_registry_key(given.server))
        if known is not None and known.username and known.password:
            return known.username, known.password
    if given.username and given.password:
        return given.username, given.password
    if not os.isatty(0):
        raise _failed("Cannot perform an interactive login from a non TTY device")
    user = given.username or input("Username: ").strip()
    password = given.password or getpass.getpass("Password: ")
    if not user or not password:
        raise _failed("a user name and a password are required")
    return user, password


def _failed(message: str) -> Failed:
    print(f"Error: {message}", file=sys.stderr)
    return Failed(1)


def _registry_key(server: str) -> str:
    """Return the key of a registry in ``config.json``."""
    plain = server.removeprefix("https://").removeprefix("http://").partition("/")[0]
    return registry_of(f"{plain}/x") if plain in ("", "docker.io", "index.docker.io") else plain


def _declare_logout(parser: Parser) -> None:
    parser.add_argument("server", nargs="?", default="", metavar="REGISTRY")


def _logout(environment: Environment, given: Arguments) -> int:
    registry = _registry_key(given.server)
    print(f"Removing login credentials for {registry}")
    found = False
    for key in (registry, f"https://{registry}", f"http://{registry}"):
        found |= erase_credentials(environment, key)
    if not found:
        print(f"Not logged in to {registry}")
    return 0


LOGIN: Verb = Verb("Authenticate to a registry", _declare_login, _login)
LOGOUT = LocalVerb("Log out from a registry", _declare_logout, _logout)
