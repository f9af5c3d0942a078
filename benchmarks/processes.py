"""What processes belong to an engine, and how much memory they take."""

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path


__all__ = ["kill_all", "of_engine", "pss", "tree"]


def _parents() -> dict[int, int]:
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                stat = (entry / "stat").read_text()
                found[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    return found


def tree(roots: Iterable[int]) -> set[int]:
    """These processes and everything below them."""
    children: dict[int, list[int]] = {}
    for pid, parent in _parents().items():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting.extend(children.get(pid, ()))
    return found


def of_engine(root: int | None, marks: Iterable[str]) -> set[int]:
    """The engine's processes: below its first one, or with its directories on the command line.

    The second is for those that an engine leaves to init: containerd's shims, podman's conmons.
    """
    words = [mark.encode() for mark in marks]
    marked = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes()
                if any(word in command for word in words):
                    marked.add(int(entry.name))
    return tree(marked | ({root} if root else set()))


def pss(pids: Iterable[int]) -> float:
    """Proportional set size in MiB: memory shared by n processes counts 1/n for each."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total / 1024


def kill_all(root: int | None, marks: Iterable[str], seconds: float = 10) -> None:
    """Kill what is left of an engine."""
    marks = list(marks)
    deadline = time.monotonic() + seconds
    while left := of_engine(root, marks):
        root = None  # its number may be given away once it is gone
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes {sorted(left)} do not end")
        time.sleep(0.05)
