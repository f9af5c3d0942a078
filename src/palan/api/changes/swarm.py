"""Changes of swarms, secrets and configs."""

from palan.api.changes._change import Call, Change, child, drop
from palan.api.errors import InvalidParameter
from palan.api.version import Version


__all__ = ["CHANGES"]


def _no_address_pool(call: Call) -> None:
    """1.39 added the pool of subnets."""
    drop(child(call.body), "DefaultAddrPool", "SubnetSize")


def _no_data_path_port(call: Call) -> None:
    """1.40 added the port of VXLAN."""
    drop(child(call.body), "DataPathPort")


def _no_secret_template(call: Call) -> None:
    """1.37 added templates."""
    _refuse_template(call, "secret")


def _no_config_template(call: Call) -> None:
    """1.37 added templates."""
    _refuse_template(call, "config")


def _refuse_template(call: Call, kind: str) -> None:
    if child(call.body, "Templating") is not None:
        raise InvalidParameter(
            f"{kind} templating is not supported on the specified API version: {call.version}"
        )


CHANGES = (
    Change(Version(1, 37), ("secrets.create",), lift=_no_secret_template),
    Change(Version(1, 37), ("configs.create",), lift=_no_config_template),
    Change(Version(1, 39), ("swarm.init",), lift=_no_address_pool),
    Change(Version(1, 40), ("swarm.init",), lift=_no_data_path_port),
)
