"""Errors of plugins."""

__all__ = ["PluginFailure", "PluginNotFound", "PluginUnreachable"]


class PluginFailure(Exception):
    """A plugin reported an error, or sent an answer that is malformed.

    Attributes:
        message: the reason, in the plugin's own words if it gave any.
        status: HTTP status of its answer; 200 if the body reported the error, 0 without an answer.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


class PluginNotFound(PluginFailure):
    """No plugin has this name, or it does not implement the requested driver."""


class PluginUnreachable(PluginFailure):
    """The plugin does not answer, or not in time."""
