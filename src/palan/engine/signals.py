"""Signals, by the names and numbers that Docker accepts: ``SIGTERM``, ``term``, ``15``."""

import re
import signal

from palan.api.errors import InvalidParameter


__all__ = ["parse_signal"]

_NAMES = {
    name.removeprefix("SIG"): int(number)
    for name, number in signal.Signals.__members__.items()  # aliases included
    if name not in ("SIGRTMIN", "SIGRTMAX")
}
_REALTIME = re.compile(r"RTM(IN|AX)(?:([+-])([0-9]{1,9}))?")
_DIGITS = 9
"""More digits than a signal has; Python refuses to convert thousands of them."""


def parse_signal(text: str) -> int:
    """Return the number of a signal.

    Raises:
        InvalidParameter: there is no such signal; in dockerd's words.
    """
    if text.isascii() and text.isdigit():
        number = int(text[:_DIGITS])
        if number == 0:
            raise InvalidParameter(f"invalid signal: {text}")
        if len(text) > _DIGITS or number > signal.SIGRTMAX:
            raise InvalidParameter(f"the linux daemon does not support signal {text}")
        return number
    name = text.upper().removeprefix("SIG")
    if name in _NAMES:
        return _NAMES[name]
    if match := _REALTIME.fullmatch(name):
        end, sign, offset = match.groups()
        base = signal.SIGRTMIN if end == "IN" else signal.SIGRTMAX
        number = base + (int(offset or 0) if sign != "-" else -int(offset))
        if signal.SIGRTMIN <= number <= signal.SIGRTMAX:
            return number
    raise InvalidParameter(f"invalid signal: {text}")
