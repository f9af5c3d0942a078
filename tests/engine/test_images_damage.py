"""Images whose files are damaged, disks that are full, attestations, and platforms of loads."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.support.images import (
    ImagesEngine,
    collect,
    docker_archive,
    listed,
    make_tar,
    member,
    saved,
    sha256,
    stream,
    texts,
)
from tests.support.oci_layout import Layout

from palan.api import images as api
from palan.api.errors import InternalError, InvalidParameter, NotFound


pytestmark = pytest.mark.root

LAYER = make_tar(member("file.txt", b"content"))


@pytest_asyncio.fixture
async def engine(tmp_path: Path) -> AsyncIterator[ImagesEngine]:
    engine = ImagesEngine(tmp_path)
    yield engine
    await engine.close()


def blob(engine: ImagesEngine, data: bytes) -> Path:
    return engine.blob(sha256(data))


# ---- damage -------------------------------------------------------------------------


async def test_a_missing_or_shortened_blob_is_reported_before_anything_is_sent(engine):
    await engine.load_tar(docker_archive(LAYER, tags=["a:1"]))
    path = blob(engine, LAYER)
    path.write_bytes(LAYER[:-1])
    with pytest.raises(InternalError, match="is damaged"):
        await saved(engine, "a:1")
    path.unlink()
    with pytest.raises(InternalError, match=f"{sha256(LAYER)}: not found"):
        await saved(engine, "a:1")


async def test_a_changed_blob_breaks_the_archive_off(engine):
    await engine.load_tar(docker_archive(LAYER, tags=["a:1"]))
    blob(engine, LAYER).write_bytes(LAYER.replace(b"content", b"c0ntent"))
    with pytest.raises(InternalError, match="is damaged"):
        await saved(engine, "a:1")


async def test_loading_again_repairs_blobs_and_layers(engine):
    archive = docker_archive(LAYER, tags=["a:1"])
    await engine.load_tar(archive)
    before = await saved(engine, "a:1")
    blob(engine, LAYER).write_bytes(b"rubbish")
    layer = engine.images.resolve("a:1").layers[0]
    layer.parent.rename(engine.paths.tmp / "gone")
    await engine.load_tar(archive)
    assert await saved(engine, "a:1") == before
    assert (layer / "file.txt").read_bytes() == b"content"


@pytest.mark.parametrize("what", ["a layer's blob", "the configuration"])
async def test_a_containers_image_stays_although_damaged(engine, what):
    await engine.load_tar(docker_archive(LAYER, tags=["a:1"]))
    image = engine.images.resolve("a:1")
    engine.containers.use(image)
    path = blob(engine, LAYER) if what == "a layer's blob" else engine.blob(image.id)
    path.write_bytes(b"rubbish")
    again = await engine.restart()
    assert await listed(again) == []
    assert (image.layers[0] / "file.txt").exists()
    again.containers.all.clear()
    last = await again.restart()
    await last.settle()
    assert not image.layers[0].exists()
    assert last.files() == (set(), set())
    await last.close()


# ---- attestations ---------------------------------------------------------------------


SLSA = "https://slsa.dev/provenance/v0.2"


def attested() -> bytes:
    """Return an index of an image and its attestations."""
    layout = Layout()
    image = layout.image("amd64")
    index = layout.index(image, layout.attestation(image, provenance=SLSA))
    return layout.name(index, "docker.io/library/attested:1").archive()


async def test_attestations_are_kept_and_listed(engine):
    await engine.load_tar(attested())

    async def ask(**parameters: Any) -> Any:
        return await engine.images.attestations(
            api.ImageAttestations(name="attested:1", **parameters)
        )

    (found,) = await ask()
    assert found.predicate_type == SLSA
    assert found.descriptor.media_type == "application/vnd.in-toto+json"
    (found,) = await ask(statement=True, type=["other", SLSA])
    assert json.loads(bytes(found.statement))["predicateType"] == SLSA
    assert await ask(type=["other"]) == []
    amd64 = '{"os":"linux","architecture":"amd64"}'
    assert len(await ask(platform=[amd64])) == 1
    with pytest.raises(NotFound, match="no manifest for platform linux/riscv64: not found"):
        await ask(platform=['{"os":"linux","architecture":"riscv64"}'])
    with pytest.raises(InvalidParameter, match="only one platform value"):
        await ask(platform=[amd64, amd64])
    # A save contains them, and the image can be run.
    other = await saved(engine, "attested:1")
    await engine.images.remove(api.ImageRemove(name="attested:1"))
    await engine.load_tar(other)
    assert len(await ask()) == 1


async def test_an_image_without_attestations_has_none(engine):
    await engine.load_tar(docker_archive(LAYER, tags=["a:1"]))
    assert await engine.images.attestations(api.ImageAttestations(name="a:1")) == []
    with pytest.raises(NotFound):
        await engine.images.attestations(api.ImageAttestations(name="b:1"))


# ---- progress ---------------------------------------------------------------------------


async def test_large_layers_have_progress_unless_quiet(engine):
    large = make_tar(member("large", bytes(2 << 20)))
    archive = docker_archive(LAYER, large, tags=["a:1"])
    request = api.ImageLoad(body=stream(archive, 1 << 20), quiet=False)
    lines = await collect((await engine.images.load(request)).messages)
    told = [line.progress_detail for line in lines if line.status == "Loading layer"]
    assert [(d.current, d.total) for d in told][-1] == (len(large), len(large))
    assert {line.id for line in lines if line.status} == {sha256(large)[7:19]}
    assert lines[-1].stream == "Loaded image: a:1\n"
    # Layers that exist already take no time, and cause no progress messages.
    request = api.ImageLoad(body=stream(archive, 1 << 20), quiet=False)
    again = await collect((await engine.images.load(request)).messages)
    assert texts(again) == ["Loaded image: a:1\n"]
