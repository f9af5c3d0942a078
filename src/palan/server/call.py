"""One call of an endpoint, as the functions that answer it see it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from palan.api.codec import encode
from palan.api.endpoint import Endpoint
from palan.api.version import Version
from palan.server.exchange import Exchange


__all__ = ["Call"]


@dataclass(slots=True)
class Call:
    """One call of an endpoint, with what is needed to answer it."""

    exchange: Exchange
    endpoint: Endpoint
    version: Version
    headers: dict[str, str]
    """Headers that every answer of the API carries."""

    notices: list[str] = field(default_factory=list)
    """Remarks about the request, which become warnings in the answer."""

    def header_lines(self, more: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
        """Return the headers and ``more``, sorted as Go sorts them."""
        return sorted({**self.headers, **(more or {})}.items())

    def encode(self, value: Any) -> bytes:
        """Encode a value as JSON of the client's API version."""
        return encode(self.endpoint, value, self.version, self.notices)
