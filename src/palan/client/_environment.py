"""The settings of the environment, contexts and ``config.json``, in the docker CLI's precedence.

The engine's address is the first of: the program's argument, ``DOCKER_HOST``,
``DOCKER_CONTEXT``, the current context of ``config.json``, the default socket.
"""

import os
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from palan.client._address import DEFAULT_HOST, Address, parse_address
from palan.client.errors import ConfigError


if TYPE_CHECKING:
    import ssl

    from palan.api.auth import AuthConfig
    from palan.client._credentials import Credentials

__all__ = ["Environment"]


class Environment:
    """The settings that come from outside of the program."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        """Use environment variables; files are read when they are needed.

        Args:
            variables: the process's environment, or a substitute.
        """
        self.variables = variables

    @cached_property
    def directory(self) -> str:
        """The directory where the docker CLI keeps ``config.json`` and contexts."""
        given = self.variables.get("DOCKER_CONFIG")
        return given or os.path.join(self._home, ".docker")  # noqa: PTH118

    @property
    def _home(self) -> str:
        return self.variables.get("HOME") or os.path.expanduser("~")  # noqa: PTH111

    @cached_property
    def config(self) -> dict[str, Any]:
        """The contents of ``config.json``; empty if the file does not exist.

        Raises:
            ConfigError: the file cannot be read.
        """
        # Without pathlib: importing it takes longer than everything else that a ping needs.
        path = os.path.join(self.directory, "config.json")  # noqa: PTH118
        try:
            with open(path, "rb") as file:  # noqa: PTH123
                text = file.read()
        except (FileNotFoundError, NotADirectoryError):
            return {}
        except OSError as error:
            raise ConfigError(f"{path} cannot be read: {error}") from None
        import json

        try:
            document = json.loads(text or b"{}")
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{path} cannot be read: {error}") from None
        if not isinstance(document, dict):
            raise ConfigError(f"{path} is no JSON object")
        return document

    # ---- the engine's address -------------------------------------------------------

    def address(
        self, host: str | None, context: str | None, tls: "ssl.SSLContext | None"
    ) -> Address:
        """Return the engine's address.

        Args:
            host: the address that the program gives, or None.
            context: the name of the context that the program gives, or None.
            tls: the TLS context of connections; None takes the environment's certificates.

        Raises:
            ConfigError: the context does not exist, or the address or a certificate is invalid.
        """
        if host is not None and context is not None:
            raise ConfigError("an engine has a host or a context, not both")
        if host is None:
            name = self.context_name(context)
            if name != "default":
                from palan.client._contexts import read_context

                return read_context(self.directory, name, tls)
            host = self.variables.get("DOCKER_HOST") or DEFAULT_HOST
        without_tls = host.startswith(("unix:", "/", "ssh:", "http:"))
        return parse_address(host, None if without_tls else tls or self._tls())

    def context_name(self, context: str | None = None) -> str:
        """Return the name of the context in use; ``default`` if no stored context is."""
        if context is not None:
            return context
        if self.variables.get("DOCKER_HOST"):
            return "default"
        current = self.variables.get("DOCKER_CONTEXT") or self.config.get("currentContext")
        return current if isinstance(current, str) and current else "default"

    def _tls(self) -> "ssl.SSLContext | None":
        verify = bool(self.variables.get("DOCKER_TLS_VERIFY"))
        if not verify and not self.variables.get("DOCKER_TLS"):
            return None
        from pathlib import Path

        from palan.client._tls import tls_context

        given = self.variables.get("DOCKER_CERT_PATH")
        directory = Path(given or self.directory)
        if verify and not (directory / "ca.pem").is_file():
            # As docker does: without a CA, all that the system trusts would be trusted.
            raise ConfigError(f"DOCKER_TLS_VERIFY: {directory / 'ca.pem'} does not exist")
        return tls_context(directory, verify=verify)

    def version(self) -> str:
        """Return the pinned version of the API; empty to negotiate."""
        return self.variables.get("DOCKER_API_VERSION", "")

    def headers(self) -> dict[str, str]:
        """Return the headers for every request, of the variable or else of ``config.json``.

        Raises:
            ConfigError: the variable is not of the form ``name=value,name=value``.
        """
        text = self.variables.get("DOCKER_CUSTOM_HEADERS", "")
        if not text:
            found = self.config.get("HttpHeaders")
            return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}
        import shlex

        lexer = shlex.shlex(text, posix=True)
        lexer.whitespace, lexer.whitespace_split, lexer.commenters = ",", True, ""
        headers = {}
        for pair in lexer:
            name, equals, value = pair.partition("=")
            if not equals or not name.strip():
                raise ConfigError(f"DOCKER_CUSTOM_HEADERS: {pair!r} is not name=value")
            headers[name.strip()] = value
        return headers

    # ---- credentials ----------------------------------------------------------------

    @cached_property
    def credentials(self) -> "Credentials":
        """The credentials of registries."""
        from palan.client._credentials import Credentials

        return Credentials(self.config, self.variables)

    def credentials_of_image(self, image: str) -> "AuthConfig | None":
        """Return the credentials for an image's registry, or None; may run a helper.

        As with the docker CLI, credentials that cannot be read are no error: the image may be
        public. A warning is logged.
        """
        from palan.client._credentials import registry_of

        try:
            return self.credentials.get(registry_of(image))
        except ConfigError as error:
            _warn(f"no credentials are sent for {image}: {error.message}")
            return None

    def all_credentials(self) -> "dict[str, AuthConfig]":
        """Return all credentials, by the keys of their registries; may run helpers.

        Those that cannot be read are left out, with a warning.
        """
        found = {}
        for registry in self.credentials.registries():
            try:
                known = self.credentials.get(registry)
            except ConfigError as error:
                _warn(f"no credentials are sent for {registry}: {error.message}")
            else:
                if known is not None:
                    found[registry] = known
        return found


def _warn(text: str) -> None:
    import logging

    logging.getLogger("palan.client").warning(text)
