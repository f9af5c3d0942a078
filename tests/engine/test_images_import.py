"""Import of root filesystems."""

import asyncio
import bz2
import gzip
import lzma
import os

import pytest
from tests.support.images import (
    ImagesEngine,
    collect,
    inspected,
    listed,
    sha256,
    small_tar,
    stream,
    zstd,
)

from palan.api import images as api
from palan.api.errors import InternalError, InvalidParameter, NotFound


pytestmark = pytest.mark.root


@pytest.fixture
async def engine(tmp_path):
    engine = ImagesEngine(tmp_path)
    yield engine
    await engine.close()


async def test_import(engine):
    image_id = await engine.import_tar(
        small_tar(),
        repo="rec/base",
        tag="1",
        changes=['CMD ["sh"]', "LABEL a=b"],
        message="hello",
        platform="linux/amd64",
    )
    answer = await inspected(engine, "rec/base:1")
    assert answer.id == image_id
    assert answer.repo_tags == ["rec/base:1"]
    assert answer.comment == "hello"
    assert (answer.config.cmd, answer.config.labels) == (["sh"], {"a": "b"})
    assert (answer.os, answer.architecture) == ("linux", "amd64")
    assert answer.root_fs.layers == [sha256(small_tar())]
    assert answer.repo_digests == [f"rec/base@{answer.descriptor.digest}"]
    image = engine.images.resolve("rec/base:1")
    [layer] = image.layers
    assert (layer / "file.txt").read_text() == "small\n"
    assert engine.events.seen == [
        ("image", action, image_id, {"a": "b", "name": "rec/base:1"})
        for action in ("tag", "import")
    ]
    [step] = await engine.images.history(api.ImageHistory(name="rec/base:1"))
    assert (step.id, step.comment, step.size, step.tags) == (image_id, "hello", 6, ["rec/base:1"])


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress, zstd])
async def test_import_of_compressed_archives(engine, compress):
    data = compress(small_tar())
    image_id = await engine.import_tar(data)
    answer = await inspected(engine, image_id)
    assert answer.root_fs.layers == [sha256(small_tar())]
    assert answer.repo_tags == answer.repo_digests == []
    assert engine.paths.images.joinpath("blobs/sha256", sha256(data)[7:]).read_bytes() == data


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"repo": "UPPER"}, "must be lowercase"),
        ({"repo": "a", "tag": "a b"}, "invalid tag format"),
        ({"changes": ["BOGUS x"]}, "BOGUS is not a valid change command"),
        ({"platform": "a/b/c/d"}, "cannot parse platform specifier"),
    ],
)
async def test_import_checks_everything_first(engine, parameters, message):
    with pytest.raises(InvalidParameter, match=message):
        await engine.import_tar(small_tar(), **parameters)


@pytest.mark.parametrize(
    "data", [b"nonsense", small_tar()[:700], gzip.compress(small_tar())[:60], os.urandom(5000)]
)
async def test_import_of_something_else_leaves_nothing(engine, data):
    with pytest.raises(InvalidParameter, match="failed to unpack image"):
        await engine.import_tar(data, repo="rec/nonsense")
    await engine.settle()
    assert engine.files() == (set(), set())
    assert list(engine.paths.tmp.iterdir()) == []
    assert await listed(engine) == []


async def test_import_from_a_url(engine):
    async def serve(reader, writer):
        path = (await reader.readline()).split()[1]
        await reader.readuntil(b"\r\n\r\n")
        if path == b"/file":
            writer.write(b"HTTP/1.0 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n")
        elif path == b"/short.tar":
            head = f"HTTP/1.0 200 OK\r\nContent-Length: {len(small_tar()) + 1}\r\n\r\n"
            writer.write(head.encode() + small_tar())
        elif path == b"/image.tar":
            writer.write(b"HTTP/1.0 200 OK\r\n\r\n" + small_tar())
        else:
            writer.write(b"HTTP/1.0 404 Not Found\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        url = f"http://127.0.0.1:{port}"

        async def create(source):
            request = api.ImageCreate(body=stream(b""), from_src=source, repo="rec/url")
            return await collect((await engine.images.create(request)).messages)

        first, last = await create(f"{url}/image.tar")
        assert first.status == f"Downloading from {url}/image.tar"
        assert last.status == engine.images.resolve("rec/url").id
        with pytest.raises(InternalError, match="file"):
            await create(f"{url}/file")
        with pytest.raises(NotFound, match=r"failed to GET .*/absent with status 404 Not Found"):
            await create(f"{url}/absent")
        with pytest.raises(InternalError, match="unexpected EOF"):
            await create(f"{url}/short.tar")
    with pytest.raises(InternalError, match="connection refused"):
        await create(f"{url}/image.tar")
    for source in ("file:///etc/passwd", "", "http://"):
        with pytest.raises(InvalidParameter, match="cannot import from"):
            await create(source)
