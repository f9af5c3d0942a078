r"""The keys with which a client lets go of a container: parsing them, and noticing them.

They are written as a comma-separated list of single characters and ``ctrl-x``, where x
is a letter or one of ``@ [ \ ] ^ _``, or ``DEL``.  No I/O here.
"""

from typing import Final

from palan.api.errors import InvalidParameter


__all__ = ["DEFAULT_KEYS", "DetachKeys", "parse_keys"]

DEFAULT_KEYS: Final = b"\x10\x11"
"""``ctrl-p,ctrl-q``"""

_NAMES: Final = {
    **{f"ctrl-{chr(code + 0x60)}": code for code in range(1, 27)},
    "ctrl-@": 0,
    "ctrl-[": 27,
    "ctrl-\\": 28,
    "ctrl-]": 29,
    "ctrl-^": 30,
    "ctrl-_": 31,
    "DEL": 127,
}


def parse_keys(text: str, *, what: str = "detach keys") -> bytes:
    """The bytes that the keys send; the default ones for an empty text.

    Raises:
        InvalidParameter: with dockerd's words, which differ in ``what``.
    """
    if not text:
        return DEFAULT_KEYS
    keys = bytearray()
    for name in text.split(","):
        if name in _NAMES:
            keys.append(_NAMES[name])
        elif len(encoded := name.encode()) == 1:
            keys += encoded
        else:
            raise InvalidParameter(f"Invalid {what} ({text}) provided")
    return bytes(keys)


class DetachKeys:
    """Notices the keys in a client's input, however that is cut into pieces.

    What may be the beginning of the keys is held back until it is clear (Knuth, Morris
    and Pratt's automaton).

    Args:
        keys: the bytes that the keys send.

    Attributes:
        pressed: they were.
    """

    def __init__(self, keys: bytes) -> None:
        self.pressed = False
        self._keys = keys
        self._matched = 0
        self._back = [0] * len(keys)
        length = 0
        for i in range(1, len(keys)):
            while length and keys[i] != keys[length]:
                length = self._back[length - 1]
            if keys[i] == keys[length]:
                length += 1
            self._back[i] = length

    def feed(self, data: bytes) -> bytes:
        """Add input; what of it, and of what was held back, the process is to get."""
        keys = self._keys
        if self.pressed:
            return b""
        if not keys or (not self._matched and keys[0] not in data):
            return data
        held, out = self._matched, keys[: self._matched] + data
        matched = self._matched
        for index, byte in enumerate(data):
            while matched and byte != keys[matched]:
                matched = self._back[matched - 1]
            if byte == keys[matched]:
                matched += 1
            if matched == len(keys):
                self.pressed = True
                return out[: held + index + 1 - matched]
        self._matched = matched
        return out[: len(out) - matched]
