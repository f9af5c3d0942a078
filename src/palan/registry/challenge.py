"""``WWW-Authenticate``: how a server says what it wants to see (RFC 9110, section 11.6.1).

The header's grammar is ambiguous to a quick eye: commas separate challenges as well as
the parameters within one, and quoted values (``scope="repository:a:pull,push"``)
contain them too.  Reading never fails; what makes no sense is passed over, because a
challenge next to it may be one that can be met.
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
# Many servers leave the quotes of a realm out, though a URL is no token.
_BARE: Final = re.compile(r'[^\s,"]+')
# Base64 in place of parameters (Negotiate, NTLM); not confused with ``name=value``,
# because nothing but the end of the challenge may come after it.
_TOKEN68: Final = re.compile(r"[ \t]+[0-9A-Za-z._~+/-]+=*[ \t]*(?=,|$)")
_JUNK: Final = re.compile(r"[^,]*")


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to be let in.

    Attributes:
        scheme: ``basic``, ``bearer``, ...; in lower case.
        parameters: by name in lower case.
    """

    scheme: str
    parameters: Mapping[str, str] = field(default_factory=dict)


def parse_challenges(headers: Iterable[str]) -> list[Challenge]:
    """The challenges in the values of all ``WWW-Authenticate`` headers, in their order."""
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
    """Read a parameter's value; where it ends."""
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
