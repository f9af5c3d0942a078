from pathlib import Path
from types import SimpleNamespace

import pytest
from tests.support.containers import fake_context, make_container

from palan.api.containers import ContainerConfig, HostConfig, Mount
from palan.api.errors import InvalidParameter
from palan.engine.containers.copyup import is_empty
from palan.engine.containers.mounts import hold_inherited, plan_mounts
from palan.engine.containers.record import MountRecord
from palan.engine.paths import Paths


def plan(*others, volumes=(), **host):
    config = ContainerConfig(volumes={path: {} for path in volumes})
    context = fake_context(*others, paths=Paths(Path("/var/lib/palan"), Path("/run/palan")))
    return plan_mounts(context, config, HostConfig(network_mode="bridge", **host))


def donor(*mounts):
    return make_container(1, name="donor", mounts=list(mounts))


DATA = MountRecord(kind="volume", destination="/data", source="/v/data/_data", volume="data")
BIND = MountRecord(kind="bind", destination="/etc/x", source="/host/x", read_only=True)
TMPFS = MountRecord(kind="tmpfs", destination="/tmp")


async def test_a_named_volume_and_one_without_a_name():
    found = plan(volumes=["/cache"], binds=["data:/data:ro", "/host:/inside"])
    requests = {request.destination: (request, name) for request, name in found.requests}
    assert requests["/data"][0].read_only
    assert requests["/data"][1] == "data"
    assert (requests["/inside"][0].kind, requests["/inside"][1]) == ("bind", "")
    assert [requests["/cache"][1]] == found.anonymous
    assert len(found.anonymous[0]) == 64


async def test_every_anonymous_volume_has_a_name_of_its_own():
    found = plan(volumes=["/a", "/b"], mounts=[Mount(type="volume", target="/c")])
    assert len(set(found.anonymous)) == 3


async def test_mounts_of_other_containers_are_inherited_but_for_memory():
    found = plan(donor(DATA, BIND, TMPFS), volumes_from=["donor"])
    assert {m.destination: m.read_only for m in found.inherited} == {
        "/data": False,
        "/etc/x": True,
    }
    assert found.inherited[0].volume == "data"
    assert found.requests == []


async def test_inherited_mounts_can_be_made_read_only():
    other = donor(DATA)
    found = plan(other, volumes_from=["donor:ro"])
    assert found.inherited[0].read_only
    assert not other.record.mounts[0].read_only


async def test_requested_mounts_override_inherited_ones_and_these_the_images():
    found = plan(donor(DATA, BIND), volumes_from=["donor"], binds=["other:/data"])
    assert [m.destination for m in found.inherited] == ["/etc/x"]
    assert [name for _, name in found.requests] == ["other"]
    found = plan(donor(DATA), volumes=["/data"], volumes_from=["donor"])
    assert [m.destination for m in found.inherited] == ["/data"]


async def test_the_last_of_several_containers_wins():
    second = make_container(2, name="second", mounts=[
        MountRecord(kind="volume", destination="/data", source="/v/2/_data", volume="two")
    ])  # fmt: skip
    found = plan(donor(DATA), second, volumes_from=["donor", "second"])
    assert [m.volume for m in found.inherited] == ["two"]


async def test_a_container_that_is_not_there():
    with pytest.raises(InvalidParameter, match="No such container: absent"):
        plan(volumes_from=["absent"])


async def test_mounts_are_shown_with_source_and_mode():
    point = DATA.point()
    assert (point.type, point.name, point.driver, point.rw) == ("volume", "data", "local", True)
    assert make_container(1, mounts=[DATA, MountRecord(kind="tmpfs", destination="/t",
                          listed=False)]).record.mount_points() == [point]  # fmt: skip


async def test_an_anonymous_volume_goes_with_the_last_container_that_has_it():
    other = donor(DATA)
    other.record.anonymous_volumes = ["data"]
    assert plan(other, volumes_from=["donor"]).anonymous == ["data"]
    assert plan(other).anonymous == []


async def test_volumes_of_others_are_held_at_once():
    held = []
    volumes = SimpleNamespace(use=lambda name, user: held.append((name, user)))
    found = plan(donor(DATA, BIND), volumes_from=["donor"])
    hold_inherited(fake_context(volumes=volumes), "me", found)
    assert held == [("data", "me")]


def test_an_empty_directory(tmp_path):
    assert is_empty(tmp_path)
    (tmp_path / "file").touch()
    assert not is_empty(tmp_path)
