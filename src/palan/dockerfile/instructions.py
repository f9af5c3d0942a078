"""The instructions of a Dockerfile, typed.

Variables are not replaced yet: their values depend on the instructions before.
Source: Docker's documentation, "Dockerfile reference".
"""

from dataclasses import dataclass


__all__ = [
    "Add",
    "Arg",
    "Cmd",
    "Command",
    "Copy",
    "Dockerfile",
    "Entrypoint",
    "Env",
    "Expose",
    "Healthcheck",
    "Heredoc",
    "Instruction",
    "Label",
    "Maintainer",
    "OnBuild",
    "Run",
    "Shell",
    "Stage",
    "StopSignal",
    "User",
    "Volume",
    "Workdir",
]


@dataclass(frozen=True, slots=True)
class Heredoc:
    """A here-document: a text that is part of the Dockerfile.

    Attributes:
        name: the delimiter, the word that ends the text.
        content: the text, with its last newline.
        expand: replace variables in the text.
        chomp: strip leading tabs from its lines (``<<-``).
        descriptor: the file descriptor before ``<<``, 0 if absent.
    """

    name: str
    content: str = ""
    expand: bool = True
    chomp: bool = False
    descriptor: int = 0


@dataclass(frozen=True, slots=True)
class Command:
    """The command line of a process.

    Attributes:
        words: its arguments, or one whole line if a shell has to parse it.
        shell: the command is a line for a shell.
    """

    words: tuple[str, ...]
    shell: bool


@dataclass(frozen=True, slots=True)
class Instruction:
    """The attributes that all instructions have.

    Attributes:
        line: number of its first line, from 1.
        source: its text, joined into one line.
    """

    line: int
    source: str


@dataclass(frozen=True, slots=True)
class Add(Instruction):
    """``ADD``: copy files of the context, archives and downloads.

    Attributes:
        sources: paths and URLs; includes the names of ``files``.
        destination: a path; relative ones start at the working directory.
        chown: ``user:group``, by name or number; "" is root.
        chmod: an octal mode; "" keeps the modes of the sources.
        link: make a layer that does not depend on those below.
        exclude: patterns of files to leave out.
        files: here-documents used as sources.
        checksum: the digest that the content of a URL must have.
        keep_git_dir: keep ``.git`` of a cloned repository.
        unpack: unpack archives; None is the default for the kind of source.
    """

    sources: tuple[str, ...]
    destination: str
    chown: str = ""
    chmod: str = ""
    link: bool = False
    exclude: tuple[str, ...] = ()
    files: tuple[Heredoc, ...] = ()
    checksum: str = ""
    keep_git_dir: bool = False
    unpack: bool | None = None


@dataclass(frozen=True, slots=True)
class Copy(Instruction):
    """``COPY``: copy files of the context, of another stage or of another image.

    Attributes:
        sources: paths; includes the names of ``files``.
        destination: a path; relative ones start at the working directory.
        from_: the stage or image to copy from; "" is the context.
        chown: ``user:group``, by name or number; "" is root.
        chmod: an octal mode; "" keeps the modes of the sources.
        link: make a layer that does not depend on those below.
        parents: keep the parent directories of sources.
        exclude: patterns of files to leave out.
        files: here-documents used as sources.
    """

    sources: tuple[str, ...]
    destination: str
    from_: str = ""
    chown: str = ""
    chmod: str = ""
    link: bool = False
    parents: bool = False
    exclude: tuple[str, ...] = ()
    files: tuple[Heredoc, ...] = ()


@dataclass(frozen=True, slots=True)
class Arg(Instruction):
    """``ARG``: build arguments and their defaults, None for an argument without a default."""

    pairs: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True)
class Cmd(Instruction):
    """``CMD``: the default command of containers."""

    command: Command


@dataclass(frozen=True, slots=True)
class Entrypoint(Instruction):
    """``ENTRYPOINT``: the program that receives the command as arguments."""

    command: Command


@dataclass(frozen=True, slots=True)
class Env(Instruction):
    """``ENV``: environment variables."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Expose(Instruction):
    """``EXPOSE``: ports, as ``80``, ``80/udp`` or ``80-90/tcp``."""

    ports: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Healthcheck(Instruction):
    """``HEALTHCHECK``: the command that tells whether a container is healthy.

    Attributes:
        test: as in the API: ``NONE``, or ``CMD`` or ``CMD-SHELL`` and arguments.
        interval: nanoseconds between two checks; 0 is the default, here and below.
        timeout: nanoseconds after which a check has failed.
        start_period: nanoseconds after the start in which failures do not count.
        start_interval: nanoseconds between two checks in the start period.
        retries: number of consecutive failures that make the container unhealthy.
    """

    test: tuple[str, ...]
    interval: int = 0
    timeout: int = 0
    start_period: int = 0
    start_interval: int = 0
    retries: int = 0


@dataclass(frozen=True, slots=True)
class Label(Instruction):
    """``LABEL``: labels of the image."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Maintainer(Instruction):
    """``MAINTAINER``: the author of the image; deprecated."""

    name: str


@dataclass(frozen=True, slots=True)
class OnBuild(Instruction):
    """``ONBUILD``: an instruction for builds that are based on this image."""

    trigger: str


@dataclass(frozen=True, slots=True)
class Run(Instruction):
    """``RUN``: run a process; the files that it changes become a layer.

    Attributes:
        command: the command to run.
        flags: options as written, without the dashes: ``mount=type=cache,...``.
        files: here-documents of the command.
    """

    command: Command
    flags: tuple[str, ...] = ()
    files: tuple[Heredoc, ...] = ()


@dataclass(frozen=True, slots=True)
class Shell(Instruction):
    """``SHELL``: the shell that runs command lines."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StopSignal(Instruction):
    """``STOPSIGNAL``: the signal that stops containers."""

    signal: str


@dataclass(frozen=True, slots=True)
class User(Instruction):
    """``USER``: the user and group of processes, ``user[:group]``."""

    user: str


@dataclass(frozen=True, slots=True)
class Volume(Instruction):
    """``VOLUME``: directories that become volumes in containers."""

    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Workdir(Instruction):
    """``WORKDIR``: the working directory; relative paths start at the previous one."""

    path: str


@dataclass(frozen=True, slots=True)
class Stage:
    """A build stage: a ``FROM`` and the instructions after it.

    Attributes:
        line: number of the line of the ``FROM``, from 1.
        source: the text of the ``FROM``.
        base: an image, ``scratch`` or the name of an earlier stage; may have variables.
        name: the name of the stage in lower case; "" if it has none.
        platform: the platform of the base, may have variables; "" leaves it to the builder.
        instructions: the instructions after the ``FROM``.
    """

    line: int
    source: str
    base: str
    name: str
    platform: str
    instructions: tuple[Instruction, ...]


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """A parsed Dockerfile.

    Attributes:
        stages: at least one.
        meta_args: the ``ARG`` instructions before the first stage, used by the ``FROM`` lines.
        escape: the escape character.
        warnings: messages about deprecated syntax.
    """

    stages: tuple[Stage, ...]
    meta_args: tuple[Arg, ...]
    escape: str
    warnings: tuple[str, ...]
