"""The terminal between a person and a process: raw mode, its size, signals, both directions."""

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
from palan.client import Client, Response
from palan.client._sync.streams import Session
from palan.client.errors import ClientClosed, ClientError


__all__ = ["Terminal", "send_typed", "talk"]

_PASSED = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGUSR1)


class Terminal:
    """What stands at the other end of a session."""

    def __init__(self, *, tty: bool, stdin: bool, keys: str = "") -> None:
        """Look at standard input.

        Args:
            tty: whether the process has a terminal.
            stdin: whether it reads what is typed.
            keys: those that let go of a terminal, in docker's words.

        Raises:
            ValueError: it should be typed into from what is no terminal.
        """
        self.tty = tty
        self.stdin = stdin
        try:
            self.keys = DetachKeys(parse_keys(keys) if tty else b"")
        except InvalidParameter:
            self.keys = DetachKeys(DEFAULT_KEYS)
        if tty and stdin and not sys.stdin.isatty():
            raise ValueError("the input device is not a TTY")

    @staticmethod
    def size() -> tuple[int, int]:
        """Height and width in characters."""
        found = shutil.get_terminal_size()
        return found.lines, found.columns

    @contextlib.contextmanager
    def raw(self) -> Iterator[None]:
        """Every key goes to the process."""
        if not (self.tty and self.stdin):
            yield
            return
        descriptor = sys.stdin.fileno()
        before = termios.tcgetattr(descriptor)
        # Without discarding what was typed ahead.
        tty.setraw(descriptor, termios.TCSADRAIN)
        try:
            yield
        finally:
            termios.tcsetattr(descriptor, termios.TCSADRAIN, before)

    @contextlib.contextmanager
    def following(self, resize: Callable[[int, int], Any]) -> Iterator[None]:
        """Give the process's terminal the size of ours, now and whenever that changes."""
        if not self.tty:
            yield
            return

        def tell(*_: Any) -> None:
            # A process may have ended, or not begun; its size is of no interest then.
            with contextlib.suppress(ClientError):
                resize(*self.size())

        before = signal.signal(signal.SIGWINCH, lambda *_: threading.Thread(target=tell).start())
        tell()
        try:
            yield
        finally:
            signal.signal(signal.SIGWINCH, before)

    @contextlib.contextmanager
    def passing_signals(self, client: Client, identity: str, *, wanted: bool) -> Iterator[None]:
        """Give the process the signals that we get."""
        if not wanted:
            yield
            return

        def pass_on(number: int, _frame: Any) -> None:
            def kill() -> None:
                with contextlib.suppress(ClientError):
                    client.containers.kill(identity, signal=signal.Signals(number).name)

            threading.Thread(target=kill).start()

        before = {number: signal.signal(number, pass_on) for number in _PASSED}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextlib.contextmanager
    def waiting(self, client: Client, identity: str, condition: str) -> Iterator[Callable[[], int]]:
        """Wait for a container's end from now on, in a thread.

        Gives what tells its exit code; 0 if the session ended before it did (detached).
        """
        outcome: list[int] = []
        failure: list[Exception] = []
        asked = client.request(
            "POST", f"/containers/{identity}/wait", query={"condition": condition}, timeout=None
        )

        def wait() -> None:
            try:
                asked.raise_for_status()
                outcome.append(int(asked.json()["StatusCode"]))
            except Exception as error:  # noqa: BLE001 - told by whoever asks
                failure.append(error)

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()

        def ended() -> int:
            thread.join(10)
            if outcome:
                return outcome[0]
            if failure:
                raise failure[0]
            state = client.containers.inspect(identity).state
            return 0 if state.running else state.exit_code

        try:
            yield ended
        finally:
            asked.close()
            thread.join(5)


def talk(session: Session, terminal: Terminal) -> None:
    """Carry both directions until the process's output ends."""
    session.open()
    with terminal.raw():
        if terminal.stdin:
            send_typed(session, terminal.keys)
        try:
            for output in session:
                target = sys.stderr if output.stream == "stderr" else sys.stdout
                target.buffer.write(output.data)
                target.buffer.flush()
        except ClientClosed:
            if not terminal.keys.pressed:
                raise


def send_typed(target: Session | Response, keys: DetachKeys | None = None) -> None:
    """Send what is typed or piped in, and its end, while somebody else reads.

    Args:
        target: where to.
        keys: those at which it is closed instead.
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
