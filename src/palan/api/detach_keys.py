r"""The keys that detach a client from a container: parsing and detecting them, without I/O.

They are a comma-separated list of single characters, ``DEL`` and ``ctrl-x``, where x is a
letter or one of ``@ [ \ ] ^ _``.
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
    """Return the bytes that the keys send; those of the default keys for an empty text.

    Raises:
        InvalidParameter: the text cannot be parsed; with dockerd's wording, which contains
            ``what``.
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
    """Detector of the keys in a client's input, wherever the input is split.

    Bytes that may begin the keys are held back until it is clear whether they do (the
    automaton of Knuth, Morris and Pratt).

    Args:
        keys: the bytes that the keys send.

    Attributes:
        pressed: whether the keys were detected.
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
        """Add input and return the bytes that the process gets now."""
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
