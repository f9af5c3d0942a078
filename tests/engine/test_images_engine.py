"""Images in a running engine: use by containers and clients, and a restart of the engine."""

import io
import json
import tarfile
from urllib.parse import quote

import pytest
from tests.support.image import busybox_tar
from tests.support.images import make_tar, member


pytestmark = pytest.mark.root

TAR = {"Content-Type": "application/x-tar"}


@pytest.fixture
def engine(engine):
    yield engine
    engine.remove_all()
    for image in engine.api.get("/images/json?all=1").json:
        for name in image["RepoTags"] or [image["Id"]]:
            if name != "busybox:latest":
                engine.api.delete(f"/images/{name}?force=1")


def bring(engine, repository, *members, changes=""):
    """Import an image and return its id."""
    answer = engine.api.post(
        f"/images/create?fromSrc=-&repo={repository}&changes={changes}",
        make_tar(*members or [member("file", b"x")]), headers=TAR,
    )  # fmt: skip
    assert answer.status == 200, answer.body
    return json.loads(answer.body.splitlines()[-1])["status"]


def names(engine, **filters):
    found = engine.api.get(f"/images/json?filters={quote(json.dumps(filters))}").json
    return sorted(name for image in found for name in image["RepoTags"])


def test_an_image_is_found_by_each_of_its_names(engine):
    image = engine.api.get("/images/busybox/json").json
    for name in ("busybox:latest", "docker.io/library/busybox", image["Id"], image["Id"][7:19]):
        assert engine.api.get(f"/images/{name}/json").json["Id"] == image["Id"]
    assert image["RepoTags"] == ["busybox:latest"]
    assert (image["Os"], image["Config"]["Cmd"]) == ("linux", ["sh"])
    answer = engine.api.get("/images/absent/json")
    assert (answer.status, answer.message) == (404, "No such image: absent:latest")


def test_tags_come_and_go(engine):
    assert engine.api.post("/images/busybox/tag?repo=other&tag=1").status == 201
    assert names(engine) == ["busybox:latest", "other:1"]
    assert "other:1" in names(engine, reference=["other"])
    assert names(engine, reference=["absent"]) == []
    deleted = engine.api.delete("/images/other:1").json
    assert deleted == [{"Untagged": "other:1"}]
    assert names(engine) == ["busybox:latest"]


def test_a_container_keeps_its_image(engine):
    image = bring(engine, "kept")
    container = engine.api.post("/containers/create", {"Image": "kept", "Cmd": ["x"]}).json["Id"]
    answer = engine.api.delete("/images/kept")
    assert answer.status == 409
    assert container[:12] in answer.message
    assert engine.api.get(f"/images/{image}/json").status == 200
    engine.remove(container)
    assert engine.api.delete("/images/kept").status == 200
    assert engine.api.get("/images/kept/json").status == 404


def test_an_image_that_lost_its_name_still_runs(engine):
    container = engine.create("true")
    config = "CMD%20%5B%22x%22%5D"
    first = bring(engine, "moving", changes=config)
    held = engine.api.post("/containers/create", {"Image": "moving"}).json["Id"]
    second = bring(engine, "moving", member("other", b"y"), changes=config)
    assert first != second
    assert engine.inspect(held)["Image"] == first
    (line,) = (
        c for c in engine.api.get("/containers/json?all=1").json if c["Id"] == held
    )  # fmt: skip
    assert line["Image"] == first
    assert engine.api.get('/images/json?filters={"dangling":["true"]}').json[0]["Id"] == first
    engine.remove(container)


def test_saved_images_can_be_loaded(engine):
    image = bring(engine, "travel:1", member("hello", b"there"))
    saved = engine.api.get("/images/travel:1/get")
    assert saved.headers["content-type"] == "application/x-tar"
    with tarfile.open(fileobj=io.BytesIO(saved.body)) as archive:
        assert {"manifest.json", "index.json", "oci-layout"} <= set(archive.getnames())
    engine.api.delete("/images/travel:1")
    assert engine.api.get("/images/travel:1/json").status == 404
    answer = engine.api.post("/images/load?quiet=1", saved.body, headers=TAR)
    assert b"Loaded image: travel:1" in answer.body
    assert engine.api.get("/images/travel:1/json").json["Id"] == image


def test_containers_follow_the_images_configuration(engine):
    changes = "ENV%20GREETING%3Dhello&changes=WORKDIR%20/tmp&changes=USER%20app"
    answer = engine.api.post(
        f"/images/create?fromSrc=-&repo=configured&changes={changes}", busybox_tar(), headers=TAR
    )
    assert answer.status == 200
    text = engine.output("sh", "-c", "echo $GREETING; pwd; id -un", Image="configured")
    assert text == "hello\n/tmp\napp\n"


def test_history(engine):
    (layer,) = engine.api.get("/images/busybox/history").json
    assert layer["Tags"] == ["busybox:latest"]
    assert layer["Size"] > 1_000_000


def test_prune_takes_what_has_no_name(engine):
    first = bring(engine, "moving")
    bring(engine, "moving", member("other", b"y"))
    answer = engine.api.post("/images/prune").json
    assert {"Deleted": first} in answer["ImagesDeleted"]
    assert answer["SpaceReclaimed"] > 0
    assert names(engine) == ["busybox:latest", "moving:latest"]
    answer = engine.api.post("/images/prune").json
    assert answer == {"ImagesDeleted": None, "SpaceReclaimed": 0}


def test_prune_takes_an_image_and_what_was_made_from_it(engine):
    bring(engine, "base", changes="LABEL+unused=1")
    container = engine.create(Image="base", Cmd=["x"])
    used = engine.api.post(f"/commit?container={container}&repo=made&tag=1").json["Id"]
    user = engine.create(Image="made:1", Cmd=["x"])
    engine.api.delete(f"/containers/{container}")
    query = quote(json.dumps({"dangling": ["false"], "label": ["unused=1"]}))
    answer = engine.api.post(f"/images/prune?filters={query}").json
    assert {"Untagged": "base:latest"} in answer["ImagesDeleted"]
    assert names(engine) == ["busybox:latest", "made:1"]
    assert engine.api.get(f"/images/{used}/history").status == 200
    engine.api.delete(f"/containers/{user}")
    engine.api.post(f"/images/prune?filters={query}")
    assert names(engine) == ["busybox:latest"]


def test_an_invalid_archive(engine):
    answer = engine.api.post("/images/load", b"this is no tar" * 100, headers=TAR)
    assert b"error" in answer.body or answer.status >= 400
    before = names(engine)
    answer = engine.api.post("/images/create?fromSrc=-&repo=bad", b"x" * 2000, headers=TAR)
    assert answer.status >= 400 or b"error" in answer.body
    assert [name for name in names(engine) if name not in before] in ([], ["bad:latest"])


def test_images_outlive_the_engine(own_engine):
    bring(own_engine, "kept:1", member("hello", b"there"))
    before = own_engine.api.get("/images/json").json
    own_engine.kill()
    own_engine.start()
    assert own_engine.api.get("/images/json").json == before
    assert own_engine.output("echo", "still here") == "still here\n"
