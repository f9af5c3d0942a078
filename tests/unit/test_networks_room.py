"""The room of networks with fakes of its surroundings."""

import asyncio
import contextlib
from ipaddress import ip_network
from typing import Any

import pytest
from tests.support.commits import Commits
from tests.support.network_surroundings import (
    FakePlugin,
    FakeSurroundings,
    make_member,
    make_network,
)

from palan.api import Filters
from palan.api.containers import EndpointIPAMConfig, EndpointSettings
from palan.api.errors import Conflict, Forbidden, InternalError, InvalidParameter, NotFound
from palan.api.networks import (
    IPAM,
    ConfigReference,
    IPAMConfig,
    NetworkConnect,
    NetworkConnectRequest,
    NetworkCreate,
    NetworkCreateRequest,
    NetworkDisconnect,
    NetworkDisconnectRequest,
    NetworkInspect,
    NetworkList,
    NetworkPrune,
    NetworkPruneResponse,
    NetworkRemove,
)
from palan.engine.config import EngineConfig
from palan.engine.events import SCHEMA as EVENTS
from palan.engine.events import EventJournal
from palan.engine.networks import create as create_module
from palan.engine.networks import default_bridge
from palan.engine.networks import remove as remove_module
from palan.engine.networks.compatibility import check_compatible
from palan.engine.networks.context import NetworkContext
from palan.engine.networks.default_bridge import configure_default_bridge
from palan.engine.networks.endpoint_records import SandboxRecord
from palan.engine.networks.endpoints import adopt_endpoint, create_endpoint, discard_endpoint
from palan.engine.networks.host_subnets import HostSubnets
from palan.engine.networks.links import default_endpoint, link_rules
from palan.engine.networks.load import remove_drafts
from palan.engine.networks.member import Linked
from palan.engine.networks.network import Network
from palan.engine.networks.port_parsing import Port, PortMapping
from palan.engine.networks.publish import (
    publish_ports,
    republish_ports,
    reserve_ports,
    unpublish_ports,
)
from palan.engine.networks.room import Networks
from palan.engine.networks.rules import Link
from palan.engine.networks.subnets import split_pools
from palan.engine.networks.validate_endpoint import SYSCTLS, allows_ipv6


NET = "/run/netns/0123456789ab"


@pytest.fixture
async def surroundings(tmp_path, monkeypatch):
    for module in (create_module, remove_module):
        monkeypatch.setattr(module, "Netlink", contextlib.nullcontext)
    monkeypatch.setattr(HostSubnets, "read", lambda *_: [])
    made = FakeSurroundings(tmp_path)
    yield made
    made.db.close()


@pytest.fixture
def networks(surroundings):
    return Networks(surroundings)


@pytest.fixture
def context(surroundings):
    return NetworkContext(surroundings)


async def make(networks: Networks, name: str, **fields: Any) -> str:
    body = NetworkCreateRequest(name=name, **fields)
    return (await networks.create(NetworkCreate(body=body))).id


async def listed(networks: Networks, **filters: list[str]) -> list[str]:
    return [n.name for n in await networks.list(NetworkList(filters=Filters(filters)))]


def remote(surroundings: FakeSurroundings, **answers: dict[str, Any]) -> FakePlugin:
    """Install the plugin ``wire``."""
    plugin = FakePlugin({"CreateNetwork": {}, "DeleteNetwork": {}, **answers})
    surroundings.drivers["wire"] = plugin
    return plugin


# ---- operations -----------------------------------------------------------------------


async def test_a_network_of_a_plugin_is_made_and_removed(surroundings, networks):
    plugin = remote(surroundings)
    network_id = await make(networks, "one", driver="wire", labels={"a": "b"})
    assert networks.find("one") is networks.resolve(network_id[:6])
    shown = await networks.inspect(NetworkInspect(id="one"))
    assert (shown.driver, shown.labels, shown.containers) == ("wire", {"a": "b"}, {})
    ((method, arguments),) = plugin.calls
    assert method == "CreateNetwork"
    assert arguments["IPv4Data"][0]["Pool"] == shown.ipam.config[0].subnet
    await networks.remove(NetworkRemove(id="one"))
    assert plugin.called == ["CreateNetwork", "DeleteNetwork"]
    assert networks.find("one") is None
    assert [(kind, action) for kind, action, *_ in surroundings.events.seen] == [
        ("network", "create"), ("network", "destroy"),
    ]  # fmt: skip


async def test_nothing_is_left_of_a_network_that_the_plugin_refuses(surroundings, networks):
    surroundings.drivers["wire"] = FakePlugin({"DeleteNetwork": {}})
    with pytest.raises(InternalError, match="not found"):
        await make(networks, "one", driver="wire")
    assert networks.find("one") is None
    assert not list(NetworkContext(surroundings).table.rows())
    assert not surroundings.events.seen


async def test_a_change_and_its_event_are_one_transaction(surroundings, networks):
    remote(surroundings)
    for statement in EVENTS:
        surroundings.db.read(lambda connection, sql=statement: connection.execute(sql))
    surroundings.events = EventJournal(surroundings.db)
    commits = Commits(surroundings.db)
    await make(networks, "base", config_only=True)
    assert commits.together("insert networks", "event network create")
    commits.transactions.clear()
    await make(networks, "one", driver="wire")
    assert commits.together("insert networks", "event network create")
    await networks.remove(NetworkRemove(id="one"))
    assert commits.together("delete networks", "event network destroy")


async def test_a_start_finishes_a_removal_and_reports_it(surroundings, networks, context):
    plugin = remote(surroundings)
    for name in ("made", "removed"):
        await make(networks, name, driver="wire")
    half_made, half_removed = networks.resolve("made"), networks.resolve("removed")
    half_made.record.draft = True
    half_removed.record.draft = half_removed.record.removing = True
    for network in (half_made, half_removed):
        await context.table.save(network)
    surroundings.events.seen.clear()
    await remove_drafts(context, [Network(record) for record in context.table.rows()])
    assert plugin.called.count("DeleteNetwork") == 2
    seen = [(action, actor) for _, action, actor, _ in surroundings.events.seen]
    assert seen == [("destroy", half_removed.id)]
    assert not context.table.rows()


async def test_a_network_stays_when_the_plugin_refuses_to_remove_it(surroundings, networks):
    plugin = remote(surroundings)
    await make(networks, "one", driver="wire")
    plugin.answers = {}
    with pytest.raises(InternalError):
        await networks.remove(NetworkRemove(id="one"))
    assert await listed(networks) == ["one"]
    (record,) = NetworkContext(surroundings).table.rows()
    assert not record.draft


async def test_invalid_networks_are_refused_before_anything_is_made(surroundings, networks):
    plugin = remote(surroundings)
    for error, fields in (
        (Forbidden, {"name": "host"}),
        (Forbidden, {"name": "a", "driver": "overlay"}),
        (Forbidden, {"name": "a", "driver": "host"}),
        (NotFound, {"name": "a", "driver": "absent"}),
        (NotFound, {"name": "a", "config_from": ConfigReference(network="absent")}),
        (InvalidParameter, {"name": " "}),
        (InvalidParameter, {"name": "a", "ipam": IPAM(config=[IPAMConfig(subnet="10.0.0.1/8")])}),
    ):
        with pytest.raises(error):
            await make(networks, **fields)
    await make(networks, "one", driver="wire")
    with pytest.raises(Conflict):
        await make(networks, "one", driver="wire")
    assert plugin.called == ["CreateNetwork"]


async def test_the_null_ipam_driver_leaves_addresses_to_the_plugin(surroundings, networks):
    plugin = remote(surroundings)
    await make(networks, "one", driver="wire", ipam=IPAM(driver="null"))
    (config,) = list((await networks.inspect(NetworkInspect(id="one"))).ipam.config or ())
    assert (config.subnet, config.gateway) == ("0.0.0.0/0", "")
    (arguments,) = [given for method, given in plugin.calls if method == "CreateNetwork"]
    assert arguments["IPv4Data"] == [
        {"AddressSpace": "null", "Pool": "0.0.0.0/0", "Gateway": "", "AuxAddresses": {}}
    ]
    assert arguments["IPv6Data"] == []
    await make(networks, "two", driver="wire")  # all subnets are free still
    member, sandbox = make_member(), SandboxRecord(id="s", path=NET)
    endpoint = await networks.add_endpoint(
        member, sandbox, networks.resolve("one"), EndpointSettings()
    )
    assert (endpoint.address, endpoint.gateway) == ("", "")
    assert endpoint.mac_address


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"driver": "bridge"}, "ipv4 pool is empty"),
        ({"driver": "macvlan", "enable_ipv4": False, "enable_ipv6": True}, "ipv6 pool is empty"),
        ({"driver": "bridge", "enable_ipv4": False}, "IPv4 or IPv6 must be enabled"),
        (
            {"driver": "wire", "ipam": IPAM(driver="null", config=[IPAMConfig("10.0.0.0/8")])},
            "null ipam driver does not handle specific address pool requests",
        ),
    ],
)
async def test_what_the_null_ipam_driver_can_not_do(surroundings, networks, fields, words):
    remote(surroundings)
    with pytest.raises(InvalidParameter, match=words):
        await make(networks, "one", **{"ipam": IPAM(driver="null"), **fields})


async def test_subnets_do_not_overlap(surroundings, networks):
    remote(surroundings)
    taken = IPAM(config=[IPAMConfig(subnet="172.17.0.0/16")])
    await make(networks, "one", driver="wire", ipam=taken)
    with pytest.raises(Forbidden, match="overlaps"):
        await make(networks, "two", driver="wire", ipam=taken)
    await make(networks, "three", driver="wire")
    assert [str(subnet) for subnet in networks.subnets("three") or ()] == ["172.18.0.0/16"]


async def test_configuration_only_networks(surroundings, networks):
    remote(surroundings)
    subnet = IPAM(config=[IPAMConfig(subnet="10.9.0.0/24")])
    await make(networks, "base", config_only=True, driver="wire", ipam=subnet)
    based = ConfigReference(network="base")
    await make(networks, "one", driver="wire", config_from=based)
    assert [str(subnet) for subnet in networks.subnets("one") or ()] == ["10.9.0.0/24"]
    with pytest.raises(Forbidden, match="in use"):
        await networks.remove(NetworkRemove(id="base"))


async def test_networks_with_endpoints_are_neither_removed_nor_pruned(surroundings, networks):
    remote(surroundings)
    for name in ("used", "unused"):
        await make(networks, name, driver="wire")
    member, sandbox = make_member(), SandboxRecord(id="s", path=NET)
    surroundings.containers.names[member.id] = member.name
    used = networks.resolve("used")
    await networks.add_endpoint(member, sandbox, used, EndpointSettings())
    with pytest.raises(Forbidden, match='has active endpoints \\(name:"name1"'):
        await networks.remove(NetworkRemove(id="used"))
    shown = await networks.inspect(NetworkInspect(id="used"))
    assert (shown.containers or {})[member.id].name == "name1"
    assert await listed(networks, dangling=["true"]) == ["unused"]
    pruned = await networks.prune(NetworkPrune(filters=Filters({})))
    assert pruned.networks_deleted == ["unused"]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({"name": ["alpha"]}, "alpha alphabet"),
        ({"name": ["^alpha$"]}, "alpha"),
        ({"name": ["^b", "bet$"]}, "alphabet beta base"),
        ({"name": ["(a+)+$"]}, "alpha beta"),
        ({"name": ["("]}, ""),
        ({"name": []}, "alpha alphabet beta base"),
        ({"id": [".{65}"]}, ""),
        ({"id": ["^[0-9a-f]{64}$"]}, "alpha alphabet beta base"),
        ({"driver": ["wire"]}, "alpha alphabet beta"),
        ({"driver": ["wir"]}, ""),
        ({"driver": ["null"]}, "base"),
        ({"scope": ["local"]}, "alpha alphabet beta base"),
        ({"scope": ["swarm", "global"]}, ""),
        ({"type": ["custom"]}, "alpha alphabet beta base"),
        ({"type": ["builtin"]}, ""),
        ({"dangling": ["1"]}, "alphabet beta base"),
        ({"dangling": ["false"]}, "alpha"),
        ({"label": ["tier"]}, "alpha beta"),
        ({"label": ["tier=web"]}, "alpha"),
        ({"label": ["tier", "stage=test"]}, "beta"),
        ({"name": ["a"], "label": ["tier=db"]}, "beta"),
    ],
)
async def test_the_filters_of_a_list_are_dockerds(surroundings, networks, filters, found):
    remote(surroundings)
    for name, labels in (
        ("alpha", {"tier": "web"}),
        ("alphabet", {}),
        ("beta", {"tier": "db", "stage": "test"}),
    ):
        await make(networks, name, driver="wire", labels=labels)
    await make(networks, "base", config_only=True)
    await networks.add_endpoint(
        make_member(),
        SandboxRecord(id="s", path=NET),
        networks.resolve("alpha"),
        EndpointSettings(),
    )
    assert await listed(networks, **filters) == found.split()


async def test_an_expression_that_would_backtrack_is_matched_at_once(surroundings, networks):
    remote(surroundings)
    await make(networks, "a" * 60 + "_", driver="wire")
    async with asyncio.timeout(5):
        assert await listed(networks, name=["(a+)+$"]) == []


async def test_a_network_that_a_plugin_keeps_does_not_hinder_a_prune(surroundings, networks):
    remote(surroundings)
    surroundings.drivers["kept"] = FakePlugin({"CreateNetwork": {}})
    for name, driver in (("one", "wire"), ("two", "kept"), ("three", "wire")):
        await make(networks, name, driver=driver)
    pruned = await networks.prune(NetworkPrune(filters=Filters({})))
    assert pruned.networks_deleted == ["one", "three"]
    assert await listed(networks) == ["two"]
    (record,) = NetworkContext(surroundings).table.rows()
    assert (record.name, record.draft) == ("two", False)


async def test_networks_are_pruned_unless_they_have_all_unwanted_labels(surroundings, networks):
    remote(surroundings)
    for name, labels in (("one", {"a": ""}), ("both", {"a": "", "b": ""}), ("free", {})):
        await make(networks, name, driver="wire", labels=labels)
    unwanted = Filters({"label!": ["a", "b"]})
    pruned = await networks.prune(NetworkPrune(filters=unwanted))
    assert pruned.networks_deleted == ["one", "free"]
    assert (await networks.prune(NetworkPrune(filters=Filters({"until": ["1h"]})))) == (
        NetworkPruneResponse(networks_deleted=None)
    )


async def test_connecting_is_left_to_the_containers(surroundings, networks):
    body = NetworkConnectRequest(container="box")
    await networks.connect(NetworkConnect(id="one", body=body))
    gone = NetworkDisconnectRequest(container="box")
    await networks.disconnect(NetworkDisconnect(id="one", body=gone))
    assert surroundings.containers.requests == [
        ("connect", "one", body), ("disconnect", "one", gone),
    ]  # fmt: skip


# ---- look-up --------------------------------------------------------------------------


async def test_references(context):
    one, two = make_network("ab1"), make_network("ab2")
    draft = make_network("abc", draft=True)
    for network in (one, two, draft):
        context.table.add(network)
    resolve = context.table.resolve
    assert resolve("ab1") is resolve(one.id) is one
    assert resolve("ab20") is two
    for reference, error in (("ab", InvalidParameter), ("abc", NotFound), ("", NotFound)):
        with pytest.raises(error):
            resolve(reference)
    assert context.table.named("abc") is draft
    assert context.table.is_listed(["ab1", "gone"], "ab1000")
    assert context.table.is_listed(["ab1", "gone"], "gone")
    assert not context.table.is_listed(["ab1"], "")
    context.table.discard(one)
    assert context.table.find("ab1") is None


async def test_rows_come_back(context, surroundings):
    network = make_network("one", "10.0.0.0/24")
    await context.table.save(network)
    (record,) = NetworkContext(surroundings).table.rows()
    assert record == network.record
    await context.table.delete(network)
    assert not list(context.table.rows())


# ---- endpoints ------------------------------------------------------------------------


@pytest.fixture
def network(context):
    made = make_network("net", "10.0.0.0/29", "fd00::/64")
    context.table.add(made)
    return made


async def endpoint_of(context: NetworkContext, network: Network, number: int = 1, **asked: Any):
    sandbox = SandboxRecord(id="s", path=NET)
    settings = EndpointSettings(**asked)
    return await create_endpoint(context, make_member(number), sandbox, network, settings)


async def test_an_endpoint_has_addresses_and_names(context, network):
    endpoint = await endpoint_of(context, network, aliases=["db"])
    assert (endpoint.address, endpoint.prefix, endpoint.gateway) == ("10.0.0.2", 29, "10.0.0.1")
    assert (endpoint.address6, endpoint.gateway6) == ("fd00::2", "fd00::1")
    assert endpoint.mac_address == "02:42:0a:00:00:02"
    assert (endpoint.interface, endpoint.host_interface) == ("eth0", "veth01234567800")
    assert endpoint.dns_names == ["name1", "db", "0" * 12]
    assert network.names.find("db") == (["10.0.0.2"], ["fd00::2"])


@pytest.mark.parametrize(
    ("member_ipv6", "options", "six"),
    [
        (True, {}, True),
        (False, {}, False),
        (True, {SYSCTLS: "net.ipv4.conf.IFNAME.log_martians=1"}, True),
        (True, {SYSCTLS: "net.ipv6.conf.IFNAME.disable_ipv6=1"}, False),
    ],
)
async def test_where_ipv6_is_disabled_no_address_is_given(context, member_ipv6, options, six):
    network = make_network("one", "10.1.0.0/24", "fd00::/64")

    context.table.add(network)
    endpoint = await create_endpoint(
        context,
        make_member(ipv6=member_ipv6),
        SandboxRecord(id="s", path=NET),
        network,
        EndpointSettings(
            driver_opts=options,
            ipam_config=EndpointIPAMConfig(link_local_ips=["169.254.1.1", "fe80::9"]),
        ),
    )
    assert endpoint.address
    assert bool(endpoint.address6) is bool(endpoint.gateway6) is six
    assert endpoint.link_local == (["169.254.1.1", "fe80::9"] if six else ["169.254.1.1"])


@pytest.mark.parametrize(
    ("sysctls", "allowed"),
    [
        ({}, True),
        ({"net.ipv6.conf.all.disable_ipv6": "1"}, False),
        ({"net/ipv6/conf/all/disable_ipv6": "1"}, False),
        ({"net.ipv6.conf.all.disable_ipv6": "0"}, True),
        ({"net.ipv6.conf.all.forwarding": "1"}, True),
    ],
)
def test_a_sysctl_disables_ipv6_in_a_container(sysctls, allowed):
    assert allows_ipv6(sysctls) is allowed


async def test_what_a_discarded_endpoint_had_is_free_again(context, network):
    before = [pool.available for pool in network.pools]
    endpoint = await endpoint_of(context, network)
    member = make_member()
    for _ in range(2):
        discard_endpoint(network, member.id, endpoint)
    assert [pool.available for pool in network.pools] == before
    assert network.names.find("name1") is None
    adopt_endpoint(network, member.id, endpoint)
    with pytest.raises(Forbidden):
        adopt_endpoint(network, make_member(2).id, endpoint)


async def test_addresses_in_use_leave_nothing_behind(context, network):
    await endpoint_of(context, network)
    before = [pool.available for pool in network.pools]
    asked = EndpointIPAMConfig(ipv4_address="10.0.0.5", ipv6_address="fd00::2")
    with pytest.raises(Forbidden):
        await endpoint_of(context, network, 2, ipam_config=asked)
    assert [pool.available for pool in network.pools] == before
    with pytest.raises(InvalidParameter):
        foreign = EndpointIPAMConfig(ipv4_address="192.0.2.1")
        await endpoint_of(context, network, 2, ipam_config=foreign)
    assert list(network.endpoints) == [make_member().id]


async def test_links_are_names_that_last(context, network, surroundings):
    surroundings.containers.names["f" * 64] = "database"
    endpoint = await endpoint_of(context, network, links=["database:DB", "absent:later"])
    assert endpoint.links == {"db": "f" * 12, "later": "absent"}


async def test_a_container_has_one_interface_of_each_name(context, network):
    sandbox = SandboxRecord(id="s", path=NET)
    options = {"com.docker.network.endpoint.ifname": "eth0"}
    wanted = {"other": EndpointSettings(driver_opts=options)}
    member = make_member(endpoints=wanted)
    first = await create_endpoint(context, member, sandbox, network, EndpointSettings())
    assert first.interface == "eth1"
    other = make_network("other", "10.1.0.0/24")
    second = await create_endpoint(context, member, sandbox, other, wanted["other"])
    assert (second.interface, second.slot) == ("eth0", 1)
    with pytest.raises(Conflict):
        third = make_network("third", "10.2.0.0/24")
        await create_endpoint(context, member, sandbox, third, wanted["other"])


async def test_a_renamed_container_is_found_by_its_new_name(surroundings, networks):
    remote(surroundings)
    await make(networks, "one", driver="wire")
    sandbox = SandboxRecord(id="s", path=NET)
    asked = EndpointSettings(aliases=["alias"])
    endpoints = {"one": asked}
    member = make_member(endpoints=endpoints, sandbox=sandbox)
    network = networks.resolve("one")
    await networks.add_endpoint(member, sandbox, network, asked)
    networks.rename(make_member(endpoints=endpoints, sandbox=sandbox, name="new"))
    assert network.names.find("name1") is None
    found = network.names.find("new")
    assert found is not None
    assert found == network.names.find("alias")


# ---- leases ---------------------------------------------------------------------------


def ipam(*addresses: str) -> FakePlugin:
    """An IPAM plugin that gives the same answers again and again."""
    return FakePlugin({
        "RequestAddress": {"Address": addresses[0]}, "ReleaseAddress": {}, "ReleasePool": {},
    })  # fmt: skip


async def test_leases_are_saved_and_strays_are_released_at_start(context, surroundings):
    surroundings.drivers["pool"] = plugin = ipam("10.0.0.9/24")
    network = make_network("net", "10.0.0.0/24", ipam_driver="pool")
    context.table.add(network)
    kept = await endpoint_of(context, network)
    stray = await endpoint_of(context, network, 2)
    assert kept.address == "10.0.0.9"
    again = NetworkContext(surroundings)
    await again.leases.load({kept.id})
    assert plugin.called.count("ReleaseAddress") == 1
    await again.leases.release(stray.id)
    await again.leases.release(kept.id)
    assert plugin.called.count("ReleaseAddress") == 2


# ---- sandboxes ------------------------------------------------------------------------


async def test_a_shared_namespace_makes_no_sandbox(networks):
    assert await networks.create_sandbox(make_member(network_mode="container:other")) is None


async def test_the_hosts_namespace_has_no_path(networks):
    sandbox = await networks.create_sandbox(make_member(network_mode="host"))
    assert sandbox is not None
    assert (sandbox.path, sandbox.endpoints) == ("", [])


async def test_a_failed_sandbox_leaves_no_endpoint(networks, surroundings):
    remote(surroundings)
    await make(networks, "one", driver="wire")
    endpoints = {"one": EndpointSettings(), "two": EndpointSettings()}
    member = make_member(network_mode="one", endpoints=endpoints)
    with pytest.raises(NotFound) as caught:
        await networks.create_sandbox(member)
    assert caught.value.message == ("failed to set up container networking: network two not found")
    network = networks.resolve("one")
    assert not network.endpoints
    assert endpoints["one"].network_id == network.id


# ---- ports and links ------------------------------------------------------------------


async def test_ports_are_in_the_rules_while_they_are_published(context, network):
    sandbox = SandboxRecord(id="s", path=NET)
    member = make_member(mappings=[PortMapping(80, "tcp", "127.0.0.1", ())])
    await create_endpoint(context, member, sandbox, network, EndpointSettings())
    await reserve_ports(context, member, sandbox)
    (port,) = sandbox.ports
    await publish_ports(context, member, sandbox)
    (rule,) = context.firewall.state.all_ports
    assert (rule.host_ip, rule.host_port, rule.address, rule.port) == (
        "127.0.0.1", port.host_port, "10.0.0.2", 80,
    )  # fmt: skip
    for _ in range(2):
        await unpublish_ports(context, member.id)
    assert not context.firewall.state.all_ports


async def test_ports_are_published_on_routed_networks_without_the_default_route(context, network):
    mode = {"com.docker.network.bridge.gateway_mode_ipv4": "routed"}
    routed = make_network("routed", "10.9.0.0/24", options=mode)
    context.table.add(routed)
    sandbox = SandboxRecord(id="s", path=NET)
    member = make_member(mappings=[PortMapping(80, "tcp", "127.0.0.1", ())])
    for each, priority in ((network, 1), (routed, 0)):
        await create_endpoint(
            context, member, sandbox, each, EndpointSettings(gw_priority=priority)
        )
    await reserve_ports(context, member, sandbox)
    await publish_ports(context, member, sandbox)
    ports = context.firewall.state.all_ports
    assert [(p.host_ip, bool(p.host_port), p.address, p.port, p.direct) for p in ports] == [
        ("127.0.0.1", True, "10.0.0.2", 80, False),
        ("0.0.0.0", False, "10.9.0.2", 80, True),
    ]
    # Leaving the routed network changes nothing else.
    host_port = sandbox.ports[0].host_port
    before = sandbox.main_endpoints
    sandbox.endpoints.pop()
    await republish_ports(context, member, sandbox, before)
    assert [p.host_port for p in sandbox.ports] == [host_port]
    assert [p.address for p in context.firewall.state.all_ports] == ["10.0.0.2"]
    await unpublish_ports(context, member.id)
    assert not context.firewall.state.all_ports


async def test_only_bridges_publish(context):
    network = make_network("net", "10.0.0.0/24", driver="macvlan", options={"parent": "eth0"})
    context.table.add(network)
    sandbox = SandboxRecord(id="s", path=NET)
    member = make_member(mappings=[PortMapping(80, "tcp")])
    await create_endpoint(context, member, sandbox, network, EndpointSettings())
    await reserve_ports(context, member, sandbox)
    assert not sandbox.ports


async def test_links_need_rules_where_containers_may_not_talk(context):
    closed = {"com.docker.network.bridge.enable_icc": "false"}
    for options in ({}, closed):
        default = make_network("bridge", "10.0.0.0/24", options=options)
        here, there = SandboxRecord(id="a", path=NET), SandboxRecord(id="b", path=NET)
        for number, sandbox in enumerate((here, there)):
            member, settings = make_member(number), EndpointSettings()
            await create_endpoint(context, member, sandbox, default, settings)
        endpoint = default_endpoint(there)
        assert endpoint is not None
        linked = [Linked(endpoint, [Port(80, "tcp"), Port(1, "xyz")])]
        wanted = [Link("10.0.0.2", "10.0.0.3", "tcp", 80)] if options else []
        assert link_rules(default, here, linked) == wanted


# ---- which networks go together -------------------------------------------------------


def test_host_and_none_exclude_other_networks():
    drivers = {"host": "host", "none": "null", "one": "bridge", "two": "bridge"}
    made = {name: make_network(name, driver=driver) for name, driver in drivers.items()}
    check_compatible("one", [made["one"], None], made["two"])
    for mode, present, other in (
        ("one", "one", "host"),
        ("host", "host", "one"),
        ("none", "none", "one"),
        ("one", "one", "none"),
    ):
        with pytest.raises(InvalidParameter):
            check_compatible(mode, [made[present]], made[other])


async def test_resolv_conf_names_the_engine_where_it_answers(networks):
    member = make_member()
    assert "127.0.0.11" in networks.resolv_conf(member, embedded=True)
    assert "127.0.0.11" not in networks.resolv_conf(member)


# ---- the default bridge ---------------------------------------------------------------


async def configured(network: Network, monkeypatch, **directives: Any) -> list[tuple[str, str]]:
    """Configure a default bridge, and return its subnets and gateways."""
    monkeypatch.setattr(default_bridge, "host_networks", lambda *_: [ip_network("172.17.0.0/16")])
    config = EngineConfig(**directives)
    await configure_default_bridge(
        network, config, pools=split_pools(config, "engine"), taken=[], resolvers=[]
    )
    return [(pool.subnet, pool.gateway) for pool in network.record.pools]


async def test_the_default_bridge_keeps_its_subnet_unless_directives_say_otherwise(monkeypatch):
    network = make_network("bridge")
    chosen = [("172.18.0.0/16", "172.18.0.1")]
    assert await configured(network, monkeypatch) == chosen
    assert await configured(network, monkeypatch) == chosen
    given = [("10.5.0.0/24", "10.5.0.9")]
    assert await configured(network, monkeypatch, bip="10.5.0.9/24") == given
    assert await configured(network, monkeypatch) == given
    assert network.record.interface == "palan0"
    assert not network.record.foreign


async def test_the_default_bridge_may_have_ipv6_and_another_gateway(monkeypatch):
    network = make_network("bridge")
    directives = {"ipv6": True, "fixed_cidr_v6": "fd01::/64", "default_gateway": "10.5.0.2"}
    pools = await configured(network, monkeypatch, bip="10.5.0.1/24", **directives)
    assert pools == [("10.5.0.0/24", "10.5.0.1"), ("fd01::/64", "fd01::1")]
    assert network.record.pools[0].auxiliary == {"DefaultGatewayIPv4": "10.5.0.2"}
