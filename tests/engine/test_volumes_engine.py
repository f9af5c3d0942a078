"""Volumes: named and anonymous, filled from the image, shared, in use, removed with containers."""

import io
import json
import tarfile
import time
from pathlib import Path

import pytest
from tests.support.crash import assert_same_footprint, settled_footprint


pytestmark = pytest.mark.root

SLEEP = ("sleep", "600")


@pytest.fixture
def engine(engine):
    yield engine
    engine.remove_all()
    engine.api.post('/volumes/prune?filters={"all":["1"]}')


@pytest.fixture(scope="module")
def filled(shared_engine):
    """Yield an image with a declared volume, at whose path the image has files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("bin", "data", "data/sub"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            if name == "data":
                entry.mode, entry.uid, entry.gid = 0o750, 1000, 1001
            tar.addfile(entry)
        tar.add("/bin/busybox", "bin/busybox")
        for applet in ("sh", "cat", "ls", "stat", "sleep", "true", "touch"):
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)
        entry = tarfile.TarInfo("data/sub/file")
        entry.size, entry.uid = 5, 1000
        tar.addfile(entry, io.BytesIO(b"image"))
        entry = tarfile.TarInfo("data/link")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(entry)
        entry = tarfile.TarInfo("out")
        entry.type, entry.linkname = tarfile.SYMTYPE, "../../../../../../../bin"
        tar.addfile(entry)
    answer = shared_engine.api.post(
        "/images/create?fromSrc=-&repo=filled&changes=VOLUME%20/data",
        buffer.getvalue(), headers={"Content-Type": "application/x-tar"},
    )  # fmt: skip
    assert answer.status == 200, answer.body
    yield "filled"
    shared_engine.remove_all()
    shared_engine.api.delete("/images/filled?force=1")


def volumes(engine):
    return {volume["Name"]: volume for volume in engine.api.get("/volumes").json["Volumes"]}


def test_a_named_volume_outlives_its_containers(engine):
    host = {"Binds": ["data:/v"]}
    engine.wait(engine.run("sh", "-c", "echo kept >/v/file", host=host))
    assert engine.output("cat", "/v/file", host=host) == "kept\n"
    engine.remove_all()
    assert list(volumes(engine)) == ["data"]
    assert Path(volumes(engine)["data"]["Mountpoint"], "file").read_text() == "kept\n"


def test_a_volume_that_can_only_be_read(engine):
    text = engine.output("sh", "-c", "touch /v/x; echo $?", host={"Binds": ["data:/v:ro"]})
    assert "Read-only file system" in text


def test_the_images_files_are_copied_with_owners_modes_and_links(engine, filled):
    show = ("sh", "-c", "stat -c '%a %u %g' /data; cat /data/sub/file; ls -l /data/link")
    for host in ({}, {"Binds": ["data:/data"]}, {"Binds": ["data:/data"]}):
        text = engine.output(*show, host=host, Image=filled)
        assert text.splitlines()[0] == "750 1000 1001"
        assert "image" in text
        assert "link -> /etc/passwd" in text


def test_a_volume_that_a_container_uses_is_filled_in_place(engine, filled):
    engine.run(*SLEEP, host={"Binds": ["data:/v"]})
    text = engine.output("sh", "-c", "stat -c '%a %u %g' /data; cat /data/sub/file",
                         host={"Binds": ["data:/data"]}, Image=filled)  # fmt: skip
    assert text.splitlines()[0] == "750 1000 1001"
    assert "image" in text


def test_no_copy_is_respected(engine, filled):
    mount = {"Type": "volume", "Source": "bare", "Target": "/data"}
    host = {"Mounts": [{**mount, "VolumeOptions": {"NoCopy": True}}]}
    assert engine.output("ls", "/data", host=host, Image=filled) == ""


def test_a_volume_that_has_something_is_left_as_it_is(engine, filled):
    engine.wait(engine.run("touch", "/v/own", host={"Binds": ["data:/v"]}))
    text = engine.output("ls", "/data", host={"Binds": ["data:/data"]}, Image=filled)
    assert text == "own\n"


def test_a_link_of_the_image_does_not_lead_to_the_hosts_files(engine, filled):
    engine.create("true", host={"Binds": ["copied:/out"]}, Image=filled)
    copied = {path.name for path in Path(volumes(engine)["copied"]["Mountpoint"]).iterdir()}
    assert copied == {"busybox", "sh", "cat", "ls", "stat", "sleep", "true", "touch"}


@pytest.mark.parametrize(("query", "left"), [("", 1), ("v=1", 0)])
def test_an_anonymous_volume_goes_with_its_container_if_asked(engine, filled, query, left):
    container = engine.create(*SLEEP, Image=filled)
    (mount,) = engine.inspect(container)["Mounts"]
    assert (mount["Type"], mount["Destination"], mount["RW"]) == ("volume", "/data", True)
    assert len(mount["Name"]) == 64
    assert mount["Source"] == volumes(engine)[mount["Name"]]["Mountpoint"]
    assert engine.api.delete(f"/containers/{container}?{query}").status == 204
    assert len(volumes(engine)) == left


def test_a_container_that_removes_itself_takes_its_anonymous_volume_along(engine, filled):
    host = {"AutoRemove": True, "Binds": ["named:/named"]}
    container = engine.create("true", host=host, Image=filled)
    waiting = engine.api.post(f"/containers/{container}/start")
    assert waiting.status == 204
    engine.api.post(f"/containers/{container}/wait?condition=removed")
    assert list(volumes(engine)) == ["named"]


def test_volumes_from_another_container(engine, filled):
    first = engine.create(*SLEEP, name="first", host={"Binds": ["data:/v"]}, Image=filled)
    text = engine.output("sh", "-c", "cat /data/sub/file; touch /v/shared",
                         host={"VolumesFrom": ["first"]})  # fmt: skip
    assert text == "image"
    text = engine.output("sh", "-c", "ls /v; touch /v/no; true", host={"VolumesFrom": ["first:ro"]})
    assert text.startswith("shared\n")
    assert "Read-only" in text
    # An anonymous volume is not removed while another container uses it.
    second = engine.create(*SLEEP, host={"VolumesFrom": ["first"]})
    engine.remove(first)
    assert len(volumes(engine)) == 2
    engine.remove(second)
    assert list(volumes(engine)) == ["data"]


def test_a_volume_in_use_stays(engine):
    container = engine.create(*SLEEP, host={"Binds": ["data:/v"]})
    for query in ("", "?force=1"):
        answer = engine.api.delete(f"/volumes/data{query}")
        assert answer.status == 409
        assert answer.message == f"remove data: volume is in use - [{container}]"
    answer = engine.api.post('/volumes/prune?filters={"all":["true"]}')
    assert answer.json == {"VolumesDeleted": [], "SpaceReclaimed": 0}
    engine.remove(container)
    assert engine.api.delete("/volumes/data").status == 204
    assert engine.api.delete("/volumes/data").status == 404


def test_refusals(engine):
    for path, status, message in (
        ("/volumes/absent", 404, "get absent: no such volume"),
        ("/volumes?filters={", 400, "error reading volume filters: invalid filter"),
        ('/volumes?filters={"bogus":["x"]}', 400, "invalid filter 'bogus'"),
    ):
        answer = engine.api.get(path)
        assert (answer.status, answer.message) == (status, message)
    for body, status, message in (
        ({"Name": "a"}, 400, "create a: volume name is too short"),
        ({"Name": "x y"}, 400, 'create x y: "x y" includes invalid characters'),
        ({"Name": "data", "Driver": "nfs"}, 404, "create data: error looking up volume plugin nfs"),
        ({"Name": "data", "DriverOpts": {"size": "big"}}, 400, "create data: invalid size: 'big'"),
        ({"Name": "data", "ClusterVolumeSpec": {}}, 503, "This node is not a swarm manager."),
    ):
        answer = engine.api.post("/volumes/create", body)
        assert answer.status == status
        assert answer.message.startswith(message)
    assert volumes(engine) == {}


def test_prune(engine):
    engine.api.post("/volumes/create", {"Name": "named"})
    anonymous = engine.api.post("/volumes/create", {}).json
    Path(anonymous["Mountpoint"], "file").write_bytes(bytes(4096))
    answer = engine.api.post("/volumes/prune")
    assert answer.json == {"VolumesDeleted": [anonymous["Name"]], "SpaceReclaimed": 4096}
    assert list(volumes(engine)) == ["named"]
    # Before 1.42, named volumes were pruned too.
    answer = engine.api.at("1.41").post("/volumes/prune")
    assert answer.json["VolumesDeleted"] == ["named"]


def test_two_containers_write_to_one_volume(engine):
    host = {"Binds": ["data:/v"]}
    writer = engine.run("sh", "-c", "echo from the first >/v/file; sleep 600", host=host)
    text = engine.output("sh", "-c", "until [ -s /v/file ]; do :; done; cat /v/file", host=host)
    assert text == "from the first\n"
    engine.remove(writer)


def test_events(engine):
    since = time.time()
    container = engine.run("true", host={"Binds": ["data:/v"]})
    engine.wait(container)
    engine.remove(container)
    engine.api.delete("/volumes/data")
    answer = engine.api.get(
        f"/events?since={since:.6f}&until={time.time():.6f}"
        '&filters={"type":["volume"],"volume":["data"]}'
    )
    actions = [json.loads(line)["Action"] for line in answer.body.splitlines()]
    assert actions[0] == "create"
    assert actions[-1] == "destroy"


def test_nothing_is_left(engine, filled):
    before = settled_footprint(engine)
    container = engine.run("true", host={"Binds": ["data:/v"]}, Image=filled)
    engine.wait(container)
    engine.remove(container)
    engine.api.delete("/volumes/data")
    assert_same_footprint(engine, before)


def test_volumes_outlive_the_engine(own_engine):
    own_engine.api.post("/volumes/create", {"Name": "data", "Labels": {"a": "b"}})
    container = own_engine.create(*SLEEP, host={"Binds": ["used:/v"]})
    before = volumes(own_engine)
    own_engine.kill()
    own_engine.start()
    assert volumes(own_engine) == before
    assert own_engine.api.delete("/volumes/used").status == 409
    own_engine.remove(container)
    assert own_engine.api.delete("/volumes/used").status == 204


def test_a_source_that_cannot_be_made_is_the_callers_mistake(engine, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "dangling").symlink_to(tmp_path / "absent")
    for source, why in (("file/x", "not a directory"), ("dangling", "file exists")):
        container = engine.create("true", host={"Binds": [f"{tmp_path}/{source}:/y"]})
        answer = engine.api.post(f"/containers/{container}/start")
        assert answer.status == 400
        path = tmp_path / source
        assert answer.message == (
            f"error while creating mount source path '{path}': mkdir {path}: {why}"
        )


def test_an_image_without_layers_runs(engine):
    config = json.dumps({
        "architecture": "amd64", "os": "linux", "config": {"Volumes": {"/data": {}}},
        "rootfs": {"type": "layers", "diff_ids": []},
    }).encode()  # fmt: skip
    manifest = [{"Config": "config.json", "RepoTags": ["bare:latest"], "Layers": []}]
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, data in (
            ("config.json", config), ("manifest.json", json.dumps(manifest).encode()),
        ):  # fmt: skip
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    answer = engine.api.post(
        "/images/load", archive.getvalue(), headers={"Content-Type": "application/x-tar"}
    )
    assert answer.status == 200
    assert b"error" not in answer.body
    found = engine.output(
        "/busybox", "ls", "/data", host={"Binds": ["/bin/busybox:/busybox:ro"]}, Image="bare"
    )
    assert found == ""
    assert engine.api.delete("/images/bare").status == 200
