"""Pulls from a working registry, and from ones with faults."""

import contextlib
import gzip
import http.client
import json
import shutil
import subprocess
import threading
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from tests.support.crash import eventually
from tests.support.engine import TestEngine
from tests.support.images import make_tar, member, sha256
from tests.support.registry import serve
from tests.support.registry_fake import (
    DOCKER_LIST,
    DOCKER_MANIFEST,
    OCI_INDEX,
    FakeRegistry,
    cutting,
    failing,
    noise,
    slow,
)


pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def puller():
    engine = TestEngine("--max-download-attempts=3")
    engine.start()
    yield engine
    engine.close()


@pytest.fixture
def registry(puller):
    fake = FakeRegistry()
    with serve(fake) as server:
        fake.address = server.address
        yield fake
    remove_images(puller)


def remove_images(engine):
    for image in engine.api.get("/images/json?all=1").json:
        assert engine.api.delete(f"/images/{image['Id']}?force=1").status in (200, 404)
    engine.api.post("/images/prune")


def pull(engine, name, tag="", platform="", **options):
    """Return the lines of a pull, or the error response."""
    query = f"fromImage={quote(name)}&tag={quote(tag)}&platform={quote(platform)}"
    answer = engine.api.post(f"/images/create?{query}", **options)
    if answer.status != 200:
        return answer
    return [json.loads(line) for line in answer.body.splitlines()]


def error(lines):
    assert lines[-1]["error"] == lines[-1]["errorDetail"]["message"]
    return lines[-1]["error"]


def statuses(lines, digest=""):
    """Return the statuses of a layer, each of them once."""
    said = [line["status"] for line in lines if line.get("id", "") == digest[7:19]]
    return list(dict.fromkeys(said))


def layer(text="hello", size=0, seed=0):
    return make_tar(member("file.txt", text.encode()), member("noise", noise(size, seed)))


# ---- successful pulls --------------------------------------------------------------


def test_a_tag(puller, registry):
    plain = layer()
    packed = gzip.compress(plain)
    digest = registry.image("team/app", "1", packed, diffs=[plain])["digest"]
    name = f"{registry.address}/team/app:1"

    lines = pull(puller, f"{registry.address}/team/app", "1")
    assert lines[0] == {"status": "Pulling from team/app", "id": "1"}
    assert lines[1] == {
        "status": "Pulling fs layer", "progressDetail": {}, "id": sha256(packed)[7:19]
    }  # fmt: skip
    assert lines[-3] == {
        "status": "Pull complete",
        "progressDetail": {"hidecounts": True},
        "id": sha256(packed)[7:19],
    }
    assert lines[-2:] == [
        {"status": f"Digest: {digest}"},
        {"status": f"Status: Downloaded newer image for {name}"},
    ]
    image = puller.api.get(f"/images/{name}/json").json
    assert image["RepoTags"] == [name]
    assert image["RepoDigests"] == [f"{registry.address}/team/app@{digest}"]
    assert image["RootFS"]["Layers"] == [sha256(plain)]

    again = pull(puller, name)
    assert again == [
        {"status": "Pulling from team/app", "id": "1"},
        {"status": f"Digest: {digest}"},
        {"status": f"Status: Image is up to date for {name}"},
    ]
    assert registry.seen[f"GET blobs/{sha256(packed)}"] == 1


def test_the_event(puller, registry):
    registry.image("app", "1", layer(), config={"Labels": {"a": "b"}})
    since = time.time()
    pull(puller, f"{registry.address}/app:1")
    events = puller.api.get(f"/events?since={since}&until={time.time() + 0.1}").body.splitlines()
    told = [json.loads(line) for line in events if b'"pull"' in line]
    assert [(e["Type"], e["Actor"]["ID"], e["Actor"]["Attributes"]) for e in told] == [
        ("image", f"{registry.address}/app:1", {"a": "b", "name": f"{registry.address}/app"})
    ]


def test_a_digest(puller, registry):
    digest = registry.image("app", "", layer())["digest"]
    name = f"{registry.address}/app@{digest}"
    lines = pull(puller, f"{registry.address}/app", digest)
    assert lines[0] == {"status": "Pulling from app", "id": name}
    assert lines[-1] == {"status": f"Status: Downloaded newer image for {name}"}
    image = puller.api.get(f"/images/{name}/json").json
    assert (image["RepoTags"], image["RepoDigests"]) == ([], [name])
    assert pull(puller, name)[-1] == {"status": f"Status: Image is up to date for {name}"}
    (listed,) = puller.api.get("/images/json").json
    assert (listed["RepoTags"], listed["RepoDigests"]) == ([], [name])
    assert puller.api.get('/images/json?filters={"dangling":["true"]}').json == []
    assert puller.api.delete(f"/images/{name}").json[0] == {"Untagged": name}
    assert puller.api.get("/images/json").json == []


def test_all_tags(puller, registry):
    for tag in ("1", "2", "latest"):
        registry.image("app", tag, layer(tag))
    lines = pull(puller, f"{registry.address}/app")
    assert [line["id"] for line in lines if line["status"] == "Pulling from app"] == [
        "1", "2", "latest",
    ]  # fmt: skip
    assert len(puller.api.get("/images/json").json) == 3


def test_a_moved_tag(puller, registry):
    registry.image("app", "1", layer("old"))
    pull(puller, f"{registry.address}/app:1")
    new = registry.image("app", "1", layer("new"))["digest"]
    assert pull(puller, f"{registry.address}/app:1")[-1]["status"].startswith("Status: Downloaded")
    image = puller.api.get(f"/images/{registry.address}/app:1/json").json
    assert image["RepoDigests"] == [f"{registry.address}/app@{new}"]


@pytest.mark.parametrize("kind", [DOCKER_LIST, "application/vnd.oci.image.index.v1+json"])
def test_an_index(puller, registry, kind):
    ours = registry.image("app", "", layer("ours"), kind=DOCKER_MANIFEST)
    other = registry.image("app", "", layer("other"), platform=("linux", "riscv64"))
    statement = registry.image(
        "app", "", b'{"_type": "statement"}', layer_type="application/vnd.in-toto+json"
    )
    attested = {
        **statement,
        "platform": {"os": "unknown", "architecture": "unknown"},
        "annotations": {
            "vnd.docker.reference.digest": ours["digest"],
            "vnd.docker.reference.type": "attestation-manifest",
        },
    }
    digest = registry.index(
        "app",
        "1",
        {**other, "platform": {"os": "linux", "architecture": "riscv64"}},
        {**ours, "platform": {"os": "linux", "architecture": "amd64"}},
        attested,
        kind=kind,
    )
    name = f"{registry.address}/app:1"
    assert pull(puller, name)[-2] == {"status": f"Digest: {digest}"}
    image = puller.api.get(f"/images/{name}/json?manifests=1").json
    assert image["Descriptor"]["digest"] == digest
    assert image["Architecture"] == "amd64"
    there = {m["ID"]: (m["Kind"], m["Available"]) for m in image["Manifests"]}
    assert there == {
        ours["digest"]: ("image", True),
        other["digest"]: ("image", False),
        statement["digest"]: ("attestation", True),
    }
    # The other platform is stored beside it, under the same name.
    lines = pull(puller, name, platform="linux/riscv64")
    assert lines[-1]["status"].startswith("Status: Downloaded newer image")
    image = puller.api.get(f"/images/{name}/json?manifests=1").json
    assert all(manifest["Available"] for manifest in image["Manifests"])
    assert image["Architecture"] == "amd64"
    absent = pull(puller, name, platform="linux/s390x")
    assert absent.status == 404
    assert "no matching manifest for linux/s390x in the manifest list entries" in absent.message


def test_an_index_within_an_index(puller, registry):
    ours = registry.image("app", "", layer("ours"))
    kind = "application/vnd.oci.image.index.v1+json"
    part = {**ours, "platform": {"os": "linux", "architecture": "amd64"}}
    inner = registry.index("app", "", part)
    size = len(registry.manifests["app", inner][1])
    other = registry.image("app", "", layer("other"), platform=("linux", "riscv64"))
    digest = registry.index(
        "app",
        "1",
        {**other, "platform": {"os": "linux", "architecture": "riscv64"}},
        {"mediaType": kind, "digest": inner, "size": size},
    )
    name = f"{registry.address}/app:1"
    assert pull(puller, name)[-2] == {"status": f"Digest: {digest}"}
    image = puller.api.get(f"/images/{name}/json?manifests=1").json
    assert [manifest["Available"] for manifest in image["Manifests"]] == [False, True]
    assert image["Architecture"] == "amd64"
    pull(puller, name, platform="linux/riscv64")
    # A registry demands the contents of an index before the index.
    copy = f"{registry.address}/copy"
    assert puller.api.post(f"/images/{name}/tag?repo={copy}&tag=1").status == 201
    assert b'"error"' not in puller.api.post(f"/images/{copy}/push?tag=1").body
    assert ("copy", inner) in registry.manifests
    assert sha256(registry.manifests["copy", "1"][1]) == digest


def test_a_platform_that_a_plain_image_is_not_for(puller, registry):
    registry.image("app", "1", layer(), platform=("linux", "riscv64"))
    name = f"{registry.address}/app:1"
    lines = [line["status"] for line in pull(puller, name, platform="linux/amd64")]
    assert lines[-2].startswith("Status: Downloaded newer image")
    assert lines[-1] == (
        f"WARNING: image with reference {name} was found but does not match the specified"
        " platform: wanted linux/amd64, actual: linux/riscv64"
    )
    lines = [line["status"] for line in pull(puller, name, platform="linux/riscv64")]
    assert lines[-1].startswith("Status: Image is up to date")


def test_layers_without_compression_and_twice_the_same(puller, registry):
    first, second = layer("1"), layer("2")
    registry.image("app", "1", first, second, first)
    pull(puller, f"{registry.address}/app:1")
    image = puller.api.get(f"/images/{registry.address}/app:1/json").json
    assert image["RootFS"]["Layers"] == [sha256(first), sha256(second), sha256(first)]
    assert registry.seen[f"GET blobs/{sha256(first)}"] == 1


def test_a_layer_that_another_image_has(puller, registry):
    shared = layer("shared")
    registry.image("a", "1", shared)
    registry.image("b", "1", shared, layer("own"))
    pull(puller, f"{registry.address}/a:1")
    lines = pull(puller, f"{registry.address}/b:1")
    assert statuses(lines, sha256(shared)) == ["Already exists"]
    assert registry.seen[f"GET blobs/{sha256(shared)}"] == 1


# ---- refusals ----------------------------------------------------------------------


def test_invalid_names(puller):
    for name, tag in (("UPPER", ""), ("127.0.0.1:1/app", "a b"), ("a:b:c", "")):
        assert pull(puller, name, tag).status == 400
    assert pull(puller, "127.0.0.1:1/app", "1", platform="a/b/c/d").status == 400


def test_absent_objects(puller, registry):
    name = f"{registry.address}/app:1"
    answer = pull(puller, name)
    assert (answer.status, answer.message) == (
        404,
        f'failed to resolve reference "{name}": {name}: not found',
    )
    nobody = pull(puller, "127.0.0.1:1/app:1")
    assert nobody.status == 500
    assert nobody.message == (
        'failed to resolve reference "127.0.0.1:1/app:1": failed to do request: Head'
        ' "https://127.0.0.1:1/v2/app/manifests/1": dial tcp 127.0.0.1:1: connect:'
        " connection refused"
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"layer_type": "application/vnd.oci.image.layer.nondistributable.v1.tar"}, "foreign"),
        ({"layer_type": "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"}, "foreign"),
        ({"layer_type": "application/vnd.oci.image.layer.v1.tar+gzip+encrypted"}, "encrypted"),
        ({"diffs": [b"another"]}, "does not match the image configuration"),
        ({"config": {"Cmd": 5}}, "invalid image configuration"),
    ],
)
def test_images_that_cannot_be(puller, registry, options, expected):
    registry.image("app", "1", layer(), **options)
    assert expected in error(pull(puller, f"{registry.address}/app:1"))
    assert puller.api.get("/images/json").json == []


def test_other_things_than_images(puller, registry):
    registry.manifest("old", "1", "application/vnd.docker.distribution.manifest.v1+prettyjws",
                      {"schemaVersion": 1, "name": "old"})  # fmt: skip
    answer = pull(puller, f"{registry.address}/old:1")
    assert (answer.status, "schema version 1" in answer.message) == (400, True)
    registry.manifests["bad", "1"] = registry.manifests["bad", sha256(b"{")] = ("x/json", b"{")
    assert pull(puller, f"{registry.address}/bad:1").status == 400
    registry.image("chart", "1", layer())
    kind, data = registry.manifests["chart", "1"]
    document = json.loads(data)
    document["config"]["mediaType"] = "application/vnd.cncf.helm.config.v1+json"
    registry.manifest("chart", "1", kind, document)
    assert "is no image" in error(pull(puller, f"{registry.address}/chart:1"))


def test_an_index_of_indexes_is_no_bomb(puller, registry):
    """Each index is read once, however often it is listed."""
    app = registry.image("app", "", layer())
    inner = registry.index("app", "", app)
    for level in range(6):
        size = len(registry.manifests["app", inner][1])
        part = {"mediaType": OCI_INDEX, "digest": inner, "size": size}
        inner = registry.index("app", f"{level}", *[part] * 300)
    assert pull(puller, f"{registry.address}/app:0")[-1]["status"].startswith("Status: Downloaded")
    assert "too many manifests" in error(pull(puller, f"{registry.address}/app:5"))


def test_a_layer_that_is_no_archive(puller, registry):
    registry.image("app", "1", b"nonsense" * 1000)
    assert "failed to unpack layer" in error(pull(puller, f"{registry.address}/app:1"))
    registry.image("app", "2", gzip.compress(b"x" * 5000)[:-9] + b"!" * 9, diffs=[b"x"])
    assert "failed to unpack layer" in error(pull(puller, f"{registry.address}/app:2"))


# ---- broken downloads --------------------------------------------------------------


def test_a_cut_download_is_resumed(puller, registry):
    data = layer(size=3_000_000)
    digest = sha256(data)
    registry.image("app", "1", data)
    registry.faults.append(cutting(digest, 500_000, 1_200_000))
    lines = pull(puller, f"{registry.address}/app:1")
    assert lines[-1]["status"].startswith("Status: Downloaded")
    assert registry.offsets[digest] == [0, 500_000, 1_700_000]
    assert any("Retrying in" in line for line in statuses(lines, digest))


def test_a_server_without_ranges(puller, registry):
    data = layer(size=3_000_000)
    registry.image("app", "1", data)
    registry.ranges = False
    registry.faults.append(cutting(sha256(data), 1_000_001))
    assert pull(puller, f"{registry.address}/app:1")[-1]["status"].startswith("Status: Down")
    assert registry.offsets[sha256(data)] == [0, 0]


def test_an_aborted_pull_is_taken_up_by_the_next(puller, registry):
    data = layer(size=4_000_000)
    digest = sha256(data)
    registry.image("app", "1", data)
    registry.faults.append(cutting(digest, 2_000_000, 0, 0))
    answer = error(pull(puller, f"{registry.address}/app:1"))
    assert "unexpected EOF" in answer
    registry.faults.clear()
    assert pull(puller, f"{registry.address}/app:1")[-1]["status"].startswith("Status: Down")
    assert registry.offsets[digest][-1] == 2_000_000


def test_wrong_content(puller, registry):
    data = layer(size=1_000_000)
    digest = sha256(data)
    registry.image("app", "1", data)
    registry.blobs[digest] = data[:-1] + b"!"
    lines = pull(puller, f"{registry.address}/app:1")
    assert error(lines) == f"filesystem layer verification failed for digest {digest}"
    assert puller.api.get("/images/json").json == []
    # The partial download is not used again.
    registry.blobs[digest] = data
    assert pull(puller, f"{registry.address}/app:1")[-1]["status"].startswith("Status: Down")
    assert registry.offsets[digest][-1] == 0


@pytest.mark.parametrize("wrong", [b"", b"more"])
def test_wrong_length(puller, registry, wrong):
    data = layer(size=1_000_000)
    digest = sha256(data)
    registry.image("app", "1", data)
    registry.blobs[digest] = data + wrong if wrong else data[:-5]
    assert "unexpected size" in error(pull(puller, f"{registry.address}/app:1"))


def test_wrong_documents(puller, registry):
    image = registry.image("app", "1", layer())
    kind, data = registry.manifests["app", "1"]
    config = json.loads(data)["config"]["digest"]
    registry.blobs[config] = b"{}"
    assert "verification failed" in error(pull(puller, f"{registry.address}/app:1"))
    registry.manifests["app", image["digest"]] = (kind, data + b" ")
    answer = pull(puller, f"{registry.address}/app@{image['digest']}")
    assert (answer.status, "verification failed" in answer.message) == (500, True)
    registry.lying[sha256(data + b" ")] = image["digest"]
    answer = pull(puller, f"{registry.address}/app@{image['digest']}")
    assert (answer.status, "verification failed" in answer.message) == (500, True)


def test_a_pull_by_digest_is_verified(puller, registry):
    """A registry that answers with another manifest, and its own digest, is not believed."""
    wanted = registry.image("app", "1", layer("wanted"))["digest"]
    other = registry.image("app", "2", layer("other"))["digest"]
    registry.manifests["app", wanted] = registry.manifests["app", other]
    answer = pull(puller, f"{registry.address}/app@{wanted}")
    assert answer.status == 500
    assert answer.message.endswith(f"manifest verification failed for digest {wanted}")
    asked = puller.api.get(f"/distribution/{registry.address}/app@{wanted}/json")
    assert asked.status == 500
    assert asked.message == f"manifest verification failed for digest {wanted}"
    assert puller.api.get(f"/distribution/{registry.address}/app@{other}/json").status == 200
    assert puller.api.get("/images/json").json == []


@pytest.mark.parametrize("status", [400, 403, 404, 405])
def test_a_head_that_is_refused_after_a_redirect(puller, registry, status):
    """Storage behind a registry has signed addresses for GET only."""
    digest = registry.image("app", "1", layer())["digest"]

    def head_fails(request, _registry):
        if request.command != "HEAD" or "/manifests/" not in request.path:
            return False
        request.json(status, "")
        return True

    def redirect(request, _registry):
        if request.path != "/v2/app/manifests/1":
            return False
        request.send_response(307)
        request.send_header("Location", f"/v2/app/manifests/{digest}?signature=x")
        request.send_header("Content-Length", "0")
        request.end_headers()
        return True

    registry.faults += [redirect, head_fails]
    lines = pull(puller, f"{registry.address}/app:1")
    assert lines[-1]["status"].startswith("Status: Downloaded newer image")
    found = puller.api.get(f"/distribution/{registry.address}/app:1/json").json
    assert found["Descriptor"]["digest"] == digest


def test_documents_that_break_off_are_asked_for_again(puller, registry):
    registry.image("app", "1", layer())
    kind, data = registry.manifests["app", "1"]
    config = json.loads(data)["config"]["digest"]
    broken: list[str] = []

    def break_off(request, _registry):
        what = request.path.rpartition("/")[2]
        if request.command == "HEAD" or what in broken or what not in (config, sha256(data)):
            return False
        broken.append(what)
        request.close_connection = True
        request.send_response(200)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", "400")
        request.end_headers()
        request.wfile.write(b"{")
        return True

    registry.faults.append(break_off)
    assert pull(puller, f"{registry.address}/app:1")[-1]["status"].startswith("Status: Down")
    assert broken == [sha256(data), config]


@pytest.mark.parametrize("damage", ["flipped", "shortened", "gone"])
@pytest.mark.parametrize("what", ["manifest", "configuration", "layer", "directory"])
def test_pulling_again_repairs(puller, registry, what, damage):
    plain = layer(size=10_000)
    registry.image("app", "1", plain)
    name = f"{registry.address}/app:1"
    pull(puller, name)
    _, manifest = registry.manifests["app", "1"]
    saved = puller.api.get(f"/images/{name}/get").body
    images = puller.data_root / "images"
    if what == "directory":
        path = images / "layers" / sha256(plain)[7:]
        shutil.rmtree(path if damage == "gone" else path / "diff")
    else:
        digests = {
            "manifest": sha256(manifest),
            "configuration": json.loads(manifest)["config"]["digest"],
            "layer": sha256(plain),
        }
        path = images / "blobs/sha256" / digests[what][7:]
        data = path.read_bytes()
        path.unlink()
        if damage != "gone":
            path.write_bytes(b"!" + data[1 if damage == "flipped" else 2 :])
        # A changed layer is detected when it is read.
        with contextlib.suppress(http.client.IncompleteRead):
            assert puller.api.get(f"/images/{name}/get").status == 500
    assert "error" not in pull(puller, name)[-1]
    assert puller.api.get(f"/images/{name}/get").body == saved
    assert (images / "layers" / sha256(plain)[7:] / "diff/file.txt").exists()


def test_a_busy_server(puller, registry):
    data = layer()
    registry.image("app", "1", data)
    registry.faults += [
        failing("/manifests/1", 503, 1),
        failing(f"/blobs/{sha256(data)}", 429, 1, Retry_After="1"),
    ]
    assert pull(puller, f"{registry.address}/app:1")[-1]["status"].startswith("Status: Down")
    registry.faults[:] = [failing("/manifests/1", 429, 100, Retry_After="3600")]
    answer = pull(puller, f"{registry.address}/app:1")
    assert answer.status == 429


def test_redirects(puller, registry):
    data = layer()
    registry.image("app", "1", data)
    elsewhere = FakeRegistry(blobs=registry.blobs)
    with serve(elsewhere) as storage:

        def redirect(request, _registry):
            if "/blobs/" not in request.path:
                return False
            request.reply(307, Location=f"{storage.url}{request.path}?signature=secret")
            return True

        registry.faults.append(redirect)
        assert pull(puller, f"{registry.address}/app:1")[-1]["status"].startswith("Status: Down")
        assert elsewhere.offsets[sha256(data)] == [0]


# ---- concurrency -------------------------------------------------------------------


def test_layers_are_downloaded_at_once_but_not_all(puller, registry):
    registry.image("app", "1", *(layer(str(number), 300_000, number) for number in range(6)))
    registry.faults.append(slow(0.05))
    pull(puller, f"{registry.address}/app:1")
    assert registry.busiest == 3


def test_two_pulls_share_a_layer(puller, registry):
    data = layer(size=1_000_000)
    registry.image("a", "1", data)
    registry.image("b", "1", data)
    registry.faults.append(slow(0.05))
    results = {}

    def work(name):
        results[name] = pull(puller, f"{registry.address}/{name}:1")

    threads = [threading.Thread(target=work, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert registry.offsets[sha256(data)] == [0]
    for lines in results.values():
        assert "Downloading" in statuses(lines, sha256(data))
        assert statuses(lines, sha256(data))[-1] == "Pull complete"


def test_a_client_that_disconnects_cancels_only_its_own_pull(puller, registry):
    data = layer(size=2_000_000)
    digest = sha256(data)
    registry.image("app", "1", data)
    registry.faults.append(slow(0.05))
    _, first = puller.api.hijack(f"/images/create?fromImage={registry.address}/app&tag=1")
    with contextlib.closing(first):
        first.recv(100)
        eventually(lambda: registry.busy == 1)
        time.sleep(0.3)
    eventually(lambda: registry.busy == 0)
    time.sleep(0.2)
    assert registry.offsets[digest] == [0]
    assert puller.api.get("/images/json").json == []
    registry.faults.clear()
    assert pull(puller, f"{registry.address}/app:1")[-1]["status"].startswith("Status: Down")
    assert registry.offsets[digest][-1] > 0


def test_a_full_disk_leaves_nothing(registry):
    first, second = layer("1", 10_000_000), layer("2", 20_000_000)
    registry.image("app", "1", first, second)
    engine = TestEngine()
    engine.data_root.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(engine.data_root)]
    subprocess.run(mount, check=True)
    try:
        engine.start()
        lines = pull(engine, f"{registry.address}/app:1")
        assert "no space left on device" in error(lines).lower()
        assert engine.api.get("/images/json").json == []
        images = engine.data_root / "images"
        eventually(lambda: not any(file.is_file() for file in images.rglob("*")))
        registry.image("small", "1", layer("small"))
        assert pull(engine, f"{registry.address}/small:1")[-1]["status"].startswith("Status: Down")
    finally:
        engine.stop()
        subprocess.run(["umount", str(engine.data_root)], check=True)
        engine.close()


# ---- the engine is killed ----------------------------------------------------------


@pytest.mark.parametrize("share", [0.2, 0.9])
def test_a_killed_engine_uses_what_it_had(own_engine, share):
    fake = FakeRegistry()
    first, second = layer("1", 500_000), layer("2", 3_000_000)
    fake.image("app", "1", first, second)
    fake.faults.append(slow(0.02))
    with serve(fake) as server:
        name = f"{server.address}/app:1"
        thread = threading.Thread(target=_quiet_pull, args=(own_engine, name))
        thread.start()
        downloads = own_engine.data_root / "images" / "downloads"
        eventually(lambda: _size(downloads / sha256(second)[7:]) > share * len(second))
        own_engine.kill()
        thread.join()
        own_engine.start()
        assert [i["RepoTags"] for i in own_engine.api.get("/images/json").json] == [
            ["busybox:latest"]
        ]
        fake.faults.clear()
        assert pull(own_engine, name)[-1]["status"].startswith("Status: Downloaded")
        assert fake.offsets[sha256(second)][-1] > share * len(second)
        assert fake.offsets[sha256(first)] == [0]
        assert list(downloads.iterdir()) == []


def _quiet_pull(engine, name):
    with contextlib.suppress(OSError, http.client.HTTPException):
        engine.api.post(f"/images/create?fromImage={name}")


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def test_pulls_removals_and_prunes_at_once(puller, registry):
    """Each pull has its image at the end, whatever is deleted concurrently."""
    layers = [layer(size=100_000, seed=seed) for seed in range(4)]
    for number in range(3):
        registry.image("app", str(number), *layers[number : number + 2])
    until = time.monotonic() + 3
    wrong: list[object] = []

    def pulls(number):
        while time.monotonic() < until:
            lines = pull(puller, f"{registry.address}/app:{number}")
            if not isinstance(lines, list) or "error" in lines[-1]:
                wrong.append(lines)

    def removes():
        while time.monotonic() < until:
            for number in range(3):
                puller.api.delete(f"/images/{registry.address}/app:{number}")
            puller.api.post("/images/prune")

    threads = [threading.Thread(target=pulls, args=(number % 3,)) for number in range(5)]
    threads.append(threading.Thread(target=removes))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert not list((puller.data_root / "images/downloads").iterdir())
