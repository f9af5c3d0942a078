"""The names that a container can look up on its networks."""

from typing import cast

import pytest

from palan.engine.networks.dns_names import SandboxNames
from palan.engine.networks.endpoint_records import EndpointRecord, SandboxRecord
from palan.engine.networks.network import Network
from palan.engine.networks.record import NetworkRecord
from palan.engine.networks.table import NetworkTable


class Networks(dict[str, Network]):
    """The networks by their ids."""

    by_id = dict.get


def endpoint(network: str, address: str, *names: str, **links: str) -> EndpointRecord:
    return EndpointRecord(
        id=address,
        network=network,
        network_name=network,
        address=address,
        dns_names=list(names),
        links=links,
    )


@pytest.fixture
def names():
    networks = Networks()
    for name, endpoints in {
        "net1": [endpoint("net1", "10.0.1.1", "c1"), endpoint("net1", "10.0.1.2", "c1.br")],
        "br.net1": [endpoint("br.net1", "10.0.2.1", "c1"), endpoint("br.net1", "10.0.2.2", "c2")],
        "Upper": [endpoint("Upper", "10.0.3.1", "C3")],
    }.items():
        network = networks[name] = Network(
            NetworkRecord(id=name, name=name, driver="bridge", created=0)
        )
        for number, each in enumerate(endpoints):
            network.add_endpoint(str(number), each)
    sandbox = SandboxRecord(
        id="s",
        path="",
        endpoints=[
            endpoint("net1", "10.0.1.9", "me", alias="c1.br", c2="c1"),
            endpoint("br.net1", "10.0.2.9", "me"),
            endpoint("Upper", "10.0.3.9", "me"),
        ],
    )
    return SandboxNames(cast("NetworkTable", networks), sandbox)


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("c1", "10.0.1.1"),
        ("c1.net1", "10.0.1.1"),
        ("c1.br", "10.0.1.2"),
        ("c1.br.net1", "10.0.1.2"),  # the longest name of a container comes first
        ("c2.br.net1", "10.0.2.2"),
        ("c2", "10.0.1.1"),  # a link of this container
        ("alias", "10.0.1.2"),
        ("alias.net1", "10.0.1.2"),
        ("c3.upper", "10.0.3.1"),
        ("c4.br.net1", None),
        ("net1", None),
        (".net1", None),
        ("example.com", None),
    ],
)
def test_names_of_containers_and_networks_may_have_dots(names, name, address):
    found = names.lookup(name)
    assert (found[0] if found else [None]) == [address]
