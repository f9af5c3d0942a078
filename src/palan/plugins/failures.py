"""What can go wrong with a plugin."""

__all__ = ["PluginFailure", "PluginNotFound", "PluginUnreachable"]


class PluginFailure(Exception):
    """A plugin said that it can't, or something that makes no sense.

    Attributes:
        message: why, in the plugin's own words where it had any.
        status: of its answer; 200 when the answer itself told of the failure, 0 without one.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class PluginNotFound(PluginFailure):
    """There is no plugin of that name, or it is one for something else."""


class PluginUnreachable(PluginFailure):
    """Nobody answers at its address, or not in time."""
