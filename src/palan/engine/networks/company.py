"""Which networks a container can be on together."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from palan.api.errors import InvalidParameter
from palan.engine.networks.network import Network


if TYPE_CHECKING:
    from palan.engine.engine import Engine


__all__ = ["CONFIGURATION_ONLY", "SHARING", "check_company"]

CONFIGURATION_ONLY: Final = "cannot create endpoint on configuration-only network"
SHARING: Final = (
    "container sharing network namespace with another container or host cannot be connected to"
    " any other network"
)


def check_company(engine: "Engine", mode: str, names: Iterable[str], network: Network) -> None:
    """Refuse a network that does not go with those that a container is on already.

    Args:
        engine: the engine.
        mode: the container's network mode.
        names: the networks that it is on.
        network: another one.

    Raises:
        InvalidParameter: in dockerd's words.
    """
    if network.driver == "host" and mode != "host":
        raise InvalidParameter(
            "cannot connect container to host network - container must be created in host"
            " network mode"
        )
    for name in names:
        other = engine.networks.find(name)
        if other is None or other is network:
            continue
        if "host" in (other.driver, network.driver):
            raise InvalidParameter(SHARING)
        if "none" in (other.name, network.name):
            raise InvalidParameter(
                "container cannot be connected to multiple networks with one of the networks in"
                " private (none) mode"
            )
