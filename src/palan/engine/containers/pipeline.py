"""Operations of steps that are done in order, and undone in reverse when one fails."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any


__all__ = ["Step", "Steps", "do_steps", "undo_steps"]


class Step(ABC):
    """A part of an operation that can be undone.

    Attributes:
        name: a word for the log.
    """

    name: str

    @abstractmethod
    async def do(self) -> None:
        """Do the step; when this raises, :meth:`undo` is called as well."""

    @abstractmethod
    async def undo(self) -> None:
        """Undo the step as far as it was done.

        Harmless where nothing was done, so that it can be repeated after a crash at any point.
        """


Steps = Sequence[Step | tuple[Step, ...]]
"""Steps in the order in which they are done; those of a tuple are done at the same time."""


async def do_steps(steps: Steps, log: Any) -> None:
    """Do all steps, or none: when one fails, those that were begun are undone in reverse.

    Args:
        steps: the steps.
        log: receives a warning for each step that can't be undone.

    Raises:
        BaseException: the failure of the first step that fails.
    """
    begun: list[Step | tuple[Step, ...]] = []
    try:
        for step in steps:
            begun.append(step)
            if isinstance(step, tuple):
                await _do_together(step)
            else:
                await step.do()
    except BaseException:
        await undo_steps(begun, log)
        raise


async def _do_together(steps: Iterable[Step]) -> None:
    tasks = [asyncio.create_task(step.do()) for step in steps]
    try:
        await asyncio.wait(tasks)
    finally:
        # Threads can't be cancelled: nothing is undone before the last step has ended.
        await asyncio.wait(tasks)
    failures = [failure for task in tasks if (failure := task.exception()) is not None]
    if failures:
        raise failures[-1]


async def undo_steps(steps: Steps, log: Any) -> None:
    """Undo steps in reverse order; one that fails does not keep the others from it.

    Args:
        steps: the steps, in the order in which they are done.
        log: receives a warning for each step that can't be undone.
    """
    for step in reversed(steps):
        if isinstance(step, tuple):
            await undo_steps(step, log)
            continue
        try:
            await step.undo()
        except Exception:
            log.warning("a step is not undone", step=step.name, exc_info=True)
