"""``ps``, for the processes of a container: run it, and read the table it prints."""

import os
import re
from collections.abc import Collection, Sequence
from typing import Final

from palan.host.oci_runtime import find_programs
from palan.host.ps_table import FULL, full_table
from palan.host.spawn import run


__all__ = ["PsFailure", "list_processes", "misleads", "parse_table"]

_TIMEOUT: Final = 20.0
_RENAMED: Final = re.compile(r"\s+([^\s]*)=\s*(PID[^\s]*)")
_BLANKS: Final = re.compile(r"[ \t\n\f\r]+")
"""What separates words; names of programs may hold other kinds of blanks."""

Table = tuple[list[str], list[list[str]]]
"""The titles, and the fields of each process."""


class PsFailure(Exception):
    """``ps`` does not take its arguments, or prints no process ids."""


def misleads(arguments: str) -> str:
    """A column that would be called ``PID`` without being it, as ``comm=PID``; else empty."""
    for name, title in _RENAMED.findall(arguments):
        if name != "pid":
            return f"{name}={title}"
    return ""


def list_processes(arguments: Sequence[str], pids: Collection[int]) -> Table:
    """Run ``ps`` and keep the lines of some processes.  Blocking, 10 ms or more.

    Args:
        arguments: of ``ps``.
        pids: the processes.

    Raises:
        PsFailure: about the arguments.
        OSError: there is no ``ps``; what it prints with ``-ef`` is known without it.
        TimeoutError: it hangs.
    """
    program = find_programs(["ps"]).get("ps")
    if program is None:
        if list(arguments) != ["-ef"]:
            raise FileNotFoundError(
                "there is no ps on this machine: install it (procps); without, only -ef is known"
            )
        return list(FULL), full_table(pids)
    chosen = f"-q{','.join(map(str, sorted(pids)))}"
    # Lines shall be as long as they are, whatever terminal the engine was started from.
    env = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    done = run([program, *arguments, chosen], timeout=_TIMEOUT, env=env)
    if done.returncode:
        # Some options, such as f, can't be used together with q.
        done = run([program, *arguments], timeout=_TIMEOUT, env=env)
    if done.returncode:
        why = done.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise PsFailure(f"ps: {why or f'exit status {done.returncode}'}")
    return parse_table(done.stdout.decode(errors="replace"), pids)


def parse_table(text: str, pids: Collection[int]) -> Table:
    """Read what ``ps`` has printed.

    The last column takes all that is left of a line.  Threads, which have ``-`` for their
    process id, belong to the process above them.

    Raises:
        PsFailure: there is no column with process ids, or no number in it.
    """
    heading, *lines = text.split("\n")
    titles = _words(heading)
    if "PID" not in titles:
        raise PsFailure("Couldn't find PID field in ps output")
    column, last = titles.index("PID"), len(titles) - 1
    processes = []
    ours = False
    for line in lines:
        fields = _words(line)
        if len(fields) <= column:
            continue
        pid = fields[column]
        if pid != "-":
            if not pid.isdecimal():
                raise PsFailure(f"Unexpected pid '{pid}'")
            ours = int(pid) in pids
        if ours:
            processes.append([*fields[:last], " ".join(fields[last:])])
    return titles, processes


def _words(line: str) -> list[str]:
    return [word for word in _BLANKS.split(line) if word]
