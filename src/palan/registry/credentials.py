"""Who somebody says to be at a registry, kept out of every text that people get to see."""

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import quote_plus

from palan.api.errors import InvalidParameter
from palan.api.system import AuthConfig


__all__ = ["Credentials", "is_bearer_token"]

_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")


def is_bearer_token(text: str) -> bool:
    """Whether it may stand in a header as it is."""
    return _VISIBLE.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Credentials:
    """A name with a password, or a token in their place.

    Attributes:
        identity_token: what an earlier login gave; it buys bearer tokens.
        registry_token: a bearer token, to be sent as it is.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)
    registry_token: str = field(default="", repr=False)

    @classmethod
    def of(cls, auth: AuthConfig) -> Self:
        """The credentials in a message.

        Raises:
            InvalidParameter: they cannot be what they claim to be.
        """
        username, password = auth.username, auth.password
        if auth.auth and not username and not password:
            try:
                decoded = base64.b64decode(auth.auth, validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                raise InvalidParameter(
                    "invalid auth configuration: auth must be username:password in base64"
                ) from None
            username, _, password = decoded.partition(":")
        if auth.registry_token and not is_bearer_token(auth.registry_token):
            raise InvalidParameter("invalid auth configuration: registrytoken is no bearer token")
        return cls(username, password, auth.identity_token, auth.registry_token)

    @property
    def basic(self) -> str | None:
        """The value of ``Authorization`` for the scheme Basic; None without name or password."""
        if not self.username or not self.password:
            return None
        return f"Basic {self._pair()}"

    def redact(self, text: str) -> str:
        """What a server said, without what it may have been told in confidence."""
        secrets = {self.password, self.identity_token, self.registry_token, self._pair()}
        secrets |= {quote_plus(secret) for secret in secrets}
        for secret in sorted(secrets - {""}, key=len, reverse=True):
            text = text.replace(secret, "xxxxx")
        return text

    def _pair(self) -> str:
        return base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
