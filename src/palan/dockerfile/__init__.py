"""Dockerfiles, read without any I/O.

:func:`read` makes typed instructions of a file; what their variables are, and what they do,
is the builder's business (:mod:`palan.engine.builder`), with the help of :func:`expand`.
:class:`Ignore` says what of a directory does not belong to a build.
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
