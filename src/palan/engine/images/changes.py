"""Dockerfile instructions that change the configuration of an image (import, commit).

``docker import --change`` and ``docker commit --change`` accept the same instructions as dockerd.
"""

from collections.abc import Iterable
from typing import Final

from palan.api.errors import InvalidParameter
from palan.api.images import ImageConfig
from palan.dockerfile import DockerfileError, parse_instruction
from palan.dockerfile.lines import read_lines
from palan.engine.images.configure import CONFIGURING, Draft


__all__ = ["apply_changes"]

_ALLOWED: Final = frozenset(
    (
        *("CMD", "ENTRYPOINT", "ENV", "EXPOSE", "HEALTHCHECK", "LABEL", "ONBUILD"),
        *("STOPSIGNAL", "USER", "VOLUME", "WORKDIR"),
    )
)


def apply_changes(config: ImageConfig, changes: Iterable[str]) -> None:
    """Apply instructions to ``config`` in their order.

    Args:
        config: the configuration, which is changed.
        changes: instructions, several lines each.

    Raises:
        InvalidParameter: an instruction is unknown, not allowed here or malformed.
    """
    text = "\n".join(changes)
    if not text.strip():
        return
    try:
        source = read_lines(text.encode("utf-8", "surrogateescape"))
        draft = Draft(config, source.escape)
        for line in source.lines:
            name = line.text.split(maxsplit=1)[0]
            if name.upper() not in _ALLOWED:
                raise InvalidParameter(f"{name} is not a valid change command")
            step = parse_instruction(line.text, line.number, source.escape)
            CONFIGURING[type(step)](draft, step)
    except DockerfileError as error:
        raise InvalidParameter(str(error)) from None
