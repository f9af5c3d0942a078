"""Turn split lines into typed instructions."""

import re
from collections.abc import Callable
from typing import Final

from palan.dockerfile.errors import DockerfileError
from palan.dockerfile.health import healthcheck
from palan.dockerfile.instructions import (
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    Instruction,
    Label,
    Maintainer,
    OnBuild,
    Run,
    Shell,
    Stage,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from palan.dockerfile.nodes import Node
from palan.dockerfile.suggest import suggestion
from palan.dockerfile.words import split


__all__ = ["make_instruction"]

_STAGE_NAME: Final = re.compile(r"[a-z][a-z0-9\-_.]*")
_ONBUILD: Final = re.compile(r"^\s*onbuild\s*", re.IGNORECASE)
_ADD_FLAGS: Final = ("chown", "chmod", "link", "exclude", "checksum", "keep-git-dir", "unpack")
_COPY_FLAGS: Final = ("chown", "chmod", "from", "link", "parents", "exclude")
_RUN_FLAGS: Final = ("mount", "network", "security", "device")
_NETWORKS: Final = ("default", "none", "host")
_SECURITIES: Final = ("sandbox", "insecure")


def make_instruction(node: Node) -> Instruction | Stage:
    """Parse one instruction.

    Raises:
        DockerfileError: it is unknown, or malformed.
    """
    make = _INSTRUCTIONS.get(node.name)
    if make is not None:
        return make(node)
    known = sorted(_INSTRUCTIONS)
    if node.word != node.name:
        known = [name.lower() for name in known]
        meant = suggestion(node.word.lower(), known)
    else:
        meant = suggestion(node.word, known)
    raise DockerfileError(f"unknown instruction: {node.word}{meant}")


def _from(node: Node) -> Stage:
    words = node.words()
    name = ""
    if len(words) == 3 and words[1].lower() == "as":
        name = words[2].lower()
        if not _STAGE_NAME.fullmatch(name):
            raise DockerfileError(
                f'invalid name for build stage: "{words[2]}", name can\'t start with a number'
                " or contain symbols"
            )
    elif len(words) != 1:
        raise DockerfileError("FROM requires either one or three arguments")
    node.flags.check(("platform",))
    platform = node.flags.text("platform")
    return Stage(node.number, node.source, words[0], name, platform, ())


def _sources(node: Node) -> tuple[tuple[str, ...], str]:
    words = node.listed if node.listed is not None else tuple(node.words())
    if len(words) < 2:
        raise DockerfileError(
            f"{node.name} requires at least two arguments, but only one was provided."
            " Destination could not be determined"
        )
    return words[:-1], words[-1]


def _add(node: Node) -> Add:
    sources, destination = _sources(node)
    flags = node.flags
    flags.check(_ADD_FLAGS, repeatable=("exclude",))
    return Add(
        node.number,
        node.source,
        sources,
        destination,
        chown=flags.text("chown"),
        chmod=flags.text("chmod"),
        link=flags.switch("link") or False,
        exclude=flags.texts("exclude"),
        files=node.files,
        checksum=flags.text("checksum"),
        keep_git_dir=flags.switch("keep-git-dir") or False,
        unpack=flags.switch("unpack"),
    )


def _copy(node: Node) -> Copy:
    sources, destination = _sources(node)
    flags = node.flags
    flags.check(_COPY_FLAGS, repeatable=("exclude",))
    return Copy(
        node.number,
        node.source,
        sources,
        destination,
        from_=flags.text("from"),
        chown=flags.text("chown"),
        chmod=flags.text("chmod"),
        link=flags.switch("link") or False,
        parents=flags.switch("parents") or False,
        exclude=flags.texts("exclude"),
        files=node.files,
    )


def _pairs(node: Node) -> tuple[tuple[str, str], ...]:
    if not node.pairs:
        raise DockerfileError(f"{node.name} requires at least one argument")
    if not all(name for name, _ in node.pairs):
        raise DockerfileError(f"{node.name} names can not be blank")
    return node.pairs


def _arg(node: Node) -> Arg:
    pairs: list[tuple[str, str | None]] = []
    for word in split(node.rest, node.escape):
        name, equals, value = word.partition("=")
        if not name:
            raise DockerfileError("ARG names can not be blank")
        pairs.append((name, value if equals else None))
    if not pairs:
        raise DockerfileError("ARG requires at least one argument")
    return Arg(node.number, node.source, tuple(pairs))


def _expose(node: Node) -> Expose:
    words = node.words()
    if not words:
        raise DockerfileError("EXPOSE requires at least one argument")
    return Expose(node.number, node.source, tuple(sorted(words)))


def _onbuild(node: Node) -> OnBuild:
    trigger = node.rest.partition(" ")[0].upper()
    if not trigger:
        raise DockerfileError("ONBUILD requires at least one argument")
    node.flags.check(())
    if trigger == "ONBUILD":
        raise DockerfileError("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
    if trigger in ("FROM", "MAINTAINER"):
        raise DockerfileError(f"{trigger} isn't allowed as an ONBUILD trigger")
    return OnBuild(node.number, node.source, _ONBUILD.sub("", node.source))


def _run(node: Node) -> Run:
    flags = node.flags
    flags.check(_RUN_FLAGS, repeatable=("mount", "device"))
    if flags.given("network") and (network := flags.text("network")) not in _NETWORKS:
        raise DockerfileError(f'invalid network mode "{network}"')
    if flags.given("security") and (security := flags.text("security")) not in _SECURITIES:
        raise DockerfileError(f'security "{security}" is not valid')
    return Run(node.number, node.source, node.command(), flags.as_written(), node.files)


def _shell(node: Node) -> Shell:
    if node.rest and node.listed is None:
        raise DockerfileError("SHELL requires the arguments to be in JSON form")
    if not node.listed:
        raise DockerfileError("SHELL requires at least one argument")
    return Shell(node.number, node.source, node.listed)


def _volume(node: Node) -> Volume:
    words = node.listed if node.listed is not None else node.words()
    if not words:
        raise DockerfileError("VOLUME requires at least one argument")
    paths = tuple(word.strip() for word in words)
    if not all(paths):
        raise DockerfileError("VOLUME specified can not be an empty string")
    return Volume(node.number, node.source, paths)


_INSTRUCTIONS: Final[dict[str, Callable[[Node], Instruction | Stage]]] = {
    "ADD": _add,
    "ARG": _arg,
    "CMD": lambda node: Cmd(node.number, node.source, node.command()),
    "COPY": _copy,
    "ENTRYPOINT": lambda node: Entrypoint(node.number, node.source, node.command()),
    "ENV": lambda node: Env(node.number, node.source, _pairs(node)),
    "EXPOSE": _expose,
    "FROM": _from,
    "HEALTHCHECK": healthcheck,
    "LABEL": lambda node: Label(node.number, node.source, _pairs(node)),
    "MAINTAINER": lambda node: Maintainer(node.number, node.source, node.single_argument()),
    "ONBUILD": _onbuild,
    "RUN": _run,
    "SHELL": _shell,
    "STOPSIGNAL": lambda node: StopSignal(node.number, node.source, node.single_argument()),
    "USER": lambda node: User(node.number, node.source, node.single_argument()),
    "VOLUME": _volume,
    "WORKDIR": lambda node: Workdir(node.number, node.source, node.single_argument()),
}
