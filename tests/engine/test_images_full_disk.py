"""A full disk in the middle of a load, an import or a commit leaves the store as it was."""

import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from tests.support.crash import eventually
from tests.support.engine import TestEngine
from tests.support.images import (
    ImagesEngine,
    docker_archive,
    listed,
    make_tar,
    member,
    saved,
    small_tar,
    texts,
)

from palan.api.errors import InternalError
from palan.host.mounts import mount, unmount


pytestmark = pytest.mark.root

FULL = "no space left on device"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount("tmpfs", disk, "tmpfs", 0, "size=24m")
    yield disk
    unmount(disk)


@pytest_asyncio.fixture
async def engine(small_disk: Path) -> AsyncIterator[ImagesEngine]:
    engine = ImagesEngine(small_disk)
    yield engine
    await engine.close()


def large_tar(mebibytes: int) -> bytes:
    return make_tar(member("large", os.urandom(mebibytes << 20)))


@pytest.mark.parametrize(
    "mebibytes",
    [
        pytest.param(15, id="while unpacking"),
        pytest.param(30, id="while receiving"),
    ],
)
async def test_load(engine, mebibytes):
    await engine.load_tar(docker_archive(small_tar(), tags=["small:1"]))
    before, files = await listed(engine), engine.files()
    messages = await engine.load_tar(docker_archive(large_tar(mebibytes), tags=["large:1"]))
    assert FULL in texts(messages)[-1].lower()
    await engine.settle()
    assert (await listed(engine), engine.files()) == (before, files)
    assert not list(engine.paths.tmp.iterdir())
    assert await saved(engine, "small:1")
    # There is room again, and the load succeeds.
    assert "Loaded image: other:1\n" in texts(
        await engine.load_tar(docker_archive(large_tar(5), tags=["other:1"]))
    )


async def test_import(engine):
    before, files = await listed(engine), engine.files()
    with pytest.raises(InternalError) as caught:
        await engine.import_tar(large_tar(30), repo="large")
    assert FULL in caught.value.message.lower()
    await engine.settle()
    assert (await listed(engine), engine.files()) == (before, files)
    assert not list(engine.paths.tmp.iterdir())


def test_commit(small_disk):
    engine = TestEngine()
    engine.data_root = small_disk
    try:
        engine.start()
        engine.load_image()
        container = engine.run(
            "sh", "-c", "dd if=/dev/urandom of=/large bs=1M count=11; touch /ready; sleep 60"
        )
        changes = f"/containers/{container}/changes"
        eventually(lambda: any(c["Path"] == "/ready" for c in engine.api.get(changes).json or ()))
        before = engine.api.get("/images/json?all=1").json
        answer = engine.api.post(f"/commit?container={container}&repo=large")
        assert answer.status == 500
        assert FULL in answer.json["message"].lower()
        assert engine.api.get("/images/json?all=1").json == before
        eventually(lambda: not list((small_disk / "tmp").iterdir()))
        assert len(list((small_disk / "images/layers").iterdir())) == 1
        # The container keeps running, and can be removed, which makes room.
        assert engine.inspect(container)["State"]["Status"] == "running"
        engine.remove(container)
        container = engine.run("sh", "-c", "echo >/small")
        engine.wait(container)
        assert engine.api.post(f"/commit?container={container}&repo=small").status == 201
    finally:
        engine.close()


def test_an_image_that_fills_the_disk_can_be_removed(small_disk):
    """Not a byte is left, not even for recording deletions in the database."""
    engine = TestEngine()
    engine.data_root = small_disk
    try:
        engine.start()
        engine.load_image()
        container = engine.create("true")
        for name in ("large", "small"):
            image = make_tar(member(name, os.urandom(1 << 20)))
            answer = engine.api.post(
                f"/images/create?fromSrc=-&repo={name}",
                image,
                headers={"Content-Type": "application/x-tar"},
            )
            assert answer.status == 200
        with (small_disk / "filler").open("wb", buffering=0) as filler:
            with contextlib.suppress(OSError):
                while True:
                    filler.write(bytes(4096))
            assert engine.api.delete("/images/large:latest").status == 200
            eventually(lambda: os.statvfs(small_disk).f_bavail > 0)
        engine.remove(container)
        for name in ("busybox", "small"):
            assert engine.api.delete(f"/images/{name}:latest").status == 200
        eventually(lambda: not list((small_disk / "images/blobs/sha256").iterdir()))
        (small_disk / "filler").unlink()
        # There is room, and the reserve exists again.
        assert engine.api.post("/volumes/create", {"Name": "some"}).status == 201
        assert (small_disk / "palan.db-reserve").exists()
    finally:
        engine.close()
