"""Credentials of registries, read where the docker CLI keeps them.

A registry's own helper in ``credHelpers`` takes precedence over ``credsStore``, and that over
``auths``. Helpers are programs ``docker-credential-NAME``, which read the question from stdin.
"""

import base64
import binascii
import contextlib
import json
import subprocess
from collections.abc import Mapping
from typing import Any, Final

from palan.api.auth import AuthConfig
from palan.client.errors import ConfigError


__all__ = ["Credentials", "ask_helper", "registry_of"]

_HUB: Final = "https://index.docker.io/v1/"
"""The key of Docker Hub, for historical reasons."""

_HELPER_SECONDS: Final = 30
"""The time limit of a helper; some ask a person."""


def registry_of(image: str) -> str:
    """Return the key of the registry that an image's name begins with.

    The first part is a registry if it has a dot or a port or is ``localhost``.
    """
    first, slash, _ = image.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        return _HUB
    return _HUB if first in ("docker.io", "index.docker.io") else first


class Credentials:
    """The credentials in ``config.json``, in helpers, and in the environment."""

    def __init__(self, config: Mapping[str, Any], variables: Mapping[str, str]) -> None:
        """Look credentials up in a configuration.

        Args:
            config: the contents of ``config.json``.
            variables: the environment: ``PATH`` for the helpers, and ``DOCKER_AUTH_CONFIG``,
                a document like ``config.json``; its ``auths`` take precedence.
        """
        self._config = config
        self._variables = variables

    def get(self, registry: str) -> AuthConfig | None:
        """Return the credentials for a registry, or None.

        Args:
            registry: the registry's key: ``host[:port]``, or Docker Hub's key.

        Raises:
            ConfigError: a helper failed, or an entry is malformed.
        """
        found = _in_auths(self._auths_of_environment(), registry)
        if found is not None:
            return found
        helper = _dictionary(self._config, "credHelpers").get(_without_scheme(registry))
        helper = helper or _dictionary(self._config, "credHelpers").get(registry)
        helper = helper or self._config.get("credsStore")
        if helper:
            return self._ask_helper(str(helper), registry)
        return _in_auths(_dictionary(self._config, "auths"), registry)

    def registries(self) -> list[str]:
        """Return the keys of the registries that credentials may be known for."""
        keys = {*_dictionary(self._config, "auths"), *_dictionary(self._config, "credHelpers")}
        with contextlib.suppress(ConfigError):
            keys |= set(self._auths_of_environment())
        return sorted(keys)

    def _auths_of_environment(self) -> Mapping[str, Any]:
        text = self._variables.get("DOCKER_AUTH_CONFIG", "")
        if not text:
            return {}
        try:
            document = json.loads(text)
        except ValueError as error:
            raise ConfigError(f"DOCKER_AUTH_CONFIG is no JSON: {error}") from None
        return _dictionary(document, "auths") if isinstance(document, dict) else {}

    def _ask_helper(self, helper: str, registry: str) -> AuthConfig | None:
        answer = ask_helper(helper, "get", registry, self._variables)
        if answer is None:
            return None
        try:
            document = json.loads(answer)
            user, secret = str(document["Username"]), str(document["Secret"])
        except (ValueError, KeyError, TypeError):
            raise ConfigError(f"docker-credential-{helper} gave a malformed answer") from None
        if not user and not secret:
            return None
        if user == "<token>":
            return AuthConfig(identity_token=secret, server_address=registry)
        return AuthConfig(username=user, password=secret, server_address=registry)


def ask_helper(helper: str, verb: str, text: str, variables: Mapping[str, str]) -> bytes | None:
    """Run a credential helper.

    Args:
        helper: its name, without ``docker-credential-``.
        verb: ``get``, ``store`` or ``erase``.
        text: its standard input.
        variables: its environment.

    Returns:
        Its output; None if it has no credentials for that registry.

    Raises:
        ConfigError: the helper failed.
    """
    program = f"docker-credential-{helper}"
    try:
        answer = subprocess.run(
            [program, verb],
            check=False,
            input=text.encode(),
            capture_output=True,
            timeout=_HELPER_SECONDS,
            env=dict(variables),
        )
    except OSError as error:
        raise ConfigError(f"{program} cannot be started: {error.strerror}") from None
    except subprocess.TimeoutExpired:
        raise ConfigError(f"{program} does not answer") from None
    if answer.returncode:
        message = (answer.stdout.strip() or answer.stderr.strip()).decode("utf-8", "replace")
        # The message of helpers for a registry that they do not know.
        if "credentials not found" in message:
            return None
        raise ConfigError(f"{program} failed: {message}")
    return answer.stdout


def _dictionary(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = document.get(name)
    return found if isinstance(found, dict) else {}


def _without_scheme(registry: str) -> str:
    """Return a key without scheme and path, which older keys have."""
    return registry.removeprefix("https://").removeprefix("http://").partition("/")[0]


def _in_auths(auths: Mapping[str, Any], registry: str) -> AuthConfig | None:
    entry = auths.get(registry)
    if entry is None:
        entry = next(
            (auths[key] for key in auths if _without_scheme(key) == _without_scheme(registry)), None
        )
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
