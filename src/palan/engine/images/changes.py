"""Dockerfile instructions that change the configuration of an image (import, commit).

Each function applies one instruction to a configuration, as ``docker import --change``
and ``docker commit --change`` do; which ones there are and what is said about mistakes
is dockerd's.
"""

import posixpath
import re
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from palan.api.containers import HealthConfig
from palan.api.errors import InvalidParameter
from palan.api.images import ImageConfig
from palan.engine.images.words import expand, split


__all__ = ["apply_changes"]

_DEFAULT_SHELL: Final = ["/bin/sh", "-c"]
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
_PORT: Final = re.compile(r"(\d{1,5})(?:-(\d{1,5}))?(?:/([a-zA-Z]+))?")
_SIGNAL: Final = re.compile(r"(?:SIG)?[A-Z][A-Z0-9+-]*|\d{1,2}")


def apply_changes(config: ImageConfig, changes: Iterable[str]) -> None:
    """Apply instructions to ``config`` in their order.

    Args:
        config: is changed.
        changes: instructions, several lines each.

    Raises:
        InvalidParameter: an instruction is unknown, not allowed here or malformed.
    """
    state = _State(config)
    for line in _lines("\n".join(changes)):
        name, _, rest = line.partition(" ")
        apply = _INSTRUCTIONS.get(name.upper())
        if apply is None:
            raise InvalidParameter(f"{name.upper()} is not a valid change command")
        apply(state, rest.strip())


def _lines(text: str) -> Iterable[str]:
    """Logical lines: comments left out, continued lines joined."""
    logical = ""
    for line in text.splitlines():
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        if stripped.endswith("\\"):
            logical += stripped[:-1]
            continue
        yield re.sub(r"^(\S+)\s+", r"\1 ", logical + stripped)
        logical = ""
    if logical.strip():
        yield re.sub(r"^(\S+)\s+", r"\1 ", logical.strip())


class _State:
    """A configuration, and what the instructions before have done."""

    def __init__(self, config: ImageConfig) -> None:
        self.config = config
        self.cmd_given = False

    def expand(self, word: str) -> str:
        pairs = (entry.partition("=") for entry in self.config.env)
        return expand(word, {name: value for name, _, value in pairs})


def _json_list(rest: str, name: str) -> list[str] | None:
    if not rest.startswith("["):
        return None
    try:
        value: Any = msgspec.json.decode(rest)
    except (msgspec.DecodeError, RecursionError):
        return None
    if not isinstance(value, list):
        return None
    if not all(isinstance(word, str) for word in value):
        raise InvalidParameter(f"only string type is allowed in JSON format arrays of {name}")
    return value


def _command(state: _State, rest: str, name: str) -> list[str]:
    words = _json_list(rest, name)
    if words is not None:
        return words
    return [*(state.config.shell or _DEFAULT_SHELL), rest] if rest else []


def _cmd(state: _State, rest: str) -> None:
    state.config.cmd = _command(state, rest, "CMD")
    state.cmd_given = True


def _entrypoint(state: _State, rest: str) -> None:
    state.config.entrypoint = _command(state, rest, "ENTRYPOINT")
    if not state.cmd_given:
        state.config.cmd = []


def _pairs(rest: str, name: str) -> list[tuple[str, str]]:
    words = split(rest)
    if not words:
        raise InvalidParameter(f"{name} requires at least one argument")
    if "=" not in words[0]:  # the old form: a name and the rest of the line
        first, _, value = re.sub(r"^(\S+)\s+", r"\1 ", rest).partition(" ")
        if not value:
            raise InvalidParameter(f"{name} must have two arguments")
        return [(first, value)]
    pairs = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise InvalidParameter(
                f'Syntax error - can\'t find = in "{word}". Must be of the form: name=value'
            )
        if not key:
            raise InvalidParameter(f"{name} names can not be blank")
        pairs.append((key, value))
    return pairs


def _env(state: _State, rest: str) -> None:
    # All values of one instruction see the environment as it was before it.
    new = [(state.expand(key), state.expand(value)) for key, value in _pairs(rest, "ENV")]
    for key, value in new:
        entry = f"{key}={value}"
        for number, old in enumerate(state.config.env):
            if old.partition("=")[0] == key:
                state.config.env[number] = entry
                break
        else:
            state.config.env.append(entry)


def _label(state: _State, rest: str) -> None:
    for key, value in _pairs(rest, "LABEL"):
        state.config.labels[state.expand(key)] = state.expand(value)


def _expose(state: _State, rest: str) -> None:
    words = split(rest)
    if not words:
        raise InvalidParameter("EXPOSE requires at least one argument")
    for word in (w for raw in words for w in state.expand(raw).split()):
        match = _PORT.fullmatch(word)
        if match is None:
            raise InvalidParameter(f"invalid containerPort: {word}")
        first = int(match[1])
        last = int(match[2] or first)
        protocol = (match[3] or "tcp").lower()
        if not 0 < first <= last <= 65535:
            raise InvalidParameter(f"invalid containerPort: {word}")
        if protocol not in ("tcp", "udp", "sctp"):
            raise InvalidParameter(f"invalid proto: {match[3]}")
        for port in range(first, last + 1):
            state.config.exposed_ports[f"{port}/{protocol}"] = {}


def _one(state: _State, rest: str, name: str) -> str:
    if not rest:
        raise InvalidParameter(f"{name} requires exactly one argument")
    return state.expand(rest)


def _user(state: _State, rest: str) -> None:
    state.config.user = _one(state, rest, "USER")


def _workdir(state: _State, rest: str) -> None:
    path = _one(state, rest, "WORKDIR")
    joined = posixpath.join("/", state.config.working_dir, path)
    state.config.working_dir = "/" + posixpath.normpath(joined).lstrip("/")


def _volume(state: _State, rest: str) -> None:
    words = _json_list(rest, "VOLUME")
    if words is None:
        words = split(rest)
    if not words:
        raise InvalidParameter("VOLUME requires at least one argument")
    for word in words:
        path = state.expand(word).strip()
        if not path:
            raise InvalidParameter("VOLUME specified can not be an empty string")
        state.config.volumes[path] = {}


def _stopsignal(state: _State, rest: str) -> None:
    signal = _one(state, rest, "STOPSIGNAL")
    if not _SIGNAL.fullmatch(signal):
        raise InvalidParameter(f"invalid signal: {signal}")
    state.config.stop_signal = signal


def _onbuild(state: _State, rest: str) -> None:
    trigger = rest.partition(" ")[0].upper()
    if not trigger:
        raise InvalidParameter("ONBUILD requires at least one argument")
    if trigger == "ONBUILD":
        raise InvalidParameter("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if trigger in ("FROM", "MAINTAINER"):
        raise InvalidParameter(f"{trigger} isn't allowed as an ONBUILD trigger")
    state.config.on_build.append(rest)


def _duration(text: str, option: str) -> int:
    if text == "0":
        return 0
    if not text or _DURATION.sub("", text):
        raise InvalidParameter(f'time: invalid duration "{text}" of --{option}')
    value = sum(int(float(number) * _UNITS[unit]) for number, unit in _DURATION.findall(text))
    if 0 < value < 10**6:
        raise InvalidParameter(f"Interval {text!r} of --{option} cannot be less than 1ms")
    return value


def _healthcheck(state: _State, rest: str) -> None:
    check = HealthConfig()
    words = rest
    given = False
    while words.startswith("--"):
        option, _, words = words.partition(" ")
        words = words.lstrip()
        name, _, value = option[2:].partition("=")
        given = True
        if name == "retries":
            if not re.fullmatch("[0-9]{1,9}", value) or int(value) < 1:
                raise InvalidParameter(f'--retries must be at least 1 (not "{value}")')
            check.retries = int(value)
        elif name in ("interval", "timeout", "start-period", "start-interval"):
            setattr(check, name.replace("-", "_"), _duration(value, name))
        else:
            raise InvalidParameter(f"unknown flag: {name}")
    kind, _, command = words.partition(" ")
    kind = kind.upper()
    if kind == "NONE":
        if given or command:
            raise InvalidParameter("HEALTHCHECK NONE takes no arguments")
        check.test = ["NONE"]
    elif kind == "CMD":
        command = command.strip()
        listed = _json_list(command, "HEALTHCHECK")
        if not (listed or command):
            raise InvalidParameter("missing command after HEALTHCHECK CMD")
        check.test = ["CMD", *listed] if listed is not None else ["CMD-SHELL", command]
    else:
        raise InvalidParameter(f'unknown type "{kind}" in HEALTHCHECK (try CMD)')
    state.config.healthcheck = check


_INSTRUCTIONS: Final[dict[str, Callable[[_State, str], None]]] = {
    "CMD": _cmd,
    "ENTRYPOINT": _entrypoint,
    "ENV": _env,
    "EXPOSE": _expose,
    "HEALTHCHECK": _healthcheck,
    "LABEL": _label,
    "ONBUILD": _onbuild,
    "STOPSIGNAL": _stopsignal,
    "USER": _user,
    "VOLUME": _volume,
    "WORKDIR": _workdir,
}
