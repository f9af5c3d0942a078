"""Credentials for registries, as a body and in the headers of requests."""

from typing import Annotated

from msgspec import field

from palan.api._base import Message
from palan.api.annotations import Header


__all__ = ["AuthConfig", "RegistryAuth", "RegistryConfig"]


class AuthConfig(Message, rename="lower", omit_defaults=True):
    """Credentials for a registry."""

    username: str = ""
    password: str = ""
    auth: str = ""
    """``username:password`` in base64, instead of those two."""

    server_address: str = field(name="serveraddress", default="")
    identity_token: str = field(name="identitytoken", default="")
    """The token that an earlier login returned, instead of a password."""

    registry_token: str = field(name="registrytoken", default="")
    """A bearer token, sent to the registry unchanged."""

    def __repr__(self) -> str:
        # Secrets must not get into logs and tracebacks.
        return f"AuthConfig(username={self.username!r}, server_address={self.server_address!r})"


RegistryAuth = Annotated[
    AuthConfig | None, Header("X-Registry-Auth", "Credentials for the registry.")
]
"""The field for credentials; None if the header is missing or cannot be decoded."""

RegistryConfig = Annotated[
    dict[str, AuthConfig], Header("X-Registry-Config", "Credentials by registry address.")
]
"""The field for the credentials of several registries."""
