"""Failures to run a container's program, in the words that clients expect."""

import contextlib
from collections.abc import Iterator

from palan.api.errors import PalanError
from palan.host.oci_failures import explain
from palan.host.oci_runtime import RuntimeFailure


__all__ = ["StartFailure", "explained"]


class StartFailure(PalanError):
    """The runtime could not run the program; ``exit_code`` as a shell would have it."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class _InvalidProgram(StartFailure):
    """The program that the caller named cannot be run."""

    status = 400


@contextlib.contextmanager
def explained(program: str, *, is_exec: bool = False) -> Iterator[None]:
    """Raise failures of the runtime as :class:`StartFailure`, in dockerd's words.

    Args:
        program: the first argument of the process, for messages.
        is_exec: whether the process is an exec and not a container's first one.
    """
    try:
        yield
    except RuntimeFailure as failure:
        explanation = explain(failure.message, program=program, is_exec=is_exec)
        kind = _InvalidProgram if explanation.is_request_error else StartFailure
        raise kind(explanation.message, explanation.exit_code) from None
