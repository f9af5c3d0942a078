"""Rules for which networks one container can be on together."""

from collections.abc import Iterable
from typing import Final

from palan.api.errors import InvalidParameter
from palan.engine.networks.network import Network


__all__ = ["CONFIGURATION_ONLY", "SHARING", "check_compatible"]

CONFIGURATION_ONLY: Final = "cannot create endpoint on configuration-only network"
SHARING: Final = (
    "container sharing network namespace with another container or host cannot be connected to"
    " any other network"
)


def check_compatible(mode: str, present: Iterable[Network | None], network: Network) -> None:
    """Refuse a network that a container can't be on together with its present networks.

    Args:
        mode: the container's network mode.
        present: the networks that it is on; None for one that does not exist.
        network: the additional network.

    Raises:
        InvalidParameter: in dockerd's words.
    """
    if network.driver == "host" and mode != "host":
        raise InvalidParameter(
            "cannot connect container to host network - container must be created in host"
            " network mode"
        )
    for other in present:
        if other is None or other is network:
            continue
        if "host" in (other.driver, network.driver):
            raise InvalidParameter(SHARING)
        if "none" in (other.name, network.name):
            raise InvalidParameter(
                "container cannot be connected to multiple networks with one of the networks in"
                " private (none) mode"
            )
