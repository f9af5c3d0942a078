"""The local terminal of a session: raw mode, size, signals, and the bytes in both directions."""

import contextlib
import os
import shutil
import signal
import sys
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from typing import Any

from palan.api.detach_keys import DEFAULT_KEYS, DetachKeys, parse_keys
from palan.api.errors import InvalidParameter
from palan.cli.verbs.verb import Refused
from palan.client import Client, Response
from palan.client._sync.streams import Session
from palan.client.errors import ClientClosed, ClientError


__all__ = ["Terminal", "relay", "send_stdin"]

_FORWARDED = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1)


_FORCED_AFTER = 3
"""The number of SIGINT and SIGTERM signals after which this process ends, as docker does."""


class Terminal:
    """The local end of a session: standard input, and the terminal if it is one."""

    def __init__(self, *, tty: bool, stdin: bool, keys: str = "") -> None:
        """Check that standard input fits the process.

        Args:
            tty: whether the process has a terminal.
            stdin: whether the process reads standard input.
            keys: the key sequence for detaching, in docker's notation.

        Raises:
            Refused: the process has a terminal and reads input, but stdin is no terminal.
        """
        self.tty = tty
        self.stdin = stdin
        try:
            self.keys = DetachKeys(parse_keys(keys) if tty else b"")
        except InvalidParameter:
            self.keys = DetachKeys(DEFAULT_KEYS)
        if tty and stdin and not sys.stdin.isatty():
            raise Refused("the input device is not a TTY")

    @staticmethod
    def size() -> tuple[int, int]:
        """Return the terminal's height and width in characters."""
        found = shutil.get_terminal_size()
        return found.lines, found.columns

    @contextlib.contextmanager
    def raw(self) -> Iterator[None]:
        """Switch the terminal to raw mode, in which every key is sent to the process."""
        if not (self.tty and self.stdin):
            yield
            return
        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
        # TCSADRAIN keeps characters that were typed ahead.
        tty.setraw(descriptor, termios.TCSADRAIN)
        try:
            yield
        finally:
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)

    @contextlib.contextmanager
    def synchronized_size(self, resize: Callable[[int, int], Any]) -> Iterator[None]:
        """Give the process's terminal the size of this one, now and whenever that changes."""
        if not self.tty:
            yield
            return

        def send_size(*_: Any) -> None:
            # The process may have ended, or not have begun; the engine then reports an error.
            with contextlib.suppress(ClientError):
                resize(*self.size())

        before = signal.signal(
            signal.SIGWINCH, lambda *_: threading.Thread(target=send_size).start()
        )
        send_size()
        try:
            yield
        finally:
            signal.signal(signal.SIGWINCH, before)

    @contextlib.contextmanager
    def forwarded_signals(self, client: Client, identity: str, *, wanted: bool) -> Iterator[None]:
        """Forward the signals that this process receives to the container's process."""
        if not wanted:
            yield
            return

        ends = 0

        def forward(number: int, _frame: Any) -> None:
            nonlocal ends
            ends += number in (signal.SIGINT, signal.SIGTERM)
            if ends >= _FORCED_AFTER:
                text = f"\ngot {ends} SIGTERM/SIGINTs, forcefully exiting\n"
                os.write(2, text.encode())
                os._exit(1)

            def kill() -> None:
                with contextlib.suppress(ClientError):
                    client.containers.kill(identity, signal=signal.Signals(number).name)

            threading.Thread(target=kill).start()

        before = {number: signal.signal(number, forward) for number in _FORWARDED}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def waiting(self, client: Client, identity: str, condition: str) -> Iterator[Callable[[], int]]:
        """Wait for a container's end from now on, in a thread.

        Yields:
            A function that returns the exit code; 0 if the container is still running.
        """
        outcome: list[int] = []
        failure: list[Exception] = []
        response = client.request(
            "POST", f"/containers/{identity}/wait", query={"condition": condition}, timeout=None
        )

        def wait() -> None:
            try:
                response.raise_for_status()
                outcome.append(int(response.json()["StatusCode"]))
            except Exception as error:  # noqa: BLE001 - raised where the exit code is asked for
                failure.append(error)

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()

        def exit_code() -> int:
            thread.join(10)
            if outcome:
                return outcome[0]
            if failure:
                raise failure[0]
            state = client.containers.inspect(identity).state
            return 0 if state.running else state.exit_code

        try:
            yield exit_code
        finally:
            response.close()
            thread.join(5)


def relay(session: Session, terminal: Terminal) -> None:
    """Carry bytes in both directions until the process's output ends."""
    session.open()
    with terminal.raw():
        if terminal.stdin:
            send_stdin(session, terminal.keys)
        try:
            for output in session:
                target = sys.stderr if output.stream == "stderr" else sys.stdout
                target.buffer.write(output.data)
                target.buffer.flush()
        except ClientClosed:
            if not terminal.keys.pressed:
                raise


def send_stdin(target: Session | Response, keys: DetachKeys | None = None) -> None:
    """Send standard input and its end in a thread, while the caller reads the output.

    Args:
        target: the session to send to.
        keys: the key sequence that closes the session instead of being sent.
    """
    threading.Thread(target=_send, args=(target, keys or DetachKeys(b"")), daemon=True).start()


def _send(target: Session | Response, keys: DetachKeys) -> None:
    with contextlib.suppress(ClientError, OSError):
        while data := os.read(sys.stdin.fileno(), 1 << 16):
            wanted = keys.feed(data)
            if wanted:
                target.send(wanted)
            if keys.pressed:
                target.close()
                return
        target.close_input()
