"""Instructions of Dockerfiles that change the configuration of an image.

Builds, commits and imports use them.  Each function changes the configuration, and returns the
instruction as the image's history shows it.
"""

import posixpath
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from palan.api.containers import HealthConfig
from palan.api.errors import InvalidParameter
from palan.api.images import ImageConfig
from palan.dockerfile import (
    Cmd,
    Command,
    DockerfileError,
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
    Workdir,
    expand,
    expand_words,
)
from palan.dockerfile.quoting import go_quoted
from palan.engine.signals import parse_signal
from palan.engine.timestamps import go_duration


__all__ = ["CONFIGURING", "Draft", "quoted_words"]

T = TypeVar("T")

_DEFAULT_SHELL: Final = ("/bin/sh", "-c")
_SPECIAL: Final = re.compile(r"\\\$|[\\\"']")
_LITERAL: Final = {"\\$": r"\\\$", "\\": r"\\", '"': r"\"", "'": r"\'"}
_CONTAINER_PORT: Final = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", re.ASCII)


@dataclass(slots=True)
class Draft:
    """A configuration that instructions change.

    Attributes:
        config: the configuration.
        escape: the escape character of the Dockerfile.
        author: the name given by ``MAINTAINER``.
        cmd_given: there was a ``CMD``, which a later ``ENTRYPOINT`` keeps.
    """

    config: ImageConfig
    escape: str = "\\"
    author: str = ""
    cmd_given: bool = False

    @property
    def shell(self) -> list[str]:
        """The shell that runs commands in shell form."""
        return list(self.config.shell or _DEFAULT_SHELL)

    def further_variables(self) -> Iterable[str]:
        """Return variables in addition to those of the configuration."""
        return ()

    def expander(self) -> Callable[[str], str]:
        """Return a function that replaces variables by their present values in a word.

        It raises ``InvalidParameter`` for a malformed reference to a variable.
        """
        variables = self._variables()
        return lambda word: _refused(lambda: expand(word, variables, self.escape))

    def words_of(self, text: str) -> list[str]:
        """Return the words of a text with its variables replaced.

        Raises:
            InvalidParameter: a reference to a variable is malformed.
        """
        variables = self._variables()
        return _refused(lambda: expand_words(text, variables, self.escape))

    def text(self, text: str) -> str:
        """Return a text of several lines with its variables replaced; quotes are literal.

        Raises:
            InvalidParameter: a reference to a variable is malformed.
        """
        variables = self._variables()
        quoted = _SPECIAL.sub(lambda match: _LITERAL[match[0]], text)
        return _refused(lambda: expand(quoted, variables, "\\"))

    def _variables(self) -> dict[str, str]:
        environment = (*self.config.env, *self.further_variables())
        return dict(entry.partition("=")[::2] for entry in environment)


def _refused(work: Callable[[], T]) -> T:
    try:
        return work()
    except DockerfileError as error:
        raise InvalidParameter(str(error)) from None


def quoted_words(words: Iterable[str]) -> str:
    """Return words as Go prints a list of them with ``%q``."""
    return "[" + " ".join(map(go_quoted, words)) + "]"


def _pairs(kind: str, pairs: Iterable[tuple[str, str]]) -> str:
    return " ".join([kind, *(f"{name}={value}" for name, value in pairs)])


def _env(draft: Draft, step: Env) -> str:
    # All values of one instruction see the variables from before it.
    expand = draft.expander()
    pairs = [(expand(name), expand(value)) for name, value in step.pairs]
    env = draft.config.env
    for name, value in pairs:
        entry = f"{name}={value}"
        for number, old in enumerate(env):
            if old.partition("=")[0] == name:
                env[number] = entry
                break
        else:
            env.append(entry)
    return _pairs("ENV", pairs)


def _label(draft: Draft, step: Label) -> str:
    expand = draft.expander()
    pairs = [(expand(name), expand(value)) for name, value in step.pairs]
    draft.config.labels.update(pairs)
    return _pairs("LABEL", pairs)


def _command(draft: Draft, command: Command) -> list[str]:
    words = list(command.words)
    return [*draft.shell, *words] if command.shell and words else words


def _cmd(draft: Draft, step: Cmd) -> str:
    draft.config.cmd = _command(draft, step.command)
    draft.cmd_given = draft.cmd_given or bool(step.command.words)
    return f"CMD {quoted_words(draft.config.cmd)}"


def _entrypoint(draft: Draft, step: Entrypoint) -> str:
    draft.config.entrypoint = _command(draft, step.command)
    if not draft.cmd_given:
        draft.config.cmd = []
    return f"ENTRYPOINT {quoted_words(draft.config.entrypoint)}"


def _expose(draft: Draft, step: Expose) -> str:
    ports = [word for text in step.ports for word in draft.words_of(text)]
    for port in ports:
        draft.config.exposed_ports.update((each, {}) for each in _exposed(port))
    return " ".join(["EXPOSE", *ports])


def _exposed(text: str) -> list[str]:
    """Return the container's ports in ``[[address:]port:]port[-port][/protocol]``."""
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


def _healthcheck(draft: Draft, step: Healthcheck) -> str:
    check = HealthConfig(
        test=list(step.test),
        interval=step.interval,
        timeout=step.timeout,
        start_period=step.start_period,
        start_interval=step.start_interval,
        retries=step.retries,
    )
    draft.config.healthcheck = check
    times = (
        f"Interval:{go_duration(check.interval)} Timeout:{go_duration(check.timeout)}"
        f" StartPeriod:{go_duration(check.start_period)}"
        f" StartInterval:{go_duration(check.start_interval)} Retries:{check.retries}"
    )
    return f"HEALTHCHECK &{{Test:[{' '.join(check.test)}] {times}}}"


def _maintainer(draft: Draft, step: Maintainer) -> str:
    draft.author = step.name
    return f"MAINTAINER {step.name}"


def _on_build(draft: Draft, step: OnBuild) -> str:
    draft.config.on_build.append(step.trigger)
    return f"ONBUILD {step.trigger}"


def _shell(draft: Draft, step: Shell) -> str:
    draft.config.shell = list(step.words)
    return f"SHELL [{' '.join(step.words)}]"


def _stop_signal(draft: Draft, step: StopSignal) -> str:
    name = draft.expander()(step.signal)
    parse_signal(name)
    draft.config.stop_signal = name
    return f"STOPSIGNAL {name}"


def _user(draft: Draft, step: User) -> str:
    draft.config.user = draft.expander()(step.user)
    return f"USER {draft.config.user}"


def _volume(draft: Draft, step: Volume) -> str:
    expand = draft.expander()
    paths = [expand(path) for path in step.paths]
    if not all(paths):
        raise InvalidParameter("VOLUME specified can not be an empty string")
    draft.config.volumes.update((path, {}) for path in paths)
    return f"VOLUME [{' '.join(paths)}]"


def _workdir(draft: Draft, step: Workdir) -> str:
    path = draft.expander()(step.path)
    if not path:
        raise InvalidParameter("cannot normalize nothing")
    joined = posixpath.join("/", draft.config.working_dir, path)
    draft.config.working_dir = "/" + posixpath.normpath(joined).lstrip("/")
    return f"WORKDIR {draft.config.working_dir}"


CONFIGURING: Final[Mapping[type, Callable[[Draft, Any], str]]] = {
    Cmd: _cmd,
    Entrypoint: _entrypoint,
    Env: _env,
    Expose: _expose,
    Healthcheck: _healthcheck,
    Label: _label,
    Maintainer: _maintainer,
    OnBuild: _on_build,
    Shell: _shell,
    StopSignal: _stop_signal,
    User: _user,
    Volume: _volume,
    Workdir: _workdir,
}
"""For each kind of instruction, the function that applies it."""
