"""Parse a whole Dockerfile or a single instruction."""

from dataclasses import replace

from palan.dockerfile.errors import DockerfileError
from palan.dockerfile.instructions import Arg, Dockerfile, Instruction, Stage
from palan.dockerfile.lines import Line, read_lines
from palan.dockerfile.nodes import Node
from palan.dockerfile.parse import make_instruction


__all__ = ["parse_instruction", "read"]


def read(data: bytes) -> Dockerfile:
    """Parse a Dockerfile.

    Args:
        data: the content of the file.

    Raises:
        DockerfileError: the file is invalid; the message has dockerd's wording.
    """
    try:
        source = read_lines(data)
        nodes = [Node(line, source.escape) for line in source.lines]
    except DockerfileError as error:
        raise DockerfileError(f"failed to parse Dockerfile: {error}", error.line) from None
    meta_args: list[Arg] = []
    stages: list[tuple[Stage, list[Instruction]]] = []
    for node in nodes:
        try:
            made = make_instruction(node)
        except DockerfileError as error:
            raise DockerfileError(
                f"dockerfile parse error on line {node.number}: {error}", node.number
            ) from None
        if isinstance(made, Stage):
            stages.append((made, []))
        elif stages:
            stages[-1][1].append(made)
        elif isinstance(made, Arg):
            meta_args.append(made)
        else:
            raise DockerfileError("no build stage in current context", node.number)
    if not stages:
        raise DockerfileError("no build stage in current context")
    return Dockerfile(
        stages=tuple(
            replace(stage, instructions=tuple(instructions)) for stage, instructions in stages
        ),
        meta_args=tuple(meta_args),
        escape=source.escape,
        warnings=source.warnings,
    )


def parse_instruction(text: str, line: int = 0, escape: str = "\\") -> Instruction:
    """Parse one instruction, such as an ``ONBUILD`` trigger of an image.

    Args:
        text: a logical line.
        line: its line number.
        escape: the escape character.

    Raises:
        DockerfileError: it is malformed, unknown or a ``FROM``.
    """
    made = make_instruction(Node(Line(line, text.strip()), escape))
    if isinstance(made, Stage):
        raise DockerfileError("FROM isn't allowed here", line)
    return made
