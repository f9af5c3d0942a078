from types import SimpleNamespace
from typing import Any

from tests.support.containers import make_record

from palan.api.containers import ContainerConfig, EndpointSettings, HostConfig, PortBinding
from palan.engine.containers.endpoints import endpoint_settings, port_map
from palan.engine.networks.endpoint_records import EndpointRecord, PortRecord, SandboxRecord


def network_by_id(network_id):
    bridges = {"id of bridge": "docker0", "id of none": ""}
    return SimpleNamespace(bridge=bridges[network_id])


ENGINE: Any = SimpleNamespace(
    networks=SimpleNamespace(id_of=lambda name: f"id of {name}", by_id=network_by_id)
)

SANDBOX = SandboxRecord(
    id="s",
    path="/run/s",
    endpoints=[
        EndpointRecord(
            id="e" * 64, network="id of bridge", network_name="bridge", address="172.17.0.2",
            prefix=16, gateway="172.17.0.1", mac_address="02:42:ac:11:00:02",
        )
    ],
)  # fmt: skip


def test_a_container_that_never_started_has_what_was_asked_for():
    record = make_record(endpoints={"bridge": EndpointSettings(aliases=["a"])})
    (shown,) = endpoint_settings(ENGINE, record).values()
    assert (shown.aliases, shown.network_id, shown.ip_address) == (["a"], "", "")


def test_a_running_one_has_its_address():
    record = make_record(
        endpoints={"bridge": EndpointSettings(aliases=["a"])}, started=1, sandbox=SANDBOX
    )
    shown = endpoint_settings(ENGINE, record)["bridge"]
    assert (shown.network_id, shown.endpoint_id) == ("id of bridge", "e" * 64)
    assert (shown.ip_address, shown.ip_prefix_len) == ("172.17.0.2", 16)
    assert (shown.gateway, shown.mac_address) == ("172.17.0.1", "02:42:ac:11:00:02")
    # The request is unchanged.
    assert record.endpoints["bridge"].ip_address == ""


def test_a_list_leaves_names_out():
    record = make_record(endpoints={"bridge": EndpointSettings(aliases=["a"], links=["b"])})
    shown = endpoint_settings(ENGINE, record, brief=True)["bridge"]
    assert shown.aliases is None
    assert shown.links is None


def test_a_shared_namespace_has_no_networks_of_its_own():
    host = HostConfig(network_mode="container:other")
    record = make_record(host_config=host, endpoints={"bridge": EndpointSettings()})
    assert endpoint_settings(ENGINE, record) == {}


def test_ports_are_shown_while_it_runs():
    config = ContainerConfig(exposed_ports={"80/tcp": {}, "53/udp": {}})
    assert port_map(ENGINE, make_record(config=config)) == {}
    published = [
        PortRecord(host_ip=ip, host_port=8080, container_port=80, protocol="tcp")
        for ip in ("0.0.0.0", "::")
    ]
    sandbox = SandboxRecord(id="s", path="/run/s", ports=published, endpoints=SANDBOX.endpoints)
    shown = port_map(ENGINE, make_record(config=config, sandbox=sandbox))
    assert shown["53/udp"] is None
    bindings = shown["80/tcp"]
    assert bindings is not None
    assert [(b.host_ip, b.host_port) for b in bindings] == [("0.0.0.0", "8080"), ("::", "8080")]


def test_ports_that_are_to_be_published_are_exposed():
    host = HostConfig(port_bindings={"80/tcp": [PortBinding(host_port="8080")]})
    sandbox = SandboxRecord(id="s", path="/run/s", endpoints=SANDBOX.endpoints)
    # Such as on an internal network.
    assert port_map(ENGINE, make_record(host_config=host, sandbox=sandbox)) == {"80/tcp": None}


def test_a_container_without_a_bridge_exposes_nothing():
    config = ContainerConfig(exposed_ports={"80/tcp": {}})
    endpoint = EndpointRecord(id="e" * 64, network="id of none", network_name="none")
    sandbox = SandboxRecord(id="s", path="/run/s", endpoints=[endpoint])
    assert port_map(ENGINE, make_record(config=config, sandbox=sandbox)) == {}
