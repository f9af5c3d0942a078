"""Operations of the contract that this engine does not have yet: they answer 501.

A test compares this list with what the rooms implement; it may only shrink.
"""

__all__ = ["PENDING"]

PENDING = frozenset(
    {
        "build.build",
        "build.cancel",
        "build.grpc",
        "build.prune",
        "build.session",
    }
)
