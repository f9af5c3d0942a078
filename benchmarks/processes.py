"""The processes that belong to an engine, and their memory."""

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
    """Return the pids of these processes and all their descendants."""
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
    """Return an engine's pids: descendants of its first one, or started with its directories.

    The second kind are processes that init has adopted: containerd's shims, podman's conmons.
    """
    encoded_marks = [mark.encode() for mark in marks]
    marked = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes()
                if any(mark in command for mark in encoded_marks):
                    marked.add(int(entry.name))
    return tree(marked | ({root} if root else set()))


def pss(pids: Iterable[int]) -> float:
    """Return the proportional set size in MiB: memory shared by n processes counts 1/n each."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
    return total / 1024


def kill_all(root: int | None, marks: Iterable[str], seconds: float = 10) -> None:
    """Kill all processes of an engine that are left."""
    marks = list(marks)
    deadline = time.monotonic() + seconds
    while left := of_engine(root, marks):
        root = None  # its pid may be reused after its end
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise TimeoutError(f"processes {sorted(left)} do not end")
        time.sleep(0.05)
