import asyncio
import contextlib
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.containers import fake_context, make_container

from palan.api import UNSET, Filters
from palan.api.containers import ContainerConfig, EndpointSettings, HostConfig, group
from palan.api.errors import InternalError, InvalidParameter, NotFound, PalanError
from palan.engine.containers.listing import select, summaries
from palan.engine.containers.record import MountRecord
from palan.engine.networks.endpoint_records import EndpointRecord, PortRecord, SandboxRecord


NETWORK = "8" * 64
NAMES = [
    declared.name
    for endpoint in group
    if endpoint.operation == "list" and endpoint.filters
    for declared in endpoint.filters.filters
]


class Images:
    """The room of images with only ``web:1`` and its child ``sha256:child``."""

    def resolve(self, name):
        if name == "web:1":
            return SimpleNamespace(id="sha256:web")
        raise NotFound("no such image")

    def descendants(self, names):
        return {"sha256:web", "sha256:child"} if "web:1" in names else set()

    def descriptor(self, _image):
        return UNSET


class Networks:
    def id_of(self, name):
        return NETWORK if name == "bridge" else ""

    def by_id(self, _network):
        return SimpleNamespace(bridge="docker0")

    def is_listed(self, names, wanted):
        return wanted in names


def context_of(*containers):
    return fake_context(*containers, images=Images(), networks=Networks())


def ports(*published, **fields):
    records = [
        PortRecord(host_ip="0.0.0.0", host_port=host, container_port=inner, protocol=protocol)
        for host, inner, protocol in published
    ]
    fields.setdefault("endpoints", [EndpointRecord(id="e", network=NETWORK, network_name="bridge")])
    return SandboxRecord(id="s", path="/run/s", ports=records, **fields)


@pytest.fixture
async def context():
    return context_of(
        make_container(1, name="db", status="exited", exit_code=3, started=1, finished=2,
                       image="sha256:child", mounts=[
                           MountRecord(kind="volume", destination="/v", volume="data")]),
        make_container(2, name="web", status="running", image="sha256:web", started=5,
                       config=ContainerConfig(image="web:1", labels={"tier": "front"},
                                              exposed_ports={"80/tcp": {}, "53/udp": {}}),
                       sandbox=ports((8080, 80, "tcp")),
                       endpoints={"bridge": EndpointSettings()}),
        make_container(3, name="new", config=ContainerConfig(labels={"tier": "back"})),
        make_container(4, name="frozen", status="paused", mounts=[
                           MountRecord(kind="bind", destination="/b", source="/srv/bound")]),
        make_container(5, name="again", status="restarting", exit_code=1, finished=3),
    )  # fmt: skip


def listed(context, everything=True, limit=0, **filters):
    chosen = Filters({k.replace("_", "-"): v for k, v in filters.items()})
    return [c.name for c in select(context, chosen, everything=everything, limit=limit)]


async def test_newest_first_and_what_runs(context):
    assert listed(context, everything=False) == ["again", "frozen", "web"]
    assert listed(context) == ["again", "frozen", "new", "web", "db"]


async def test_a_limit_counts_stopped_ones_too(context):
    assert listed(context, everything=False, limit=3) == ["again", "frozen", "new"]
    assert listed(context, everything=False, limit=-1) == ["again", "frozen", "web"]


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({"status": ["created"]}, ["new"]),
        ({"status": ["paused", "exited"]}, ["frozen", "db"]),
        ({"exited": ["3"]}, ["db"]),
        ({"exited": ["0"]}, []),
        ({"exited": ["1"]}, []),
        ({"exited": ["+3"]}, ["db"]),
        ({"label": ["tier"]}, ["new", "web"]),
        ({"label": ["tier=front"]}, ["web"]),
        ({"name": ["e"]}, ["frozen", "new", "web"]),
        ({"name": ["^/web$"]}, ["web"]),
        ({"name": ["^web$", "db"]}, ["web", "db"]),
        ({"name": ["("]}, []),
        ({"name": ["a{99999999999}"]}, []),
        ({"id": [f"{2:064x}"]}, ["web"]),
        ({"id": ["f"]}, []),
        ({"id": ["0"]}, []),
        ({"id": [""]}, []),
        ({"id": [f"{2:064x}", f"{1:064x}"]}, ["web", "db"]),
        ({"before": ["web"]}, ["db"]),
        ({"since": ["web"]}, ["again", "frozen", "new"]),
        ({"since": ["web"], "before": ["again"]}, ["frozen", "new"]),
        ({"ancestor": ["web:1"]}, ["web", "db"]),
        ({"ancestor": ["absent"]}, []),
        ({"volume": ["data"]}, ["db"]),
        ({"volume": ["/v"]}, ["db"]),
        ({"volume": ["/w"]}, []),
        ({"volume": ["/srv/bound"]}, ["frozen"]),
        ({"network": ["bridge"]}, ["web"]),
        ({"network": ["absent"]}, []),
        ({"publish": ["8080"]}, ["web"]),
        ({"publish": ["80"]}, []),
        ({"publish": ["8000-9000/tcp"]}, ["web"]),
        ({"publish": ["8080/udp"]}, []),
        ({"expose": ["80"]}, ["web"]),
        ({"expose": ["50-60/udp"]}, ["web"]),
        ({"expose": ["0-65535"]}, ["web"]),
        ({"expose": ["80/TCP"]}, ["web"]),
        ({"expose": ["1"], "publish": ["8080"]}, ["web"]),
        ({"health": ["none"]}, ["again", "frozen", "new", "web", "db"]),
        ({"health": ["healthy"]}, []),
        ({"is_task": ["false"]}, ["again", "frozen", "new", "web", "db"]),
        ({"is_task": ["1"]}, []),
        ({"isolation": ["default"]}, ["again", "frozen", "new", "web", "db"]),
        ({"isolation": ["hyperv"]}, ["again", "frozen", "new", "web", "db"]),
        ({"label": ["tier"], "status": ["running"]}, ["web"]),
    ],
)
async def test_filters(context, filters, names):
    assert listed(context, **filters) == names


async def test_an_expression_that_makes_others_backtrack_ends():
    context = context_of(make_container(1, name="a" * 20_000 + "_"))
    assert listed(context, name=["(a+)+$"]) == []


async def test_filters_of_what_does_not_run_imply_all(context):
    assert listed(context, everything=False, status=["exited"]) == ["db"]
    assert listed(context, everything=False, label=["tier"]) == ["web"]
    assert listed(context, everything=False, exited=["3"]) == []


@pytest.mark.parametrize(
    ("filters", "error", "message"),
    [
        ({"exited": ["three"]}, InvalidParameter, "strconv.Atoi"),
        ({"is_task": ["maybe"]}, InvalidParameter, r"is-task=\[maybe\]"),
        ({"before": ["absent"]}, NotFound, "No such container: absent"),
        ({"since": ["absent"]}, NotFound, "No such container: absent"),
        # A 500 in dockerd.
        ({"expose": ["http"]}, InternalError, "expose http: invalid start port 'http'"),
        ({"publish": ["²"]}, InternalError, "invalid start port"),
        ({"publish": ["80-x"]}, InternalError, "invalid end port 'x'"),
        ({"publish": ["80-"]}, InternalError, "invalid end port '': value is empty"),
        ({"publish": ["81-80"]}, InternalError, "invalid port range: 81-80"),
        ({"publish": [""]}, InternalError, "invalid port range: value is empty"),
        ({"publish": ["0-65536"]}, InternalError, "invalid end port '65536': value out of range"),
        ({"expose": ["1:80"]}, InternalError, "filter for 'expose' should not contain ':': 1:80"),
        ({"exited": ["1_0"]}, InvalidParameter, "strconv.Atoi"),
        ({"exited": [" 1"]}, InvalidParameter, "strconv.Atoi"),
    ],
)
async def test_nonsense_is_refused(context, filters, error, message):
    with pytest.raises(error, match=message):
        listed(context, **filters)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES), st.lists(st.text(max_size=10), max_size=3)))
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_any_filter_is_answered_or_refused(filters):
    async def check() -> None:
        with contextlib.suppress(PalanError):
            select(context_of(make_container(1)), Filters(filters), everything=True, limit=0)

    asyncio.run(check())


async def test_a_summary(context):
    (line,) = summaries(context, [context.registry.get("web")])
    assert (line.names, line.image, line.image_id) == (["/web"], "web:1", "sha256:web")
    assert (line.state, line.labels) == ("running", {"tier": "front"})
    shown = [(p.ip, p.public_port, p.private_port, p.type) for p in line.ports]
    assert shown[0] == ("0.0.0.0", 8080, 80, "tcp")
    assert shown[1][2:] == (53, "udp")


async def test_an_image_is_called_by_its_id_once_its_name_means_another(context):
    container = make_container(
        9, image="sha256:old", config=ContainerConfig(image="web:1"), path="sh", args=["-c", "a b"]
    )
    (line,) = summaries(context, [container])
    assert line.image == "sha256:old"
    assert line.command == "sh -c 'a b'"


async def test_a_stopped_container_shows_no_ports(context):
    container = make_container(9, config=ContainerConfig(exposed_ports={"80/tcp": {}}))
    assert summaries(context, [container])[0].ports == []


async def test_an_annotation_is_shown(context):
    host = HostConfig(network_mode="bridge", annotations={"a": "b"})
    (line,) = summaries(context, [make_container(9, host_config=host)])
    assert line.host_config.annotations == {"a": "b"}
    assert line.host_config.network_mode == "bridge"
