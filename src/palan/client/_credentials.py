"""Credentials of registries, where the docker CLI keeps them.

A registry of its own in ``credHelpers`` goes before ``credsStore``, and that before
``auths``. Helpers are programs, ``docker-credential-NAME``, which are asked on their stdin.
"""

import base64
import binascii
import json
import subprocess
from collections.abc import Mapping
from typing import Any, Final

from palan.api.system import AuthConfig
from palan.client.errors import ConfigError


__all__ = ["Credentials", "ask_helper", "registry_of"]

_HUB: Final = "https://index.docker.io/v1/"
"""The key of Docker Hub, for historical reasons."""

_PATIENCE: Final = 30
"""Seconds that a helper gets; some ask a person."""


def registry_of(image: str) -> str:
    """The key of the registry that an image's name begins with.

    The first part is a registry if it has a dot or a port or is ``localhost``.
    """
    first, slash, _ = image.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        return _HUB
    return _HUB if first in ("docker.io", "index.docker.io") else first


class Credentials:
    """What ``config.json`` knows about registries."""

    def __init__(self, config: Mapping[str, Any], variables: Mapping[str, str]) -> None:
        """Take what there is.

        Args:
            config: the contents of ``config.json``.
            variables: the environment: ``PATH`` for the helpers, and ``DOCKER_AUTH_CONFIG``,
                a document like ``config.json`` whose ``auths`` go before all.
        """
        self._config = config
        self._variables = variables

    def get(self, registry: str) -> AuthConfig | None:
        """Credentials for a registry, None if there are none.

        Args:
            registry: its key: a host, with a port perhaps, or the Hub's.

        Raises:
            ConfigError: a helper failed, or what is there cannot be read.
        """
        found = _in_auths(self._given(), registry)
        if found is not None:
            return found
        helper = _dictionary(self._config, "credHelpers").get(_plain(registry))
        helper = helper or _dictionary(self._config, "credHelpers").get(registry)
        helper = helper or self._config.get("credsStore")
        if helper:
            return self._ask(str(helper), registry)
        return _in_auths(_dictionary(self._config, "auths"), registry)

    def all(self) -> dict[str, AuthConfig]:
        """Credentials for every registry that there are some for, by their keys."""
        keys = {*_dictionary(self._config, "auths"), *_dictionary(self._config, "credHelpers")}
        keys |= set(self._given())
        found = {key: self.get(key) for key in sorted(keys)}
        return {key: value for key, value in found.items() if value is not None}

    def _given(self) -> Mapping[str, Any]:
        text = self._variables.get("DOCKER_AUTH_CONFIG", "")
        if not text:
            return {}
        try:
            document = json.loads(text)
        except ValueError as error:
            raise ConfigError(f"DOCKER_AUTH_CONFIG is no JSON: {error}") from None
        return _dictionary(document, "auths") if isinstance(document, dict) else {}

    def _ask(self, helper: str, registry: str) -> AuthConfig | None:
        answer = ask_helper(helper, "get", registry, self._variables)
        if answer is None:
            return None
        try:
            document = json.loads(answer)
            user, secret = str(document["Username"]), str(document["Secret"])
        except (ValueError, KeyError, TypeError):
            raise ConfigError(f"docker-credential-{helper} answered what cannot be read") from None
        if not user and not secret:
            return None
        if user == "<token>":
            return AuthConfig(identity_token=secret, server_address=registry)
        return AuthConfig(username=user, password=secret, server_address=registry)


def ask_helper(helper: str, verb: str, text: str, variables: Mapping[str, str]) -> bytes | None:
    """Ask a program that keeps credentials.

    Args:
        helper: its name, after ``docker-credential-``.
        verb: ``get``, ``store`` or ``erase``.
        text: what it reads.
        variables: its environment.

    Returns:
        What it writes; None if it knows nothing of that registry.

    Raises:
        ConfigError: it failed.
    """
    program = f"docker-credential-{helper}"
    try:
        answer = subprocess.run(
            [program, verb],
            check=False,
            input=text.encode(),
            capture_output=True,
            timeout=_PATIENCE,
            env=dict(variables),
        )
    except OSError as error:
        raise ConfigError(f"{program} cannot be started: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise ConfigError(f"{program} does not answer") from None
    if answer.returncode:
        words = (answer.stdout.strip() or answer.stderr.strip()).decode("utf-8", "replace")
        # What helpers say of a registry that they do not know.
        if "credentials not found" in words:
            return None
        raise ConfigError(f"{program} failed: {words}")
    return answer.stdout


def _dictionary(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = document.get(name)
    return found if isinstance(found, dict) else {}


def _plain(registry: str) -> str:
    """A key without scheme and path: older ones have them."""
    without = registry.removeprefix("https://").removeprefix("http://")
    return without.partition("/")[0]


def _in_auths(auths: Mapping[str, Any], registry: str) -> AuthConfig | None:
    entry = auths.get(registry)
    if entry is None:
        entry = next((auths[key] for key in auths if _plain(key) == _plain(registry)), None)
    if not isinstance(entry, dict):
        return None
    user, password = str(entry.get("username", "")), str(entry.get("password", ""))
    if entry.get("auth"):
        try:
            user, _, password = (
                base64.b64decode(entry["auth"], validate=True).decode().partition(":")
            )
        except (binascii.Error, ValueError, TypeError):
            raise ConfigError(f"the credentials of {registry} cannot be read") from None
    found = AuthConfig(
        username=user,
        password=password.rstrip("\x00"),
        identity_token=str(entry.get("identitytoken", "")),
        registry_token=str(entry.get("registrytoken", "")),
        server_address=registry,
    )
    known = found.username or found.password or found.identity_token or found.registry_token
    return found if known else None
