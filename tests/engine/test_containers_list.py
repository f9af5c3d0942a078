"""The list of containers: its shape, its order, and its filters."""

import json
from urllib.parse import urlencode

import pytest


pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def three(shared_engine):
    """Yield an engine with ``run`` (running), ``two`` (exit code 3), ``new`` (created)."""
    engine = shared_engine
    run = engine.run(
        "sleep", "600", name="run", Labels={"tier": "web", "all": "1"},
        ExposedPorts={"8080/tcp": {}},
        host={"PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "18467"}]}},
    )  # fmt: skip
    two = engine.run(
        "sh", "-c", "echo x > /x; exit 3", name="two", Labels={"tier": "db", "all": "1"},
        host={"Mounts": [{"Type": "volume", "Source": "listed", "Target": "/v"}]},
    )  # fmt: skip
    engine.wait(two)
    new = engine.create(
        "true", name="new", ExposedPorts={"9000/udp": {}}, Labels={"all": "1"},
        host={"Annotations": {"a": "b"}},
    )  # fmt: skip
    yield {"run": run, "two": two, "new": new}
    engine.remove_all()
    engine.api.delete("/volumes/listed")


def get(engine, filters=None, **query):
    if filters is not None:
        query["filters"] = json.dumps(filters)
    return engine.api.get(f"/containers/json?{urlencode(query)}")


def names(engine, filters=None, **query):
    answer = get(engine, filters, **query)
    assert answer.status == 200, answer.body
    return [line["Names"][0][1:] for line in answer.json]


def test_a_line(shared_engine, three):
    [line] = get(shared_engine, {"name": ["run"]}).json
    inspected = shared_engine.inspect(three["run"])
    bridge = inspected["NetworkSettings"]["Networks"]["bridge"]
    descriptor = line.pop("ImageManifestDescriptor")
    assert descriptor["mediaType"].startswith("application/vnd.")
    assert isinstance(line.pop("Created"), int)
    assert line.pop("Status").startswith(("Up ", "Up Less than a second"))
    assert line == {
        "Id": three["run"],
        "Names": ["/run"],
        "Image": "busybox:latest",
        "ImageID": inspected["Image"],
        "Command": "sleep 600",
        "Ports": line["Ports"],
        "Labels": {"tier": "web", "all": "1"},
        "State": "running",
        "HostConfig": {"NetworkMode": "bridge"},
        "Health": {"Status": "none", "FailingStreak": 0},
        "NetworkSettings": {"Networks": {"bridge": {**bridge, "DNSNames": None}}},
        "Mounts": [],
    }
    assert sorted(line["Ports"], key=lambda p: p["PrivatePort"]) == [
        {"IP": "127.0.0.1", "PrivatePort": 80, "PublicPort": 18467, "Type": "tcp"},
        {"IP": "", "PrivatePort": 8080, "Type": "tcp"},
    ]


def test_lines_of_others(shared_engine, three):
    new, two = get(shared_engine, {"status": ["created", "exited"]}).json
    assert (two["State"], two["Id"]) == ("exited", three["two"])
    assert two["Status"].startswith("Exited (3) ")
    assert two["Command"] == "sh -c 'echo x > /x; exit 3'"
    assert [mount["Name"] for mount in two["Mounts"]] == ["listed"]
    assert (new["State"], new["Status"]) == ("created", "Created")
    assert new["HostConfig"] == {"NetworkMode": "bridge", "Annotations": {"a": "b"}}
    assert new["NetworkSettings"]["Networks"]["bridge"]["NetworkID"] == ""
    assert new["Ports"] == []


@pytest.mark.usefixtures("three")
def test_filters_select_containers(shared_engine):
    assert names(shared_engine) == ["run"]
    assert names(shared_engine, all="1") == ["new", "two", "run"]
    assert names(shared_engine, all="maybe") == ["new", "two", "run"]
    assert names(shared_engine, limit="2") == ["new", "two"], "of all of them"
    assert names(shared_engine, limit="-1") == ["run"]
    assert names(shared_engine, {}, limit="1") == ["new"]


@pytest.mark.usefixtures("three")
def test_sizes(shared_engine):
    [line] = get(shared_engine, {"name": ["two"]}, all=1, size=1).json
    assert 0 < line["SizeRw"] < line["SizeRootFs"]
    [line] = get(shared_engine, {"name": ["two"]}, all=1).json
    assert "SizeRw" not in line


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({"ancestor": ["busybox"]}, ["new", "two", "run"]),
        ({"ancestor": ["absent"]}, []),
        ({"before": ["two"]}, ["run"]),
        ({"since": ["two"]}, ["new"]),
        ({"exited": ["3"]}, ["two"]),
        ({"exited": ["0"]}, []),
        ({"expose": ["8080"]}, ["run"]),
        ({"expose": ["8000-9000/tcp"]}, ["run"]),
        ({"expose": ["9000/udp"]}, []),
        ({"publish": ["18467"]}, ["run"]),
        ({"publish": ["80"]}, []),
        ({"health": ["none"]}, ["new", "two", "run"]),
        ({"health": ["healthy"]}, []),
        ({"is-task": ["true"]}, []),
        ({"is-task": ["0"]}, ["new", "two", "run"]),
        ({"label": ["tier=web"]}, ["run"]),
        ({"label": ["tier", "all=1"]}, ["two", "run"]),
        ({"label": {"tier=web": True}}, ["run"]),
        ({"name": ["w"]}, ["new", "two"]),
        ({"name": ["/two"]}, ["two"]),
        ({"name": ["^/two$"]}, ["two"]),
        ({"name": ["^two$"]}, ["two"]),
        ({"name": ["tw("]}, []),
        ({"network": ["bridge"]}, ["new", "two", "run"]),
        ({"network": ["absent"]}, []),
        ({"status": ["running", "created"]}, ["new", "run"]),
        ({"status": ["exited"]}, ["two"]),
        ({"volume": ["listed"]}, ["two"]),
        ({"volume": ["/v"]}, ["two"]),
        ({"name": ["two"], "status": ["running"]}, []),
    ],
)
def test_filters(shared_engine, filters, expected):
    assert names(shared_engine, filters, all=1) == expected


@pytest.mark.parametrize("path", ["/containers/json?all=1&", "/volumes?"])
def test_filters_that_make_others_backtrack_are_answered(shared_engine, path):
    name = "a" * 60 + "_"
    container = shared_engine.create("true", name=name)
    shared_engine.api.post("/volumes/create", {"Name": name})
    try:
        query = urlencode({"filters": json.dumps({"name": ["(a+)+$"]})})
        answer = shared_engine.api.get(path + query)
        assert answer.status == 200
        assert name not in answer.body.decode()
    finally:
        shared_engine.api.delete(f"/containers/{container}")
        shared_engine.api.delete(f"/volumes/{name}")


def test_filter_by_id(shared_engine, three):
    assert names(shared_engine, {"id": [three["two"][:6]]}, all=1) == ["two"]
    assert names(shared_engine, {"id": ["f" * 20]}, all=1) == []


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ({"filters": '{"bogus":["x"]}'}, 400, "invalid filter 'bogus'"),
        ({"filters": "label=x"}, 400, "invalid filter"),
        ({"filters": '["label"]'}, 400, None),
        (
            {"filters": '{"status":["bogus"]}'}, 400,
            ("invalid filter 'status=bogus': invalid value for state (bogus): must be one of"
            " created, running, paused, restarting, removing, exited, dead"),
        ),
        ({"filters": '{"exited":["three"]}'}, 400, None),
        ({"filters": '{"is-task":["maybe"]}'}, 400, None),
        ({"filters": '{"before":["absent"]}'}, 404, "No such container: absent"),
        ({"limit": "few"}, 400, None),
    ],
)  # fmt: skip
def test_refusals(shared_engine, query, status, message):
    answer = shared_engine.api.get(f"/containers/json?{urlencode(query)}")
    assert answer.status == status
    assert message in (None, answer.message)
