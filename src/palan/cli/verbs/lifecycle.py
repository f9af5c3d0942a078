"""Verbs that do one thing to each of several containers, images or other objects."""

import sys
from collections.abc import Callable
from typing import Any

from palan.cli.verbs.verb import Arguments, Parser, Refused, Verb
from palan.client import Client
from palan.client.errors import APIError, NotFound


__all__ = [
    "KILL", "PAUSE", "RENAME", "RESTART", "RM", "RMI", "STOP", "TAG", "UNPAUSE", "UPDATE", "WAIT",
    "removal",
]  # fmt: skip


def each(names: list[str], work: Callable[[str], Any], *, force: bool = False) -> int:
    """Call ``work`` for each name and print its result, or the name where the result is None.

    An error is printed and does not keep the work from being done for the other names.

    Args:
        names: the names.
        work: called with each name.
        force: whether the absence of an object is no failure, though it is printed.
    """
    status = 0
    for name in names:
        try:
            result = work(name)
        except APIError as error:
            print(f"Error response from daemon: {error.message}", file=sys.stderr)
            if not (force and isinstance(error, NotFound)):
                status = 1
        else:
            print(name if result is None else result)
    return status


def _declare_containers(parser: Parser) -> None:
    parser.add_argument("containers", nargs="+", metavar="CONTAINER")


def _declare_stop(parser: Parser) -> None:
    parser.add_argument("-t", "--time", "--timeout", type=int, metavar="SECONDS", dest="time",
                        help="how long to wait before killing it; -1 waits for ever")  # fmt: skip
    parser.add_argument(
        "-s", "--signal", default="", help="the signal to send instead of the container's own"
    )
    _declare_containers(parser)


def _stop(client: Client, given: Arguments) -> int:
    return each(
        given.containers,
        lambda name: client.containers.stop(name, t=given.time, signal=given.signal),
    )


def _restart(client: Client, given: Arguments) -> int:
    return each(
        given.containers,
        lambda name: client.containers.restart(name, t=given.time, signal=given.signal),
    )


def _declare_kill(parser: Parser) -> None:
    parser.add_argument("-s", "--signal", default="KILL", help="signal to send to the container")
    _declare_containers(parser)


def _kill(client: Client, given: Arguments) -> int:
    return each(given.containers, lambda name: client.containers.kill(name, signal=given.signal))


def _pause(client: Client, given: Arguments) -> int:
    return each(given.containers, client.containers.pause)


def _unpause(client: Client, given: Arguments) -> int:
    return each(given.containers, client.containers.unpause)


def _wait(client: Client, given: Arguments) -> int:
    return each(given.containers, lambda name: str(client.containers.wait(name).status_code))


def _declare_rm(parser: Parser) -> None:
    parser.add_argument(
        "-f", "--force", action="store_true", help="force the removal of a running container"
    )
    parser.add_argument(
        "-v", "--volumes", action="store_true", help="remove anonymous volumes of the container"
    )
    parser.add_argument("-l", "--link", action="store_true", help="remove the specified link")
    _declare_containers(parser)


def _rm(client: Client, given: Arguments) -> int:
    return each(
        given.containers,
        lambda name: client.containers.remove(
            name, force=given.force, v=given.volumes, link=given.link
        ),
        force=given.force,
    )


def _declare_rmi(parser: Parser) -> None:
    parser.add_argument("-f", "--force", action="store_true", help="force removal of the image")
    parser.add_argument("--no-prune", action="store_true", help="do not remove untagged parents")
    parser.add_argument("images", nargs="+", metavar="IMAGE")


def _rmi(client: Client, given: Arguments) -> int:
    def remove(name: str) -> str:
        items = client.images.remove(name, force=given.force, noprune=given.no_prune)
        return "\n".join(
            f"Untagged: {item.untagged}" if item.untagged else f"Deleted: {item.deleted}"
            for item in items
        )

    return each(given.images, remove, force=given.force)


def _declare_rename(parser: Parser) -> None:
    parser.add_argument("container", metavar="CONTAINER")
    parser.add_argument("name", metavar="NEW_NAME")


def _rename(client: Client, given: Arguments) -> None:
    client.containers.rename(given.container, given.name)


def _declare_tag(parser: Parser) -> None:
    parser.add_argument("source", metavar="SOURCE[:TAG]")
    parser.add_argument("target", metavar="TARGET[:TAG]")


def _tag(client: Client, given: Arguments) -> None:
    repository, tag = given.target, ""
    if ":" in given.target.rpartition("/")[2]:
        repository, _, tag = given.target.rpartition(":")
    client.images.tag(given.source, repo=repository, tag=tag)


def _declare_update(parser: Parser) -> None:
    parser.add_argument("-m", "--memory", metavar="SIZE")
    parser.add_argument("--memory-swap", metavar="SIZE")
    parser.add_argument("--memory-reservation", metavar="SIZE")
    parser.add_argument("--cpus", type=float)
    for name in ("cpu-shares", "cpu-period", "cpu-quota", "pids-limit", "blkio-weight"):
        parser.add_argument(f"--{name}", type=int)
    parser.add_argument("--cpuset-cpus")
    parser.add_argument("--cpuset-mems")
    parser.add_argument("--restart", metavar="POLICY")
    _declare_containers(parser)


def _update(client: Client, given: Arguments) -> int:
    from palan.api.containers import RestartPolicy
    from palan.client._run_options import memory

    limits: dict[str, Any] = {}
    for name in ("memory", "memory_swap", "memory_reservation"):
        text = getattr(given, name)
        if text is not None:
            limits[name] = -1 if text == "-1" else memory(text)
    for name in ("cpu_shares", "cpu_period", "cpu_quota", "pids_limit", "blkio_weight",
                 "cpuset_cpus", "cpuset_mems"):  # fmt: skip
        if getattr(given, name) is not None:
            limits[name] = getattr(given, name)
    if given.cpus is not None:
        limits["nano_cpus"] = round(given.cpus * 1e9)
    if given.restart:
        policy, _, times = given.restart.partition(":")
        limits["restart_policy"] = RestartPolicy(name=policy, maximum_retry_count=int(times or 0))
    if not limits:
        raise Refused("you must provide one or more flags when using this command")
    return each(given.containers, lambda name: _updated(client, name, limits))


def _updated(client: Client, name: str, limits: dict[str, Any]) -> None:
    for warning in client.containers.update(name, **limits).warnings or ():
        print(f"WARNING: {warning}", file=sys.stderr)


def removal(
    what: str, remove: Callable[[Client], Callable[..., Any]], *, sends_force: bool
) -> Verb:
    """Return a verb that removes objects of one kind by name.

    Args:
        what: the kind, in lower case.
        remove: returns a client's method that removes one object.
        sends_force: whether the engine has the option ``--force`` for this kind.
    """

    def declare(parser: Parser) -> None:
        parser.add_argument(
            "-f", "--force", action="store_true", help=f"no error for a {what} that is absent"
        )
        parser.add_argument("names", nargs="+", metavar=what.upper())

    def act(client: Client, given: Arguments) -> int:
        options = {"force": given.force} if sends_force else {}
        return each(given.names, lambda name: remove(client)(name, **options), force=given.force)

    return Verb(f"Remove one or more {what}s", declare, act)


STOP = Verb("Stop one or more running containers", _declare_stop, _stop)
RESTART = Verb("Restart one or more containers", _declare_stop, _restart)
KILL = Verb("Send a signal to one or more running containers", _declare_kill, _kill)
PAUSE = Verb("Pause all processes within one or more containers", _declare_containers, _pause)
UNPAUSE = Verb("Unpause all processes within one or more containers", _declare_containers, _unpause)
WAIT = Verb(
    "Block until one or more containers stop, then print their exit codes",
    _declare_containers,
    _wait,
)
RM = Verb("Remove one or more containers", _declare_rm, _rm)
RMI = Verb("Remove one or more images", _declare_rmi, _rmi)
RENAME = Verb("Rename a container", _declare_rename, _rename)
TAG = Verb("Create a tag TARGET that refers to the image SOURCE", _declare_tag, _tag)
UPDATE = Verb("Update configuration of one or more containers", _declare_update, _update)
