import pytest

from palan.api import Filters
from palan.api.system import EventActor, EventMessage
from palan.engine.system.event_filters import event_test


CONTAINER = "4" * 64


def event(kind="container", action="start", actor=CONTAINER, scope="local", **attributes):
    return EventMessage(
        type=kind,
        action=action,
        actor=EventActor(id=actor, attributes=attributes),
        scope=scope,
        time=1,
        time_nano=1_000_000_000,
    )


WEB = event(name="web", image="registry:5000/shop/web:1.2", tier="front")
PULL = event("image", "pull", "shop/web:1.2", name="shop/web")
CONNECT = event("network", "connect", "8" * 64, container=CONTAINER, name="bridge", type="bridge")
EXEC = event(action="exec_create: sh -c true", name="web")
HEALTH = event(action="health_status: healthy", name="web")


@pytest.mark.parametrize(
    ("filters", "given", "wanted"),
    [
        ({}, WEB, True),
        ({"event": ["start"]}, WEB, True),
        ({"event": ["die", "start"]}, WEB, True),
        ({"event": ["star"]}, WEB, False),
        ({"event": ["exec_create"]}, EXEC, True),
        ({"event": ["exec_create: sh -c true"]}, EXEC, True),
        ({"event": ["exec_create: ls"]}, EXEC, False),
        ({"event": ["health_status"]}, HEALTH, True),
        ({"event": ["health_status: unhealthy"]}, HEALTH, False),
        ({"type": ["container"]}, WEB, True),
        ({"type": ["network", "volume"]}, WEB, False),
        ({"scope": ["swarm"]}, WEB, False),
        ({"scope": ["local"]}, WEB, True),
        ({"container": ["web"]}, WEB, True),
        ({"container": ["we"]}, WEB, True),
        ({"container": ["44444"]}, WEB, True),
        ({"container": ["eb"]}, WEB, False),
        ({"container": ["other", "web"]}, WEB, True),
        # As with dockerd, a container's connection to a network is an event of the network.
        ({"container": [CONTAINER]}, CONNECT, False),
        ({"network": ["bridge"]}, CONNECT, True),
        ({"network": ["888"]}, CONNECT, True),
        # As in dockerd, the kind of the object is that of the filter ``type`` only.
        ({"volume": ["web"]}, WEB, True),
        ({"volume": ["web"], "type": ["volume"]}, WEB, False),
        ({"event": ["exec_create", "star"]}, WEB, True),
        ({"event": ["exec_create: sh"]}, EXEC, False),
        ({"event": ["exec_create", "exec_create: sh"]}, EXEC, True),
        ({"image": ["registry:5000/shop/web:1.2"]}, WEB, True),
        ({"image": ["registry:5000/shop/web"]}, WEB, True),
        ({"image": ["registry"]}, WEB, False),
        ({"image": ["registry:5000/shop"]}, WEB, False),
        ({"image": ["shop/web:1.2"]}, PULL, True),
        ({"image": ["shop/web"]}, PULL, True),
        ({"image": ["shop/web:1.3"]}, PULL, False),
        ({"image": [""]}, event("image", "prune", ""), False),
        ({"image": ["web"]}, event(image=f"web:1@sha256:{'a' * 64}"), True),
        ({"image": [f"sha256:{'b' * 64}"]}, event("image", "tag", f"sha256:{'b' * 64}"), True),
        ({"image": ["sha256"]}, event("image", "tag", f"sha256:{'b' * 64}"), False),
        ({"label": ["tier"]}, WEB, True),
        ({"label": ["tier=front"]}, WEB, True),
        ({"label": ["tier=back"]}, WEB, False),
        ({"label": ["tier", "absent"]}, WEB, False),
        ({"daemon": ["host"]}, WEB, False),
        ({"daemon": ["host"]}, event("daemon", "reload", "id", name="host"), True),
        ({"daemon": ["id"]}, event("daemon", "reload", "id", name="host"), True),
        ({"config": ["c1"]}, event("config", "create", "c1"), True),
        ({"nonsense": ["x"]}, WEB, True),
        ({"type": ["container"], "container": ["web"], "event": ["die"]}, WEB, False),
    ],
)
def test_filters_select_events(filters, given, wanted):
    assert event_test(Filters(filters))(given) is wanted


def test_an_event_without_attributes_is_no_error():
    bare = event("daemon", "events-lost", "")
    assert event_test(Filters({"type": ["daemon"]}))(bare)
    assert not event_test(Filters({"container": ["x"], "image": ["y"], "label": ["z"]}))(bare)
