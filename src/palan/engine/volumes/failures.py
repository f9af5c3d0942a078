"""Failures of volume drivers, turned into errors of the API."""

import contextlib
from collections.abc import Iterator

from palan.api.errors import InternalError, InvalidParameter, NotFound
from palan.plugins import PluginFailure, PluginNotFound


__all__ = ["driver_failures"]


@contextlib.contextmanager
def driver_failures(action: str, name: str = "", driver: str = "") -> Iterator[None]:
    """Raise failures of drivers as errors in dockerd's words.

    Args:
        action: the operation; the message begins with it.
        name: the volume's; empty where ``action`` contains it.
        driver: the name of the driver, for one that is not found.
    """
    prefix = f"{action} {name}" if name else action
    try:
        yield
    except PluginNotFound as failure:
        looking = f"error looking up volume plugin {driver}: " if driver else ""
        raise NotFound(f"{prefix}: {looking}{failure.message}") from None
    except PluginFailure as failure:
        raise InternalError(f"{prefix}: {failure.message}") from None
    except InvalidParameter as error:
        if name:
            raise
        raise InvalidParameter(f"{prefix}: {error.message}") from None
