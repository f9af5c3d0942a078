"""``ps`` for the processes of a container: run it and parse its table."""

import os
import re
from collections.abc import Collection, Sequence
from typing import Final

from palan.host.oci_runtime import find_programs
from palan.host.ps_table import FULL, full_table
from palan.host.spawn import run


__all__ = ["PsFailure", "false_pid_column", "list_processes", "parse_table"]

_TIMEOUT: Final = 20.0
_RENAMED: Final = re.compile(r"\s+([^\s]*)=\s*(PID[^\s]*)")
_BLANKS: Final = re.compile(r"[ \t\n\f\r]+")
"""Characters that separate words; program names may contain other kinds of blanks."""

Table = tuple[list[str], list[list[str]]]
"""The column titles, and the fields of each process."""


class PsFailure(Exception):
    """``ps`` rejects its arguments, or does not print process ids."""


def false_pid_column(arguments: str) -> str:
    """Return an option that titles another column ``PID``, such as ``comm=PID``; "" if none."""
    for name, title in _RENAMED.findall(arguments):
        if name != "pid":
            return f"{name}={title}"
    return ""


def list_processes(arguments: Sequence[str], pids: Collection[int]) -> Table:
    """Run ``ps`` and return the lines of some processes. Blocking, 10 ms or more.

    Args:
        arguments: the arguments of ``ps``.
        pids: the processes.

    Raises:
        PsFailure: the arguments are unusable.
        OSError: ``ps`` is not installed; only ``-ef`` works without it.
        TimeoutError: ``ps`` hangs.
    """
    program = find_programs(["ps"]).get("ps")
    if program is None:
        if list(arguments) != ["-ef"]:
            raise FileNotFoundError(
                "ps is not installed on this machine (package procps); only -ef works without it"
            )
        return list(FULL), full_table(pids)
    chosen = f"-q{','.join(map(str, sorted(pids)))}"
    # Full line length, regardless of the terminal in which the engine was started.
    env = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    done = run([program, *arguments, chosen], timeout=_TIMEOUT, env=env)
    if done.returncode:
        # Some options, such as f, cannot be combined with q.
        done = run([program, *arguments], timeout=_TIMEOUT, env=env)
    if done.returncode:
        why = done.stderr.decode(errors="replace").strip().partition("\n")[0]
        raise PsFailure(f"ps: {why or f'exit status {done.returncode}'}")
    return parse_table(done.stdout.decode(errors="replace"), pids)


def parse_table(text: str, pids: Collection[int]) -> Table:
    """Parse the output of ``ps``.

    The last column takes the rest of a line. Threads, which have ``-`` as process id, belong to
    the process above them.

    Raises:
        PsFailure: there is no column of process ids, or it contains no numbers.
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
