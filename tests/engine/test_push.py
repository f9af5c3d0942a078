"""Pushes to registries in memory with faults, and the content that arrives there."""

import bz2
import gzip
import io
import json
from urllib.parse import quote

import pytest
from tests.engine.test_pull import error, layer, pull, remove_images, statuses
from tests.support.build import build
from tests.support.engine import TestEngine
from tests.support.images import docker_archive, make_tar, member, sha256
from tests.support.registry import serve
from tests.support.registry_fake import DOCKER_MANIFEST, FakeRegistry, failing

from palan.host.archive.deflate import gzip_stream


pytestmark = pytest.mark.root

TAR = {"Content-Type": "application/x-tar"}


@pytest.fixture(scope="module")
def pusher():
    engine = TestEngine("--max-concurrent-uploads=2")
    engine.start()
    yield engine
    engine.close()


@pytest.fixture
def registry(pusher):
    fake = FakeRegistry()
    with serve(fake) as server:
        fake.address = server.address
        fake.server = server
        yield fake
    remove_images(pusher)


def load(engine, *layers, tag):
    answer = engine.api.post("/images/load", docker_archive(*layers, tags=[tag]), headers=TAR)
    assert b"Loaded image" in answer.body, answer.body


def packed(data):
    """Return a layer as the engine compresses it."""
    pieces: list[bytes] = []
    stream = io.BytesIO(data)
    gzip_stream(lambda: stream.read(1 << 20), pieces.append)
    return b"".join(pieces)


def push(engine, name, tag="", platform=""):
    query = f"tag={quote(tag)}&platform={quote(platform)}"
    answer = engine.api.post(f"/images/{name}/push?{query}")
    if answer.status != 200:
        return answer
    return [json.loads(line) for line in answer.body.splitlines()]


def test_an_image(pusher, registry):
    first, second = layer("1"), layer("2")
    name = f"{registry.address}/team/app"
    load(pusher, first, second, tag=f"{name}:1")
    lines = push(pusher, name, "1")
    assert lines[0] == {"status": f"The push refers to repository [{name}]"}
    first, second = packed(first), packed(second)
    for each in (first, second):
        assert statuses(lines, sha256(each))[0] == "Preparing", lines
        assert statuses(lines, sha256(each))[-1] == "Pushed", lines
    _, data = registry.manifests["team/app", "1"]
    digest = sha256(data)
    assert lines[-2] == {"status": f"1: digest: {digest} size: {len(data)}"}
    assert lines[-1] == {
        "progressDetail": {}, "aux": {"Tag": "1", "Digest": digest, "Size": len(data)}
    }  # fmt: skip
    manifest = json.loads(data)
    assert [each["digest"] for each in manifest["layers"]] == [sha256(first), sha256(second)]
    assert registry.blobs[sha256(first)] == first
    assert manifest["config"]["digest"] in registry.blobs

    sent = registry.seen["PUT upload"]
    lines = push(pusher, f"{name}:1")
    assert statuses(lines, sha256(first)) == ["Preparing", "Layer already exists"]
    assert registry.seen["PUT upload"] == sent


def test_all_tags(pusher, registry):
    name = f"{registry.address}/app"
    load(pusher, layer(), tag=f"{name}:1")
    pusher.api.post(f"/images/{name}:1/tag?repo={name}&tag=2")
    lines = push(pusher, name)
    assert [line["aux"]["Tag"] for line in lines if "aux" in line] == ["1", "2"]
    assert error(push(pusher, f"{registry.address}/none")) == (
        f"An image does not exist locally with the tag: {registry.address}/none"
    )
    assert error(push(pusher, name, "3")) == f"tag does not exist: {name}:3"
    assert push(pusher, name, "a b").status == 400
    assert push(pusher, f"{name}@sha256:{'0' * 64}").status == 400


def test_a_blob_of_another_repository(pusher, registry):
    data = layer("shared")
    load(pusher, data, tag=f"{registry.address}/a:1")
    data = packed(data)
    push(pusher, f"{registry.address}/a:1")
    pusher.api.post(f"/images/{registry.address}/a:1/tag?repo={registry.address}/b&tag=1")
    registry.mountable.add("a")
    # This registry stores blobs in one place, but answers that b does not have this one.
    registry.faults.append(failing("/v2/b/blobs/sha256:", 404, 2))
    lines = push(pusher, f"{registry.address}/b:1")
    assert statuses(lines, sha256(data))[-1] == "Mounted from a"
    # A blob that may not be mounted from there is sent.
    registry.mountable.clear()
    registry.faults.append(failing("/v2/b/blobs/sha256:", 404, 2))
    lines = push(pusher, f"{registry.address}/b:1")
    assert statuses(lines, sha256(data))[-1] == "Pushed"


def test_a_registry_whose_storage_refuses_head(pusher, registry):
    name = f"{registry.address}/app:1"
    data = layer("stored")
    load(pusher, data, tag=name)
    push(pusher, name)

    def head_fails(request, _registry):
        if request.command != "HEAD" or "/blobs/" not in request.path:
            return False
        request.json(403, "")
        return True

    registry.faults.append(head_fails)
    assert statuses(push(pusher, name), sha256(packed(data)))[-1] == "Layer already exists"


def test_an_index_with_all_and_with_some_of_its_images(pusher, registry):
    ours = registry.image("app", "", gzip.compress(layer("ours")), diffs=[layer("ours")],
                          kind=DOCKER_MANIFEST)  # fmt: skip
    other = registry.image("app", "", layer("other"), platform=("linux", "riscv64"))
    digest = registry.index(
        "app",
        "1",
        {**ours, "platform": {"os": "linux", "architecture": "amd64"}},
        {**other, "platform": {"os": "linux", "architecture": "riscv64"}},
    )
    source, target = f"{registry.address}/app:1", f"{registry.address}/copy"
    pull(pusher, source)
    pusher.api.post(f"/images/{source}/tag?repo={target}&tag=1")
    elsewhere = FakeRegistry()
    with serve(elsewhere) as server:
        name = f"{server.address}/app"
        pusher.api.post(f"/images/{source}/tag?repo={name}&tag=1")
        lines = push(pusher, f"{name}:1")
        assert lines[-2]["aux"]["Digest"] == ours["digest"]
        assert lines[-1]["aux"]["manifestPushedInsteadOfIndex"] is True
        assert lines[-1]["aux"]["originalIndex"]["digest"] == digest
        assert sha256(elsewhere.manifests["app", "1"][1]) == ours["digest"]
        assert elsewhere.manifests["app", "1"][0] == DOCKER_MANIFEST

        riscv = '{"os": "linux", "architecture": "riscv64"}'
        assert "does not provide the specified platform" in error(
            push(pusher, name, "1", platform=riscv)
        )
        pull(pusher, source, platform="linux/riscv64")
        lines = push(pusher, f"{name}:1")
        assert lines[-1]["aux"]["Digest"] == digest
        assert {reference for _, reference in elsewhere.manifests} >= {
            "1", digest, ours["digest"], other["digest"]
        }  # fmt: skip
        lines = push(pusher, name, "1", platform=riscv)
        assert lines[-1]["aux"]["Digest"] == other["digest"]
    # The repository of its origin has the other layers already.
    pusher.api.delete(f"/images/{source}")
    pusher.api.delete(f"/images/{name}:1")
    pusher.api.delete(f"/images/{target}:1")
    pull(pusher, source)
    assert push(pusher, source)[-1]["aux"]["Digest"] == digest


# ---- registries that break -----------------------------------------------------------


def hang_up(part, times):
    """Return a fault that reads a part of a monolithic upload, and closes the connection."""
    left = [times]

    def early(request):
        size = int(request.headers.get("Content-Length", 0))
        if request.command != "PUT" or size < 100_000 or not left[0]:
            return False
        left[0] -= 1
        number = int(request.path.partition("?")[0].rpartition("/")[2])
        read = request.rfile.read(int(size * part))
        request.server.answer.uploads[number] += read
        request.close_connection = True
        return True

    return early


def test_a_broken_upload_is_resumed(pusher, registry):
    data = layer(size=2_000_000)
    load(pusher, data, tag=f"{registry.address}/app:1")
    data = packed(data)
    registry.server.early = hang_up(0.5, 1)
    lines = push(pusher, f"{registry.address}/app:1")
    assert statuses(lines, sha256(data))[-1] == "Pushed"
    assert registry.blobs[sha256(data)] == data
    assert registry.seen["PATCH upload"] == 1


def test_a_broken_upload_that_the_registry_forgot_begins_again(pusher, registry):
    data = layer(size=1_000_000)
    load(pusher, data, tag=f"{registry.address}/app:1")
    data = packed(data)
    registry.server.early = hang_up(0.5, 1)

    def forget(request, it):
        if request.command != "GET" or "/uploads/" not in request.path:
            return False
        it.uploads[:] = [b"" for _ in it.uploads]
        request.reply(404)
        return True

    registry.faults.append(forget)
    lines = push(pusher, f"{registry.address}/app:1")
    assert statuses(lines, sha256(data))[-1] == "Pushed"
    assert registry.blobs[sha256(data)] == data


def test_a_registry_that_takes_chunks_only(pusher, registry):
    data = layer(size=1_000_000)
    load(pusher, data, tag=f"{registry.address}/app:1")
    data = packed(data)

    def too_large(request):
        if request.command != "PUT" or int(request.headers.get("Content-Length", 0)) < 100_000:
            return False
        request.close_connection = True
        request.reply(413)
        return True

    registry.server.early = too_large
    lines = push(pusher, f"{registry.address}/app:1")
    assert statuses(lines, sha256(data))[-1] == "Pushed"
    assert registry.blobs[sha256(data)] == data


def test_a_registry_that_refuses(pusher, registry):
    load(pusher, layer(), tag=f"{registry.address}/app:1")
    registry.faults.append(failing("/blobs/uploads/", 403, 100))
    assert "push access denied for" in error(push(pusher, f"{registry.address}/app:1"))
    assert not any(reference == "1" for _, reference in registry.manifests)
    registry.faults[:] = [failing("/manifests/1", 500, 100)]
    assert "500 Internal Server Error" in error(push(pusher, f"{registry.address}/app:1"))


def test_a_damaged_blob_is_found_out(pusher, registry):
    data = layer(size=300_000)
    load(pusher, data, tag=f"{registry.address}/app:1")
    blob = pusher.data_root / "images/blobs/sha256" / sha256(data)[7:]
    blob.write_bytes(data[:-1] + b"!")
    assert error(push(pusher, f"{registry.address}/app:1")) == (
        f"content digest {sha256(data)}: its content is damaged"
    )
    assert sha256(data) not in registry.blobs


# ---- compression -------------------------------------------------------------------


def import_tar(engine, data, name):
    answer = engine.api.post(f"/images/create?fromSrc=-&repo={quote(name)}", data, headers=TAR)
    return json.loads(answer.body.splitlines()[-1])["status"]


def blobs_of(registry, name, tag):
    return [
        registry.blobs[each["digest"]]
        for each in json.loads(registry.manifests[name, tag][1])["layers"]
    ]


def test_layers_that_were_made_here_are_compressed(pusher, registry):
    plain = make_tar(member("zeros", bytes(5 << 20)), member("text", b"text"))
    name = f"{registry.address}/app"
    image = import_tar(pusher, plain, f"{name}:1")
    pusher.api.post(f"/images/{name}:1/tag?repo={name}&tag=2")
    before = pusher.api.get(f"/images/{name}:1/json").json
    lines = push(pusher, name, "1")
    assert statuses(lines, sha256(plain))[-1] == "Compressed"
    (blob,) = blobs_of(registry, "app", "1")
    assert len(blob) < 20_000
    assert gzip.decompress(blob) == plain
    manifest = json.loads(registry.manifests["app", "1"][1])
    assert manifest["layers"][0]["mediaType"] == "application/vnd.oci.image.layer.v1.tar+gzip"
    assert manifest["config"]["digest"] == image

    after = pusher.api.get(f"/images/{name}:2/json").json
    assert after["Id"] == before["Id"] == image
    assert after["RepoTags"] == [f"{name}:1", f"{name}:2"]
    assert after["RepoDigests"] == [f"{name}@{lines[-1]['aux']['Digest']}"]
    blobs = {path.name for path in (pusher.data_root / "images/blobs/sha256").iterdir()}
    assert sha256(plain)[7:] not in blobs
    assert len(pusher.api.get("/images/json").json) == 1

    again = push(pusher, name, "2")
    assert again[-1]["aux"]["Digest"] == lines[-1]["aux"]["Digest"]
    assert statuses(again, sha256(blob))[-1] == "Layer already exists"
    remove_images(pusher)
    assert pull(pusher, f"{name}:1")[-1]["status"].startswith("Status: Downloaded")
    assert pusher.api.get(f"/images/{name}:1/json").json["Id"] == image


def test_a_build_shares_compressed_layers_with_its_base(pusher, registry):
    base = f"{registry.address}/base:1"
    import_tar(pusher, make_tar(member("zeros", bytes(100_000))), base)
    text = f"FROM {base}\nCOPY file /\nLABEL a=b\n"
    assert build(pusher, text, {"file": "x" * 50_000}, t=f"{registry.address}/app:1").image
    push(pusher, base)
    push(pusher, f"{registry.address}/app:1")
    ours = blobs_of(registry, "app", "1")
    assert ours[:1] == blobs_of(registry, "base", "1")
    assert len(ours) == 2
    assert all(blob.startswith(b"\x1f\x8b") and len(blob) < 2000 for blob in ours)
    # The cache of the build still finds its steps.
    again = build(pusher, text, {"file": "x" * 50_000}, t=f"{registry.address}/app:2")
    assert "Using cache" in again.text
    push(pusher, f"{registry.address}/app:2")
    assert registry.manifests["app", "2"] == registry.manifests["app", "1"]


def test_what_was_pulled_is_pushed_unchanged(pusher, registry):
    data = layer("plain", size=1000)
    digest = registry.image("app", "1", data)["digest"]
    pull(pusher, f"{registry.address}/app:1")
    pusher.api.post(f"/images/{registry.address}/app:1/tag?repo={registry.address}/copy&tag=1")
    assert push(pusher, f"{registry.address}/copy:1")[-1]["aux"]["Digest"] == digest


def test_imports_in_other_forms_are_compressed_again(pusher, registry):
    plain = make_tar(member("zeros", bytes(100_000)))
    import_tar(pusher, bz2.compress(plain), f"{registry.address}/app:1")
    push(pusher, f"{registry.address}/app:1")
    (blob,) = blobs_of(registry, "app", "1")
    assert gzip.decompress(blob) == plain


def test_a_damaged_layer_is_not_compressed(pusher, registry):
    plain = make_tar(member("zeros", bytes(100_000)))
    import_tar(pusher, plain, f"{registry.address}/app:1")
    blob = pusher.data_root / "images/blobs/sha256" / sha256(plain)[7:]
    blob.write_bytes(plain[:-1] + b"!")
    assert error(push(pusher, f"{registry.address}/app:1")) == (
        f"content digest {sha256(plain)}: its content is damaged"
    )
    assert not registry.manifests
