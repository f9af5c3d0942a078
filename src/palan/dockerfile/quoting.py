"""Quoting as Go's ``%q`` does it."""

from typing import Final


__all__ = ["go_quoted"]

_QUOTED: Final = {
    '"': '\\"',
    "\\": "\\\\",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}


def go_quoted(text: str) -> str:
    """Put a text in double quotes and escape unprintable characters."""
    return '"' + "".join(_QUOTED.get(c) or _printable(c) for c in text) + '"'


def _printable(character: str) -> str:
    code = ord(character)
    if character.isprintable():
        return character
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
