"""What can be wrong with a Dockerfile."""

__all__ = ["DockerfileError"]


class DockerfileError(ValueError):
    """A Dockerfile, or a part of one, is not as it should be.

    Its text is what dockerd says, which clients show as it is.

    Attributes:
        line: where the instruction begins, from 1; 0 where that is not known.
    """

    def __init__(self, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.line = line
