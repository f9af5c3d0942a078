"""The docker CLI as users run it: with arguments, pipes and sometimes a terminal."""

import contextlib
import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.support.engine import TestEngine


class Done(NamedTuple):
    """The exit code and output of an invocation."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def word(self) -> str:
        """The output without its newline."""
        return self.out.strip()


class Docker:
    """Calls ``docker`` against one engine, with a configuration directory of its own."""

    def __init__(self, engine: TestEngine, config: Path) -> None:
        self.engine = engine
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("DOCKER_")}
        self.env = {**inherited, "DOCKER_HOST": engine.url, "DOCKER_CONFIG": str(config)}

    def __call__(
        self, *arguments: str, code: int = 0, stdin: str | bytes = b"", timeout: float = 30
    ) -> Done:
        """Run a command to its end and check its exit code; a hang is a failure."""
        done = subprocess.run(
            ["docker", *arguments],
            check=False,
            env=self.env,
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            timeout=timeout,
        )
        result = Done(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode())
        assert result.code == code, (arguments, result)
        return result

    def binary(self, *arguments: str, stdin: bytes = b"") -> bytes:
        """Return the bytes that an invocation writes to stdout."""
        return subprocess.run(
            ["docker", *arguments],
            check=True,
            env=self.env,
            input=stdin,
            capture_output=True,
            timeout=30,
        ).stdout

    def inspect(self, what: str, template: str) -> str:
        return self("inspect", "--format", template, what).word

    @contextlib.contextmanager
    def background(self, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
        """Run an invocation in the background, with pipes; kill it at the end if it still runs."""
        with subprocess.Popen(
            ["docker", *arguments],
            env=self.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        ) as process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()

    @contextlib.contextmanager
    def terminal(self, *arguments: str) -> Iterator["Terminal"]:
        """Run an invocation with a terminal."""
        terminal = Terminal(["docker", *arguments], self.env)
        try:
            yield terminal
        finally:
            terminal.close()


class Terminal:
    """A program whose stdin, stdout and stderr are a pseudo-terminal, and its other end."""

    def __init__(self, command: list[str], env: dict[str, str]) -> None:
        self.master, slave = pty.openpty()
        self.resize(31, 97)
        self.process = subprocess.Popen(
            command,
            env={**env, "TERM": "xterm"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            # Make it the controlling terminal, so that the program receives SIGWINCH.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - no threads
        )
        os.close(slave)
        self.seen = b""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: str | bytes) -> None:
        os.write(self.master, text.encode() if isinstance(text, str) else text)

    def expect(self, text: str, seconds: float = 15) -> str:
        """Read until ``text`` appears; return everything up to its end."""
        wanted = text.encode()
        deadline = time.monotonic() + seconds
        while wanted not in self.seen:
            left = deadline - time.monotonic()
            assert left > 0, (text, self.seen)
            if select.select([self.master], [], [], left)[0]:
                try:
                    data = os.read(self.master, 65536)
                except OSError:  # the program has closed the terminal
                    data = b""
                assert data, (text, self.seen)
                self.seen += data
        before, _, self.seen = self.seen.partition(wanted)
        return (before + wanted).decode()

    def ends(self, code: int, seconds: float = 15) -> str:
        """Read to the end, check the exit code, and return the text."""
        deadline = time.monotonic() + seconds
        with contextlib.suppress(OSError):
            while select.select([self.master], [], [], max(0, deadline - time.monotonic()))[0]:
                data = os.read(self.master, 65536)
                if not data:
                    break
                self.seen += data
        assert self.process.wait(max(0.1, deadline - time.monotonic())) == code, self.seen
        return self.seen.decode()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)


def read_until(process: "subprocess.Popen[bytes]", text: str, seconds: float = 15) -> str:
    """Read a background invocation's stdout until ``text`` appears."""
    assert process.stdout is not None
    wanted, seen = text.encode(), b""
    deadline = time.monotonic() + seconds
    while wanted not in seen:
        left = deadline - time.monotonic()
        assert left > 0, (text, seen)
        if select.select([process.stdout], [], [], left)[0]:
            data = os.read(process.stdout.fileno(), 65536)
            assert data, (text, seen)
            seen += data
    return seen.decode()
