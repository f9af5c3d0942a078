"""The instructions of a Dockerfile, typed.

Variables in them are not replaced yet: what they are depends on the instructions before.
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
    """A text that stands in the Dockerfile itself.

    Attributes:
        name: the word that ends it.
        content: the text, with its last newline.
        expand: variables in it are replaced.
        chomp: tabs before its lines do not count (``<<-``).
        descriptor: the file descriptor before ``<<``, 0 if there is none.
    """

    name: str
    content: str = ""
    expand: bool = True
    chomp: bool = False
    descriptor: int = 0


@dataclass(frozen=True, slots=True)
class Command:
    """What a process is started with.

    Attributes:
        words: its arguments; the whole line where a shell has to read it.
        shell: it is a line for a shell.
    """

    words: tuple[str, ...]
    shell: bool


@dataclass(frozen=True, slots=True)
class Instruction:
    """What all instructions have.

    Attributes:
        line: where it begins, from 1.
        source: as it was written, on one line.
    """

    line: int
    source: str


@dataclass(frozen=True, slots=True)
class Add(Instruction):
    """``ADD``: files of the context, archives and what URLs lead to.

    Attributes:
        sources: paths and URLs; names of ``files`` are among them.
        destination: a path, relative to the working directory.
        chown: ``user:group``, by name or number; "" is root.
        chmod: an octal mode; "" leaves modes alone.
        link: make a layer that does not depend on those below.
        exclude: patterns of what is left out.
        files: texts in the Dockerfile that are sources.
        checksum: what the digest of a URL's content must be.
        keep_git_dir: keep ``.git`` of a repository.
        unpack: whether archives are unpacked; None is the default of the kind of source.
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
    """``COPY``: files of the context, of another stage or of another image.

    Attributes:
        sources: paths; names of ``files`` are among them.
        destination: a path, relative to the working directory.
        from_: the stage or image to copy from; "" is the context.
        chown: ``user:group``, by name or number; "" is root.
        chmod: an octal mode; "" leaves modes alone.
        link: make a layer that does not depend on those below.
        parents: keep the directories above sources.
        exclude: patterns of what is left out.
        files: texts in the Dockerfile that are sources.
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
    """``ARG``: variables that whoever builds may set; their defaults, None for none."""

    pairs: tuple[tuple[str, str | None], ...]


@dataclass(frozen=True, slots=True)
class Cmd(Instruction):
    """``CMD``: what containers run unless they are told otherwise."""

    command: Command


@dataclass(frozen=True, slots=True)
class Entrypoint(Instruction):
    """``ENTRYPOINT``: what stands before any command of containers."""

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
    """``HEALTHCHECK``: how to tell whether containers are well.

    Attributes:
        test: as in the API: ``NONE``, or ``CMD`` or ``CMD-SHELL`` and arguments.
        interval: nanoseconds between two checks; 0 is the default, here and below.
        timeout: nanoseconds that one may take.
        start_period: nanoseconds at the beginning in which failures do not count.
        start_interval: nanoseconds between two checks in that time.
        retries: so many failures in a row are bad health.
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
    """``MAINTAINER``: the author; out of use since long."""

    name: str


@dataclass(frozen=True, slots=True)
class OnBuild(Instruction):
    """``ONBUILD``: an instruction for builds that begin with this image."""

    trigger: str


@dataclass(frozen=True, slots=True)
class Run(Instruction):
    """``RUN``: a process, what it changes becomes a layer.

    Attributes:
        command: what to run.
        flags: options as they were written, without the dashes: ``mount=type=cache,...``.
        files: texts in the Dockerfile that the line refers to.
    """

    command: Command
    flags: tuple[str, ...] = ()
    files: tuple[Heredoc, ...] = ()


@dataclass(frozen=True, slots=True)
class Shell(Instruction):
    """``SHELL``: what reads the lines of commands."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StopSignal(Instruction):
    """``STOPSIGNAL``: the signal that asks containers to end."""

    signal: str


@dataclass(frozen=True, slots=True)
class User(Instruction):
    """``USER``: as whom processes run, ``user[:group]``."""

    user: str


@dataclass(frozen=True, slots=True)
class Volume(Instruction):
    """``VOLUME``: directories that are volumes in containers."""

    paths: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Workdir(Instruction):
    """``WORKDIR``: the working directory, relative to the one before."""

    path: str


@dataclass(frozen=True, slots=True)
class Stage:
    """What begins with a ``FROM``.

    Attributes:
        line: of the ``FROM``, from 1.
        source: the ``FROM`` as it was written.
        base: an image, ``scratch`` or the name of an earlier stage; with variables.
        name: what others call it by, in lower case; "" if it has none.
        platform: of the base, with variables; "" is the builder's decision.
        instructions: what follows.
    """

    line: int
    source: str
    base: str
    name: str
    platform: str
    instructions: tuple[Instruction, ...]


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """A whole file.

    Attributes:
        stages: at least one.
        meta_args: variables before the first stage, for the bases of stages.
        escape: the escape character.
        warnings: what is not wrong, but not right either.
    """

    stages: tuple[Stage, ...]
    meta_args: tuple[Arg, ...]
    escape: str
    warnings: tuple[str, ...]
