"""Heredocs: texts in the Dockerfile itself that are files to copy or scripts to run.

They are a feature of BuildKit; dockerd's classic builder ignores them silently.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from palan.dockerfile import Heredoc, Run
from palan.engine.builder.checksums import Checksums
from palan.engine.builder.selection import Picked
from palan.engine.builder.state import State


__all__ = ["SCRIPTS", "Command", "command_with", "is_heredoc", "write_text"]

SCRIPTS: Final = "/dev/pipes"
"""The directory in the container of scripts that begin with ``#!``."""

_WORD: Final = re.compile(r"\d*<<-?([\"']?)[^\s<\"']+\1")


def is_heredoc(word: str, files: Sequence[Heredoc]) -> bool:
    """Whether a source of ``COPY`` is a heredoc."""
    return bool(files) and _WORD.fullmatch(word) is not None


def _text(heredoc: Heredoc) -> str:
    """Return the text, without leading tabs if it was written with ``<<-``."""
    if not heredoc.chomp:
        return heredoc.content
    return re.sub(r"^\t+", "", heredoc.content, flags=re.MULTILINE)


def write_text(heredoc: Heredoc, state: State, place: Path) -> Picked:
    """Write a text into a file, to be copied.  Blocking.

    Args:
        heredoc: the text.
        state: the stage with the variables to replace in the text.
        place: a directory to create for the file.

    Raises:
        InvalidParameter: its variables can't be replaced.
    """
    text = _text(heredoc)
    if heredoc.expand:
        text = state.text(text)
    place.mkdir()
    file = place / heredoc.name.replace("/", "_")
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    file.chmod(0o644)
    os.utime(file, (0, 0))
    root = os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return Picked(file.name, Checksums(root).of(file.name), fetched=True)
    finally:
        os.close(root)


@dataclass(frozen=True, slots=True)
class Command:
    """The command of ``RUN``.

    Attributes:
        words: the command's words, or its one line for a shell.
        script: the text of a file in :data:`SCRIPTS` that the line names; empty for none.
        name: the name of that file.
    """

    words: tuple[str, ...]
    script: str = ""
    name: str = ""

    def write_script(self, directory: Path) -> None:
        """Write the script into a new directory.  Blocking."""
        directory.mkdir()
        directory.chmod(0o755)
        file = directory / self.name
        file.write_bytes(self.script.encode("utf-8", "surrogateescape"))
        file.chmod(0o755)


def command_with(step: Run) -> Command:
    """Return the command of a step, with the heredocs that its line refers to."""
    if not step.files or not step.command.shell:
        return Command(step.command.words)
    line = step.command.words[0]
    if _WORD.fullmatch(line.strip()):
        script = _text(step.files[0])
        if script.startswith("#!"):
            name = step.files[0].name.replace("/", "_")
            return Command((f"{SCRIPTS}/{name}",), script, name)
        return Command((script,))
    # The shell reads the heredocs itself.
    return Command(("\n".join([line, *(f"{file.content}{file.name}" for file in step.files)]),))
