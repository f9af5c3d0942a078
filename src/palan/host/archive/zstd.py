"""Inflating of zstd with the program of that name, as Python 3.11 has no module for it."""

import contextlib
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from typing import IO

from palan.host.archive.headers import ArchiveError
from palan.host.archive.reader import Source


__all__ = ["start_zstd", "unzstd"]

_PIECE = 256 << 10


def start_zstd(stdin: IO[bytes] | int, stderr: IO[bytes] | int) -> "subprocess.Popen[bytes]":
    """Start inflating; the result can be read from the process's standard output.

    Raises:
        ArchiveError: the program is not installed.
    """
    try:
        return subprocess.Popen(
            ["zstd", "-dcq", "--no-progress", "-M128MB"],
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=stderr,
        )
    except FileNotFoundError:
        raise ArchiveError(
            "the archive is compressed with zstd: install the zstd program to unpack it"
        ) from None


@contextlib.contextmanager
def unzstd(source: Source) -> Iterator[Source]:
    """Yield a source of the inflated bytes; a thread reads the original source."""
    failures: list[BaseException] = []

    def feed(stdin: IO[bytes]) -> None:
        try:
            with stdin:
                while piece := source():
                    stdin.write(piece)
        except BrokenPipeError:
            pass
        except BaseException as error:  # noqa: BLE001 - handed over to the reader
            failures.append(error)

    with tempfile.TemporaryFile() as errors:
        process = start_zstd(subprocess.PIPE, errors)
        assert process.stdin  # noqa: S101 - for the type checker
        assert process.stdout  # noqa: S101
        feeder = threading.Thread(target=feed, args=(process.stdin,), daemon=True)
        feeder.start()
        stdout = process.stdout

        def read() -> bytes:
            piece = stdout.read(_PIECE)
            if piece:
                return piece
            feeder.join()
            if failures:
                raise failures[0]
            if process.wait() > 0:
                errors.seek(0)
                raise ArchiveError(
                    f"invalid zstd data: {errors.read(4096).decode('utf-8', 'replace').strip()}"
                )
            return b""

        try:
            yield read
        finally:
            process.kill()
            process.wait()
            stdout.close()
