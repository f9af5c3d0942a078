"""Instructions that change nothing but the image's configuration.

Each function changes the configuration of the stage, and returns how the history tells it.
"""

import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from palan.api.containers import HealthConfig
from palan.api.errors import InvalidParameter
from palan.dockerfile import (
    Arg,
    Cmd,
    Command,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Label,
    Maintainer,
    OnBuild,
    Shell,
    StopSignal,
    User,
    Volume,
)
from palan.engine.build.state import State
from palan.engine.containers.signals import parse_signal
from palan.engine.timestamps import go_duration


__all__ = ["CONFIGURING", "GivenLabel", "go_quoted", "joined_path"]

_CONTAINER_PORT: Final = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", re.ASCII)
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


@dataclass(frozen=True, slots=True)
class GivenLabel:
    """A label that the client gave: a step like ``LABEL``, but for variables."""

    name: str
    value: str

    @property
    def source(self) -> str:
        """As a Dockerfile would have it."""
        return f"LABEL {self.name}={self.value}"


def go_quoted(words: Iterable[str]) -> str:
    """Words as Go prints them with ``%q``."""
    return "[" + " ".join(_quoted(word) for word in words) + "]"


def _quoted(word: str) -> str:
    return '"' + "".join(_QUOTED.get(c) or _printable(c) for c in word) + '"'


def _printable(character: str) -> str:
    code = ord(character)
    if character.isprintable():
        return character
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def joined_path(current: str, path: str) -> str:
    """A path relative to the working directory, without detours."""
    joined = posixpath.join("/", current, path)
    return "/" + posixpath.normpath(joined).lstrip("/")


def _pairs(kind: str, pairs: Iterable[tuple[str, str]]) -> str:
    return " ".join([kind, *(f"{name}={value}" for name, value in pairs)])


def _env(state: State, step: Env) -> str:
    # All of one instruction see the variables as they were before it.
    expand = state.expander()
    pairs = [(expand(name), expand(value)) for name, value in step.pairs]
    env = state.config.env
    for name, value in pairs:
        entry = f"{name}={value}"
        for number, old in enumerate(env):
            if old.partition("=")[0] == name:
                env[number] = entry
                break
        else:
            env.append(entry)
    return _pairs("ENV", pairs)


def _label(state: State, step: Label) -> str:
    expand = state.expander()
    pairs = [(expand(name), expand(value)) for name, value in step.pairs]
    state.config.labels.update(pairs)
    return _pairs("LABEL", pairs)


def _given_label(state: State, step: GivenLabel) -> str:
    state.config.labels[step.name] = step.value
    return step.source


def _arg(state: State, step: Arg) -> str:
    expand = state.expander()
    told = []
    for name, value in step.pairs:
        expanded = None if value is None else expand(value)
        told.append(name if expanded is None else f"{name}={expanded}")
        state.arguments.declare(name, expanded)
    return "ARG " + " ".join(told)


def _command(state: State, command: Command) -> list[str]:
    words = list(command.words)
    return [*state.shell, *words] if command.shell and words else words


def _cmd(state: State, step: Cmd) -> str:
    state.config.cmd = _command(state, step.command)
    state.cmd_given = state.cmd_given or bool(step.command.words)
    return f"CMD {go_quoted(state.config.cmd)}"


def _entrypoint(state: State, step: Entrypoint) -> str:
    state.config.entrypoint = _command(state, step.command)
    if not state.cmd_given:
        state.config.cmd = []
    return f"ENTRYPOINT {go_quoted(state.config.entrypoint)}"


def _expose(state: State, step: Expose) -> str:
    ports = [word for text in step.ports for word in state.words_of(text)]
    for port in ports:
        state.config.exposed_ports.update((each, {}) for each in _exposed(port))
    return " ".join(["EXPOSE", *ports])


def _exposed(text: str) -> list[str]:
    """The container's ports in ``[[address:]port:]port[-port][/protocol]``."""
    numbers, _, protocol = text.rpartition(":")[2].partition("/")
    protocol = protocol.lower() or "tcp"
    if not numbers:
        raise InvalidParameter(f"no port specified: {text}<empty>")
    if protocol not in ("tcp", "udp", "sctp"):
        raise InvalidParameter(f"invalid proto: {protocol}")
    match = _CONTAINER_PORT.fullmatch(numbers)
    if match is None or not int(match[1]) <= (last := int(match[2] or match[1])) <= 0xFFFF:
        raise InvalidParameter(f"invalid containerPort: {numbers}")
    return [f"{port}/{protocol}" for port in range(int(match[1]), last + 1)]


def _healthcheck(state: State, step: Healthcheck) -> str:
    check = HealthConfig(
        test=list(step.test),
        interval=step.interval,
        timeout=step.timeout,
        start_period=step.start_period,
        start_interval=step.start_interval,
        retries=step.retries,
    )
    state.config.healthcheck = check
    times = (
        f"Interval:{go_duration(check.interval)} Timeout:{go_duration(check.timeout)}"
        f" StartPeriod:{go_duration(check.start_period)}"
        f" StartInterval:{go_duration(check.start_interval)} Retries:{check.retries}"
    )
    return f"HEALTHCHECK &{{Test:[{' '.join(check.test)}] {times}}}"


def _maintainer(state: State, step: Maintainer) -> str:
    state.author = step.name
    return f"MAINTAINER {step.name}"


def _on_build(state: State, step: OnBuild) -> str:
    state.config.on_build.append(step.trigger)
    return f"ONBUILD {step.trigger}"


def _shell(state: State, step: Shell) -> str:
    state.config.shell = list(step.words)
    return f"SHELL [{' '.join(step.words)}]"


def _stop_signal(state: State, step: StopSignal) -> str:
    name = state.expander()(step.signal)
    parse_signal(name)
    state.config.stop_signal = name
    return f"STOPSIGNAL {name}"


def _user(state: State, step: User) -> str:
    state.config.user = state.expander()(step.user)
    return f"USER {state.config.user}"


def _volume(state: State, step: Volume) -> str:
    expand = state.expander()
    paths = [expand(path) for path in step.paths]
    if not all(paths):
        raise InvalidParameter("VOLUME specified can not be an empty string")
    state.config.volumes.update((path, {}) for path in paths)
    return f"VOLUME [{' '.join(paths)}]"


CONFIGURING: Final[Mapping[type, Callable[[State, Any], str]]] = {
    Arg: _arg,
    Cmd: _cmd,
    Entrypoint: _entrypoint,
    Env: _env,
    Expose: _expose,
    GivenLabel: _given_label,
    Healthcheck: _healthcheck,
    Label: _label,
    Maintainer: _maintainer,
    OnBuild: _on_build,
    Shell: _shell,
    StopSignal: _stop_signal,
    User: _user,
    Volume: _volume,
}
"""By kind of instruction: changes the configuration, and says how the history tells it."""
