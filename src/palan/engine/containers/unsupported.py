"""Fields of a request that have no effect yet, which an error or a warning tells.

A field that is given an effect is removed from :data:`UNSUPPORTED_YET`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from palan.api.containers import ContainerConfig, HostConfig
from palan.api.errors import InvalidParameter


__all__ = ["UNSUPPORTED_YET", "Unsupported", "check_supported"]


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A field without effect.

    Attributes:
        message: the error or warning for the client.
        is_set: whether a request asks for it.
        refuse: whether a container without it would be unsafe or useless; else there is
            a warning.
    """

    message: str
    is_set: Callable[[ContainerConfig, HostConfig], bool]
    refuse: bool = False


UNSUPPORTED_YET: Final[Mapping[str, Unsupported]] = {
    "HostConfig.StorageOpt": Unsupported(
        "--storage-opt is supported only for overlay over xfs with 'pquota' mount option",
        lambda _, host_config: bool(host_config.storage_opt),
        refuse=True,
    ),
    "HostConfig.Cgroup": Unsupported(
        "Joining the cgroup of another container is not supported; Cgroup discarded.",
        lambda _, host_config: bool(host_config.cgroup),
    ),
}


def check_supported(config: ContainerConfig, host_config: HostConfig) -> list[str]:
    """Return warnings about fields without effect.

    Raises:
        InvalidParameter: a container should not run without one of them.
    """
    warnings = []
    for entry in UNSUPPORTED_YET.values():
        if entry.is_set(config, host_config):
            if entry.refuse:
                raise InvalidParameter(entry.message)
            warnings.append(entry.message)
    return warnings
