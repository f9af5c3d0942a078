"""``palan run``, ``create``, ``start``, ``attach`` and ``exec``: processes, and talking to them."""

import sys
from pathlib import Path
from typing import Any, Final

from palan.api.version import Version
from palan.cli.verbs.progress import Progress
from palan.cli.verbs.run_options import add_run_options, creation_of
from palan.cli.verbs.terminal import Terminal, talk
from palan.cli.verbs.verb import Arguments, Failed, Parser, Verb
from palan.client import Client
from palan.client.errors import APIError, NotFound


__all__ = ["ATTACH", "CREATE", "EXEC", "RUN", "START"]


_CONSOLE_SIZE: Final = Version(1, 42)
"""The version that gives terminals their size from the beginning."""


def _declare_run(parser: Parser) -> None:
    parser.add_argument("-d", "--detach", action="store_true", help="do not stay connected")
    parser.add_argument("--rm", action="store_true", help="remove it when it ends")
    parser.add_argument("--detach-keys", default="", metavar="KEYS", help="keys that detach")
    parser.add_argument(
        "--sig-proxy", default="true", metavar="BOOL", help="pass signals on (default true)"
    )
    parser.add_argument(
        "-a", "--attach", action="append", default=[], metavar="STREAM",
        help="stdin, stdout or stderr only",
    )  # fmt: skip
    add_run_options(parser)


def _make(client: Client, given: Arguments, config: dict[str, Any]) -> str:
    if given.pull == "always":
        _pull(client, given)
    try:
        made = client.containers.create(**config)
    except NotFound as error:
        if given.pull == "never" or "image" not in error.message.lower():
            raise
        print(f"Unable to find image '{given.image}' locally", file=sys.stderr)
        _pull(client, given)
        made = client.containers.create(**config)
    for warning in made.warnings:
        print(f"WARNING: {warning}", file=sys.stderr)
    if given.cidfile:
        with Path(given.cidfile).open("x") as file:
            file.write(made.id)
    return made.id


def _pull(client: Client, given: Arguments) -> None:
    with Progress(sys.stderr) as progress:
        client.images.pull(given.image, platform=given.platform, progress=progress)


def _run(client: Client, given: Arguments) -> int:
    if given.detach and given.attach:
        raise ValueError("conflicting options: --attach and --detach")
    streams = given.attach or (["stdout", "stderr"] + (["stdin"] if given.interactive else []))
    config = creation_of(given)
    if given.interactive:
        config |= {"open_stdin": True, "stdin_once": not given.detach}
    if not given.detach:
        config |= {f"attach_{stream}": True for stream in streams}
    keys = _keys(client, given)
    terminal = Terminal(tty=given.tty and not given.detach, stdin="stdin" in streams, keys=keys)
    if terminal.tty and client.negotiate() >= _CONSOLE_SIZE:
        config["host_config"].console_size = terminal.size()
    config["host_config"].auto_remove = given.rm
    identity = _make(client, given, config)
    if given.detach:
        _start(client, identity)
        print(identity)
        return 0
    session = client.containers.attach(
        identity, detach_keys=keys, stream=True,
        **{stream: True for stream in ("stdin", "stdout", "stderr") if stream in streams},
    )  # fmt: skip
    # Asked before the start: who is removed at the end cannot be asked afterwards.
    condition = "removed" if given.rm else "next-exit"
    with session, terminal.waiting(client, identity, condition) as ended:
        try:
            _start(client, identity)
        except APIError:
            if not given.rm:
                client.containers.remove(identity, force=True)
            raise
        with (
            terminal.following(lambda h, w: client.containers.resize(identity, h, w)),
            terminal.passing_signals(client, identity, wanted=given.sig_proxy != "false"),
        ):
            talk(session, terminal)
        return 0 if terminal.keys.pressed else ended()


def _start(client: Client, identity: str) -> None:
    try:
        client.containers.start(identity)
    except APIError as error:
        print(f"Error response from daemon: {error.message}", file=sys.stderr)
        words = error.message
        # The shell's own statuses for these.
        status = 125
        if "not found" in words or "no such file" in words:
            status = 127
        elif "permission denied" in words or "is a directory" in words:
            status = 126
        raise Failed(status) from None


def _create(client: Client, given: Arguments) -> None:
    config = creation_of(given)
    config |= {"attach_stdout": True, "attach_stderr": True}
    if given.interactive:
        config |= {"open_stdin": True, "stdin_once": True, "attach_stdin": True}
    config["host_config"].auto_remove = given.rm
    print(_make(client, given, config))


def _declare_start(parser: Parser) -> None:
    parser.add_argument("-a", "--attach", action="store_true", help="connect to its output")
    parser.add_argument("-i", "--interactive", action="store_true", help="connect its stdin")
    parser.add_argument("--detach-keys", default="", metavar="KEYS", help="keys that detach")
    parser.add_argument("containers", nargs="+", metavar="CONTAINER")


def _start_verb(client: Client, given: Arguments) -> int:
    if not (given.attach or given.interactive):
        status = 0
        for name in given.containers:
            try:
                client.containers.start(name)
                print(name)
            except APIError as error:
                print(f"Error response from daemon: {error.message}", file=sys.stderr)
                status = 1
        return status
    if len(given.containers) > 1:
        raise ValueError("you cannot start and attach multiple containers at once")
    return _connect(client, given.containers[0], given, start=True)


def _declare_attach(parser: Parser) -> None:
    parser.add_argument("--no-stdin", action="store_true", help="do not connect stdin")
    parser.add_argument("--detach-keys", default="", metavar="KEYS", help="keys that detach")
    parser.add_argument("container", metavar="CONTAINER")


def _attach(client: Client, given: Arguments) -> int:
    given.interactive = not given.no_stdin
    return _connect(client, given.container, given, start=False)


def _connect(client: Client, name: str, given: Arguments, *, start: bool) -> int:
    found = client.containers.inspect(name)
    if not start and not found.state.running:
        raise ValueError("you cannot attach to a stopped container, start it first")
    stdin = given.interactive and found.config.open_stdin
    keys = _keys(client, given)
    terminal = Terminal(tty=found.config.tty, stdin=stdin, keys=keys)
    session = client.containers.attach(
        found.id, stream=True, stdin=stdin, stdout=True, stderr=True,
        detach_keys=keys,
    )  # fmt: skip
    condition = "removed" if found.host_config.auto_remove else "next-exit"
    with session, terminal.waiting(client, found.id, condition if start else "") as ended:
        if start:
            _start(client, found.id)
        with (
            terminal.following(lambda h, w: client.containers.resize(found.id, h, w)),
            terminal.passing_signals(client, found.id, wanted=not terminal.tty),
        ):
            talk(session, terminal)
        if terminal.keys.pressed:
            return 0 if start else _let_go()
        return ended()


def _keys(client: Client, given: Arguments) -> str:
    """The keys that detach, of the option or of ``config.json``."""
    return str(given.detach_keys or client.environment.config.get("detachKeys") or "")


def _let_go() -> int:
    print("read escape sequence", file=sys.stderr)
    return 1


def _declare_exec(parser: Parser) -> None:
    parser.add_argument("-i", "--interactive", action="store_true", help="connect stdin")
    parser.add_argument("-t", "--tty", action="store_true", help="give it a terminal")
    parser.add_argument("-d", "--detach", action="store_true", help="do not stay connected")
    parser.add_argument("-u", "--user", default="", help="name or id, with a group perhaps")
    parser.add_argument("-w", "--workdir", default="", metavar="DIR", help="where it runs")
    parser.add_argument("-e", "--env", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--privileged", action="store_true", help="with all capabilities")
    parser.add_argument("--detach-keys", default="", metavar="KEYS", help="keys that detach")
    parser.add_argument("container", metavar="CONTAINER")
    parser.add_argument("command", nargs="...", metavar="COMMAND")


def _exec(client: Client, given: Arguments) -> int:
    from palan.cli.verbs.run_options import variables

    if not given.command:
        raise ValueError("exec needs a command")
    options: dict[str, Any] = {
        "user": given.user,
        "env": variables(given.env),
        "working_dir": given.workdir,
        "tty": given.tty,
        "privileged": given.privileged,
    }
    if given.detach:
        client.exec.launch(given.container, given.command, **options)
        return 0
    terminal = Terminal(tty=given.tty, stdin=given.interactive, keys=_keys(client, given))
    with client.exec.open(
        given.container, given.command, stdin=given.interactive, **options
    ) as session:
        with terminal.following(lambda h, w: client.exec.resize(session.id, h, w)):
            talk(session, terminal)
        return _let_go() if terminal.keys.pressed else session.exit_code()


def _declare_create(parser: Parser) -> None:
    parser.add_argument("--rm", action="store_true", help="remove it when it ends")
    add_run_options(parser)


RUN = Verb("Create and run a new container from an image", _declare_run, _run)
CREATE = Verb("Create a new container", _declare_create, _create)
START = Verb("Start one or more stopped containers", _declare_start, _start_verb)
ATTACH = Verb("Connect to a running container", _declare_attach, _attach)
EXEC = Verb("Run a command in a running container", _declare_exec, _exec)
