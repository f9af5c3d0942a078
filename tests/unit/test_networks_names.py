"""Names on networks: several owners, aliases, reverse look-up."""

from palan.engine.networks.endpoint_records import EndpointRecord, SandboxRecord
from palan.engine.networks.names import Names


def endpoint(number: int, *names: str, six: str = "", **more) -> EndpointRecord:
    return EndpointRecord(
        id=str(number), network="n", network_name=f"net{number}", address=f"10.0.0.{number}",
        address6=six, dns_names=list(names), **more,
    )  # fmt: skip


def test_a_name_has_the_addresses_of_all_its_owners():
    names = Names()
    one, two = endpoint(1, "One", "web"), endpoint(2, "two", "web", six="fd00::2")
    names.add(one)
    names.add(two)
    assert names.find("one") == (["10.0.0.1"], [])
    assert names.find("web") == (["10.0.0.1", "10.0.0.2"], ["fd00::2"])
    names.discard(one)
    names.discard(one)
    assert names.find("web") == (["10.0.0.2"], ["fd00::2"])
    assert names.find("one") is None


def test_an_address_is_called_by_the_first_name():
    names = Names()
    names.add(endpoint(1, "web", "www", six="fd00::1"))
    assert names.reverse("10.0.0.1")[0] == "web"
    assert names.reverse("fd00::1")[0] == "web"
    assert not names.reverse("10.0.0.9")


def test_the_endpoint_with_the_highest_priority_reaches_other_networks():
    inner = endpoint(1, gateway="")
    low, high = endpoint(2, gateway="10.0.0.254"), endpoint(3, gateway="10.0.0.254", priority=5)
    sandbox = SandboxRecord(id="s", path="/run/s", endpoints=[inner, low, high])
    assert sandbox.main(4) is high
    assert sandbox.main(6) is None
    assert sandbox.address == "10.0.0.3"
    # With equal priority, the network whose name sorts first wins.
    sandbox.endpoints = [endpoint(5, gateway="10.0.0.254"), low]
    assert sandbox.main(4) is low
    sandbox.endpoints = [inner]
    assert sandbox.main(4) is None
    assert sandbox.address == "10.0.0.1"


def test_a_device_route_needs_no_gateway():
    sandbox = SandboxRecord(id="s", path="/run/s", endpoints=[endpoint(1, device_route=True)])
    assert sandbox.main(4) is sandbox.endpoints[0]
    assert sandbox.main(6) is None
