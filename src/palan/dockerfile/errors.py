"""The error that all parsers of this package raise."""

__all__ = ["DockerfileError"]


class DockerfileError(ValueError):
    """A Dockerfile, or a part of one, is invalid.

    The message has dockerd's wording; clients show it unchanged.

    Attributes:
        line: number of the line where the instruction begins, from 1; 0 if unknown.
    """

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line
