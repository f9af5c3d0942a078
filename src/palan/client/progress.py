"""Progress bars for pulls, pushes and builds, with rich (``pip install "palan[progress]"``)."""

from types import TracebackType
from typing import Self

from palan.api.images import JSONMessage


try:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TaskID,
        TextColumn,
        TransferSpeedColumn,
    )
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f'progress bars need the package rich: pip install "palan[progress]" ({error})',
        name=error.name,
    ) from None


__all__ = ["ProgressBars"]


class ProgressBars:
    """A progress bar for each layer; pass it as ``progress=`` to a call.

    Use it as a context manager, which restores the terminal at the end.
    """

    def __init__(self, console: Console | None = None) -> None:
        """Prepare bars.

        Args:
            console: the console to draw on; None is standard output.
        """
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def __call__(self, message: JSONMessage) -> None:
        """Show one message of an engine."""
        if message.stream:
            self._progress.console.print(message.stream, end="", markup=False, highlight=False)
        elif message.status and not message.id:
            self._progress.console.print(message.status, markup=False, highlight=False)
        elif message.status and message.id:
            if message.id not in self._tasks:
                self._tasks[message.id] = self._progress.add_task(message.id, total=None)
            detail = message.progress_detail
            self._progress.update(
                self._tasks[message.id],
                description=f"{message.id}: {message.status}",
                completed=detail.current if detail else None,
                total=detail.total if detail and detail.total > 0 else None,
            )
