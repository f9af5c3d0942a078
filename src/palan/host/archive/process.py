"""Start the confined child process of this package, and parse its answer."""

import contextlib
import fcntl
import functools
import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, Final

from palan.host.archive.headers import ArchiveError


__all__ = ["enlarge_pipe", "read_answer", "start"]

_PIPE: Final = 1 << 20
_SOURCE: Final = str(Path(__file__).resolve().parents[3])


@functools.cache
def _program() -> str:
    """Return the child's Python code; the directory of ISA-L is last in its module path."""
    isal = find_spec("isal")
    path = [str(Path(isal.origin).parents[1])] if isal and isal.origin else []
    return f"""
import sys
sys.path = [{_SOURCE!r}, *sys.path, *{path!r}]
from palan.host.archive.child import main
main()
"""


def start(
    task: dict[str, Any],
    *,
    stdin: IO[bytes] | int,
    stdout: IO[bytes] | int,
    stderr: IO[bytes] | int,
    pass_fds: tuple[int, ...] = (),
) -> "subprocess.Popen[bytes]":
    """Start the child with a task; without site packages, except for ISA-L."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _program(), json.dumps(task)],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        pass_fds=pass_fds,
        env={"PATH": os.defpath},
        cwd="/",
    )


def enlarge_pipe(pipe: IO[bytes]) -> None:
    """Enlarge a pipe to a megabyte, if permitted, to reduce context switches."""
    with contextlib.suppress(OSError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE)


def read_answer(data: bytes, status: int, errors: str = "") -> dict[str, Any]:
    """Parse the child's answer.

    Raises:
        ArchiveError: the archive is invalid, or the child was killed.
        OSError: the file system rejected an operation.
    """
    try:
        answer: dict[str, Any] = json.loads(data)
    except ValueError:
        last = (errors or data.decode("utf-8", "replace")).strip().rsplit("\n", 1)[-1]
        raise ArchiveError(f"the archive process failed with status {status}: {last}") from None
    if answer.get("errno"):
        raise OSError(answer["errno"], answer["error"])
    if "error" in answer:
        raise ArchiveError(answer["error"])
    return answer
