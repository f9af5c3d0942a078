"""The progress of pulls, pushes and builds on a terminal: a line for each layer.

Where the output is no terminal, each change of a layer's state is a line, without the bars.
"""

import shutil
from types import TracebackType
from typing import Final, Self, TextIO

from palan.api.images import JSONMessage
from palan.cli.verbs.table import size


__all__ = ["Progress"]

_BAR_WIDTH: Final = 30


class Progress:
    """Prints the progress messages of an engine; called with each of them."""

    def __init__(self, stream: TextIO, *, quiet: bool = False) -> None:
        self._stream = stream
        self._quiet = quiet
        self._terminal = stream.isatty()
        self._lines: list[str] = []
        self._last: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stream.flush()

    def __call__(self, message: JSONMessage) -> None:
        """Show one message."""
        if self._quiet:
            return
        if message.stream:
            self._stream.write(message.stream)
            self._stream.flush()
        elif message.status and message.id:
            self._show_layer(message.id, message.status, self._bar(message))
        elif message.status:
            self._stream.write(f"{message.status}\n")
            self._lines.clear()
            self._stream.flush()

    def _show_layer(self, identity: str, status: str, bar: str) -> None:
        if not self._terminal:
            if self._last.get(identity) != status:
                self._last[identity] = status
                self._stream.write(f"{identity}: {status}\n")
            return
        if identity not in self._lines:
            self._lines.append(identity)
            self._stream.write("\n")
        up = len(self._lines) - self._lines.index(identity)
        text = f"{identity}: {status} {bar}".rstrip()
        width = shutil.get_terminal_size().columns
        self._stream.write(f"\x1b[{up}A\r\x1b[2K{text[: width - 1]}\x1b[{up}B\r")
        self._stream.flush()

    @staticmethod
    def _bar(message: JSONMessage) -> str:
        detail = message.progress_detail
        if not detail or not detail.current:
            return ""
        if detail.total <= 0:
            return size(detail.current)
        done = min(1.0, detail.current / detail.total)
        filled = int(done * _BAR_WIDTH)
        bar = "=" * filled + (">" if filled < _BAR_WIDTH else "")
        return f"[{bar:<{_BAR_WIDTH}}] {size(detail.current)}/{size(detail.total)}"
