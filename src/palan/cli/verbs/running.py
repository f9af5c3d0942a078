"""``palan run``, ``create``, ``start``, ``attach`` and ``exec``: processes and their streams."""

import sys
from pathlib import Path
from typing import Any, Final

from palan.api.version import Version
from palan.cli.verbs.progress import Progress
from palan.cli.verbs.run_options import add_run_options, arguments_of_create
from palan.cli.verbs.terminal import Terminal, relay
from palan.cli.verbs.verb import Arguments, Failed, Parser, Refused, Verb
from palan.client import Client
from palan.client.errors import APIError, NotFound


__all__ = ["ATTACH", "CREATE", "EXEC", "RUN", "START"]


_DETACH_KEYS_HELP: Final = "override the key sequence for detaching a container"

_CONSOLE_SIZE: Final = Version(1, 42)
"""The version since which a create takes the initial size of the terminal."""


def _declare_run(parser: Parser) -> None:
    parser.add_argument(
        "-d", "--detach", action="store_true", help="run in the background and print the id"
    )
    parser.add_argument("--rm", action="store_true", help="remove the container when it exits")
    parser.add_argument("--detach-keys", default="", metavar="KEYS", help=_DETACH_KEYS_HELP)
    parser.add_argument(
        "--sig-proxy", default="true", metavar="BOOL",
        help="proxy received signals to the process (default true)",
    )  # fmt: skip
    parser.add_argument(
        "-a", "--attach", action="append", default=[], metavar="STREAM",
        help="attach only to this one of stdin, stdout, stderr",
    )  # fmt: skip
    add_run_options(parser)


def _create_container(client: Client, given: Arguments, config: dict[str, Any]) -> str:
    """Create a container, pulling its image where necessary, and return its id."""
    if given.pull == "always":
        _pull(client, given)
    try:
        made = client.containers.create(**config)
    except NotFound as error:
        if given.pull == "never" or "image" not in error.message.lower():
            raise
        named = "@" in given.image or ":" in given.image.rpartition("/")[2]
        tagged = given.image if named else f"{given.image}:latest"
        print(f"Unable to find image '{tagged}' locally", file=sys.stderr)
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
        raise Refused("conflicting options: cannot specify both --attach and --detach")
    streams = given.attach or (["stdout", "stderr"] + (["stdin"] if given.interactive else []))
    config = arguments_of_create(given)
    if given.interactive:
        config |= {"open_stdin": True, "stdin_once": not given.detach}
    if not given.detach:
        config |= {f"attach_{stream}": True for stream in streams}
    keys = _detach_keys(client, given)
    terminal = Terminal(tty=given.tty and not given.detach, stdin="stdin" in streams, keys=keys)
    if terminal.tty and client.negotiate() >= _CONSOLE_SIZE:
        config["host_config"].console_size = terminal.size()
    config["host_config"].auto_remove = given.rm
    identity = _create_container(client, given, config)
    if given.detach:
        _start(client, identity)
        print(identity)
        return 0
    session = client.containers.attach(
        identity, detach_keys=keys, stream=True,
        **{stream: True for stream in ("stdin", "stdout", "stderr") if stream in streams},
    )  # fmt: skip
    # Wait from before the start: a container removed at its end cannot be asked afterwards.
    condition = "removed" if given.rm else "next-exit"
    with session, terminal.waiting(client, identity, condition) as ended:
        try:
            _start(client, identity)
        except APIError:
            if not given.rm:
                client.containers.remove(identity, force=True)
            raise
        with (
            terminal.synchronized_size(lambda h, w: client.containers.resize(identity, h, w)),
            terminal.forwarded_signals(client, identity, wanted=given.sig_proxy != "false"),
        ):
            relay(session, terminal)
        return 0 if terminal.keys.pressed else ended()


def _start(client: Client, identity: str) -> None:
    """Start the container of ``run``."""
    try:
        client.containers.start(identity)
    except APIError as error:
        message = error.message
        print(
            f"palan: Error response from daemon: {message}\n\n"
            "Run 'palan run --help' for more information",
            file=sys.stderr,
        )
        # 126 and 127 are the statuses that a shell ends with in these cases.
        status = 125
        if "executable file not found" in message or "no such file or directory" in message:
            status = 127
        elif "permission denied" in message or "is a directory" in message:
            status = 126
        raise Failed(status) from None


def _create(client: Client, given: Arguments) -> None:
    config = arguments_of_create(given)
    config |= {"attach_stdout": True, "attach_stderr": True}
    if given.interactive:
        config |= {"open_stdin": True, "stdin_once": True, "attach_stdin": True}
    config["host_config"].auto_remove = given.rm
    print(_create_container(client, given, config))


def _declare_start(parser: Parser) -> None:
    parser.add_argument("-a", "--attach", action="store_true", help="attach stdout and stderr")
    parser.add_argument(
        "-i", "--interactive", action="store_true", help="attach the container's stdin"
    )
    parser.add_argument("--detach-keys", default="", metavar="KEYS", help=_DETACH_KEYS_HELP)
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
        raise Refused("you cannot start and attach multiple containers at once")
    return _attach_to(client, given.containers[0], given, start=True)


def _declare_attach(parser: Parser) -> None:
    parser.add_argument("--no-stdin", action="store_true", help="do not attach stdin")
    parser.add_argument("--detach-keys", default="", metavar="KEYS", help=_DETACH_KEYS_HELP)
    parser.add_argument("container", metavar="CONTAINER")


def _attach(client: Client, given: Arguments) -> int:
    given.interactive = not given.no_stdin
    return _attach_to(client, given.container, given, start=False)


def _attach_to(client: Client, name: str, given: Arguments, *, start: bool) -> int:
    """Attach to a container, starting it first if asked to, and return its exit code."""
    found = client.containers.inspect(name)
    if not start and not found.state.running:
        raise Refused("You cannot attach to a stopped container, start it first")
    stdin = given.interactive and found.config.open_stdin
    keys = _detach_keys(client, given)
    terminal = Terminal(tty=found.config.tty, stdin=stdin, keys=keys)
    session = client.containers.attach(
        found.id, stream=True, stdin=stdin, stdout=True, stderr=True,
        detach_keys=keys,
    )  # fmt: skip
    condition = "removed" if found.host_config.auto_remove else "next-exit"
    with session, terminal.waiting(client, found.id, condition if start else "") as ended:
        if start:
            client.containers.start(found.id)
        with (
            terminal.synchronized_size(lambda h, w: client.containers.resize(found.id, h, w)),
            terminal.forwarded_signals(client, found.id, wanted=not terminal.tty),
        ):
            relay(session, terminal)
        if terminal.keys.pressed:
            return 0 if start else _report_detached()
        return ended()


def _detach_keys(client: Client, given: Arguments) -> str:
    """Return the key sequence for detaching, from the option or from ``config.json``."""
    return str(given.detach_keys or client.environment.config.get("detachKeys") or "")


def _report_detached() -> int:
    print("read escape sequence", file=sys.stderr)
    return 1


def _declare_exec(parser: Parser) -> None:
    parser.add_argument(
        "-i", "--interactive", action="store_true", help="keep stdin open even if not attached"
    )
    parser.add_argument("-t", "--tty", action="store_true", help="allocate a pseudo-TTY")
    parser.add_argument(
        "-d", "--detach", action="store_true", help="run the command in the background"
    )
    parser.add_argument("-u", "--user", default="", help="user name or uid [:group name or gid]")
    parser.add_argument(
        "-w", "--workdir", default="", metavar="DIR",
        help="working directory inside the container",
    )  # fmt: skip
    parser.add_argument("-e", "--env", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument(
        "--privileged", action="store_true", help="give extended privileges to the command"
    )
    parser.add_argument("--detach-keys", default="", metavar="KEYS", help=_DETACH_KEYS_HELP)
    parser.add_argument("container", metavar="CONTAINER")
    parser.add_argument("command", nargs="...", metavar="COMMAND")
    parser.minimum = 2


def _exec(client: Client, given: Arguments) -> int:
    from palan.cli.verbs.run_options import environment

    options: dict[str, Any] = {
        "user": given.user,
        "env": environment(given.env),
        "working_dir": given.workdir,
        "tty": given.tty,
        "privileged": given.privileged,
    }
    if given.detach:
        client.exec.launch(given.container, given.command, **options)
        return 0
    terminal = Terminal(tty=given.tty, stdin=given.interactive, keys=_detach_keys(client, given))
    with client.exec.open(
        given.container, given.command, stdin=given.interactive, **options
    ) as session:
        with terminal.synchronized_size(lambda h, w: client.exec.resize(session.id, h, w)):
            relay(session, terminal)
        return _report_detached() if terminal.keys.pressed else session.exit_code()


def _declare_create(parser: Parser) -> None:
    parser.add_argument("--rm", action="store_true", help="remove the container when it exits")
    add_run_options(parser)


RUN = Verb("Create and run a new container from an image", _declare_run, _run)
CREATE = Verb("Create a new container", _declare_create, _create)
START = Verb("Start one or more stopped containers", _declare_start, _start_verb)
ATTACH = Verb("Attach stdin, stdout and stderr to a running container", _declare_attach, _attach)
EXEC = Verb("Run a command in a running container", _declare_exec, _exec)
