"""The parser of ``HEALTHCHECK``."""

import re
from typing import Final

from palan.dockerfile.errors import DockerfileError
from palan.dockerfile.instructions import Healthcheck
from palan.dockerfile.nodes import Node, json_list


__all__ = ["healthcheck"]

_DURATION: Final = re.compile(r"(\d{1,18}(?:\.\d{0,18})?|\.\d{1,18})(ns|us|µs|μs|ms|s|m|h)")
_UNITS: Final = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_INTERVALS: Final = ("interval", "timeout", "start-period", "start-interval")
_LEAST: Final = 10**6
_MOST: Final = 2**63 - 1


def healthcheck(node: Node) -> Healthcheck:
    """Parse a ``HEALTHCHECK`` instruction.

    Raises:
        DockerfileError: it is malformed.
    """
    kind, _, command = node.rest.partition(" ")
    if not kind:
        raise DockerfileError("HEALTHCHECK requires at least one argument")
    kind, command = kind.upper(), command.strip()
    if kind == "NONE":
        if command:
            raise DockerfileError("HEALTHCHECK NONE takes no arguments")
        return Healthcheck(node.number, node.source, ("NONE",))
    node.flags.check((*_INTERVALS, "retries"))
    if kind != "CMD":
        raise DockerfileError(f'Unknown type "{kind}" in HEALTHCHECK (try CMD)')
    listed = json_list(command)
    if not (listed or (command and listed is None)):
        raise DockerfileError("Missing command after HEALTHCHECK CMD")
    test = ("CMD", *listed) if listed else ("CMD-SHELL", command)
    times = {name.replace("-", "_"): _interval(node, name) for name in _INTERVALS}
    return Healthcheck(node.number, node.source, test, **times, retries=_retries(node))


def _interval(node: Node, name: str) -> int:
    text = node.flags.text(name)
    if text in ("", "0"):
        return 0
    digits = text.lstrip("+-") if text[0] in "+-" else text
    if not digits or _DURATION.sub("", digits):
        raise DockerfileError(f'time: invalid duration "{text}"')
    value = sum(int(float(number) * _UNITS[unit]) for number, unit in _DURATION.findall(digits))
    if value > _MOST:
        raise DockerfileError(f'time: invalid duration "{text}"')
    if value and (text.startswith("-") or value < _LEAST):
        raise DockerfileError(f'Interval "{name}" cannot be less than 1ms')
    return value


def _retries(node: Node) -> int:
    text = node.flags.text("retries")
    if not text:
        return 0
    if not re.fullmatch(r"[+-]?[0-9]{1,10}", text):
        raise DockerfileError(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    if (value := int(text)) < 0:
        raise DockerfileError(f"--retries cannot be negative ({value})")
    return value
