"""The output of ``ps -ef`` for machines without ``ps``, which are mostly small container images."""

import os
import pwd
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final


__all__ = ["FULL", "full_table"]

FULL: Final = ("UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD")

_TICKS: Final = 100
_DAY: Final = 86400
_PTS: Final = range(136, 144)
"""Major numbers of pseudoterminals."""


def full_table(pids: Iterable[int]) -> list[list[str]]:
    """Return a line for each process that still exists, ordered by pid."""
    lines = []
    for pid in sorted(pids):
        try:
            lines.append(_line(Path(f"/proc/{pid}")))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return lines


def _line(process: Path) -> list[str]:
    stat = (process / "stat").read_bytes()
    name = os.fsdecode(stat[stat.index(b"(") + 1 : stat.rindex(b")")])
    fields = stat[stat.rindex(b")") + 2 :].split()
    arguments = (process / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ")
    spent = (int(fields[11]) + int(fields[12])) / _TICKS
    age = max(time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / _TICKS, 0.01)
    return [
        _user(process.stat().st_uid),
        process.name,
        fields[1].decode(),
        str(min(99, int(spent * 100 / age))),
        _moment(time.time() - age, age),
        _terminal(int(fields[4])),
        f"{int(spent) // 3600:02}:{int(spent) // 60 % 60:02}:{int(spent) % 60:02}",
        os.fsdecode(arguments).strip() or f"[{name}]",
    ]


def _user(uid: int) -> str:
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
    return name if len(name) <= 8 else f"{name[:7]}+"


def _moment(started: float, age: float) -> str:
    return time.strftime("%H:%M" if age < _DAY else "%b%d", time.localtime(started))


def _terminal(number: int) -> str:
    major, minor = os.major(number), os.minor(number)
    if major in _PTS:
        return f"pts/{(major - _PTS.start) * 256 + minor}"
    if major == 4:
        return f"tty{minor}" if minor < 64 else f"ttyS{minor - 64}"
    return "?"
