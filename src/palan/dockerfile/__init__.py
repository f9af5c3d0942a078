"""Parser for Dockerfiles; does no I/O.

:func:`read` parses a file into typed instructions. Variables are not replaced here: the
builder (:mod:`palan.engine.builder`) does that with :func:`expand`, because their values depend
on the instructions before. :class:`Ignore` applies the patterns of a ``.dockerignore``.
Source: Docker's documentation, "Dockerfile reference"; wording of errors: dockerd 29.
"""

from palan.dockerfile.errors import DockerfileError
from palan.dockerfile.ignore import Ignore, Verdict
from palan.dockerfile.instructions import (
    Add,
    Arg,
    Cmd,
    Command,
    Copy,
    Dockerfile,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Heredoc,
    Instruction,
    Label,
    Maintainer,
    OnBuild,
    Run,
    Shell,
    Stage,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from palan.dockerfile.read import parse_instruction, read
from palan.dockerfile.words import expand, expand_words


__all__ = [
    "Add",
    "Arg",
    "Cmd",
    "Command",
    "Copy",
    "Dockerfile",
    "DockerfileError",
    "Entrypoint",
    "Env",
    "Expose",
    "Healthcheck",
    "Heredoc",
    "Ignore",
    "Instruction",
    "Label",
    "Maintainer",
    "OnBuild",
    "Run",
    "Shell",
    "Stage",
    "StopSignal",
    "User",
    "Verdict",
    "Volume",
    "Workdir",
    "expand",
    "expand_words",
    "parse_instruction",
    "read",
]
