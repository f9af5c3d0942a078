"""Texts in the Dockerfile itself, as BuildKit has them: files to copy, scripts to run.

dockerd's classic builder ignores them without a word.
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


__all__ = ["SCRIPTS", "Command", "command_with", "is_heredoc", "keep_text"]

SCRIPTS: Final = "/dev/pipes"
"""Where a script that says what runs it is found."""

_WORD: Final = re.compile(r"\d*<<-?([\"']?)[^\s<\"']+\1")


def is_heredoc(word: str, files: Sequence[Heredoc]) -> bool:
    """Whether a source of ``COPY`` stands for a text."""
    return bool(files) and _WORD.fullmatch(word) is not None


def _text(heredoc: Heredoc) -> str:
    """What it says, without the tabs that do not count."""
    if not heredoc.chomp:
        return heredoc.content
    return re.sub(r"^\t+", "", heredoc.content, flags=re.MULTILINE)


def keep_text(heredoc: Heredoc, state: State, place: Path) -> Picked:
    """Make a file of a text, to be copied.  Blocking.

    Args:
        heredoc: the text.
        state: the stage, whose variables are replaced in it.
        place: a new directory for it.

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
    """What ``RUN`` runs.

    Attributes:
        words: its words, or the one line of them for a shell.
        script: the text of a file that the line names, in :data:`SCRIPTS`; "" for none.
        name: what that file is called.
    """

    words: tuple[str, ...]
    script: str = ""
    name: str = ""

    def write_script(self, directory: Path) -> None:
        """Make the file, in a new directory.  Blocking."""
        directory.mkdir()
        directory.chmod(0o755)
        file = directory / self.name
        file.write_bytes(self.script.encode("utf-8", "surrogateescape"))
        file.chmod(0o755)


def command_with(step: Run) -> Command:
    """A command with the texts that its line refers to."""
    if not step.files or not step.command.shell:
        return Command(step.command.words)
    line = step.command.words[0]
    if _WORD.fullmatch(line.strip()):
        script = _text(step.files[0])
        if script.startswith("#!"):
            name = step.files[0].name.replace("/", "_")
            return Command((f"{SCRIPTS}/{name}",), script, name)
        return Command((script,))
    # The shell reads them as it always does.
    return Command(("\n".join([line, *(f"{file.content}{file.name}" for file in step.files)]),))
