"""Parser for ``WWW-Authenticate``: the authentication a server accepts (RFC 9110, 11.6.1).

The grammar is ambiguous at first sight: commas separate challenges as well as the parameters
of one, and quoted values (``scope="repository:a:pull,push"``) contain commas too. The parser
never fails; it skips malformed parts, because another challenge may be usable.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final


__all__ = ["Challenge", "parse_challenges"]

_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # noqa: S105 - a grammar rule, no password
_NAME: Final = re.compile(_TOKEN)
_SEPARATORS: Final = re.compile(r"[\s,]*")
_EQUALS: Final = re.compile(r"[ \t]*=[ \t]*")
_QUOTED: Final = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
# Many servers omit the quotes of a realm, although a URL is not a token.
_BARE: Final = re.compile(r'[^\s,"]+')
# Base64 in place of parameters (Negotiate, NTLM). Not confused with ``name=value``, because
# only the end of the challenge may follow it.
_TOKEN68: Final = re.compile(r"[ \t]+[0-9A-Za-z._~+/-]+=*[ \t]*(?=,|$)")
_JUNK: Final = re.compile(r"[^,]*")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One authentication scheme that the server accepts.

    Attributes:
        scheme: ``basic``, ``bearer``, ...; in lower case.
        parameters: parameters with their names in lower case.
    """

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """Parse the values of all ``WWW-Authenticate`` headers, in their order."""
    return [challenge for value in headers for challenge in _parse(value)]


def _parse(text: str) -> list[Challenge]:
    found: list[Challenge] = []
    parameters: dict[str, str] = {}
    at = _end(_SEPARATORS, text, 0)
    while at < len(text):
        name = _NAME.match(text, at)
        if name is None:
            at = _end(_JUNK, text, at)
        elif equals := _EQUALS.match(text, name.end()):
            at = _value(text, equals.end(), name[0].lower(), parameters if found else {})
        else:
            parameters = {}
            found.append(Challenge(name[0].lower(), parameters))
            at = _end(_TOKEN68, text, name.end())
        at = _end(_SEPARATORS, text, at)
    return found


def _value(text: str, at: int, name: str, into: dict[str, str]) -> int:
    """Read the value of a parameter into ``into`` and return the position after it."""
    if quoted := _QUOTED.match(text, at):
        into[name] = re.sub(r"\\(.)", r"\1", quoted[1], flags=re.DOTALL)
        return quoted.end()
    if bare := _BARE.match(text, at):
        into[name] = bare[0]
        return bare.end()
    return _end(_JUNK, text, at)


def _end(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at
