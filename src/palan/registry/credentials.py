"""Credentials for a registry, kept out of logs and messages."""

import base64
import re
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import quote_plus

from palan.api.auth import AuthConfig
from palan.api.errors import InvalidParameter


__all__ = ["Credentials", "is_bearer_token"]

_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")


def is_bearer_token(text: str) -> bool:
    """Whether the text may be sent in a header without encoding."""
    return _VISIBLE.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name with a password, or a token in their place.

    Attributes:
        identity_token: a refresh token from an earlier login; exchanged for bearer tokens.
        registry_token: a bearer token, sent unchanged.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)

    @classmethod
    def of(cls, auth: AuthConfig) -> Self:
        """Take the credentials from a message.

        Raises:
            InvalidParameter: they are malformed.
        """
        username, password = auth.username, auth.password
        if auth.auth and not username and not password:
            try:
                decoded = base64.b64decode(auth.auth, validate=True).decode()
            except ValueError:
                raise InvalidParameter(
                    "invalid auth configuration: auth must be username:password in base64"
                ) from None
            username, _, password = decoded.partition(":")
        if auth.registry_token and not is_bearer_token(auth.registry_token):
            raise InvalidParameter("invalid auth configuration: registrytoken is no bearer token")
        return cls(username, password, auth.identity_token, auth.registry_token)

    @property
    def basic(self) -> str | None:
        """The ``Authorization`` header for Basic; None without a user name or password."""
        if not self.username or not self.password:
            return None
        return f"Basic {self._pair()}"

    def redact(self, text: str) -> str:
        """Replace secrets that a server repeats in its message."""
        secrets = {self.password, self.identity_token, self.registry_token, self._pair()}
        secrets |= {quote_plus(secret) for secret in secrets}
        for secret in sorted(secrets - {""}, key=len, reverse=True):
            text = text.replace(secret, "xxxxx")
        return text

    def _pair(self) -> str:
        return base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
