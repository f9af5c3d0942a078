"""The room of images alone, with a database and directories, and with fake containers."""

import asyncio
import hashlib
import io
import json
import stat
import subprocess
import tarfile
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from palan.api import Filters
from palan.api import images as api
from palan.api.errors import NotFound
from palan.api.images import ImageCreate, ImageLoad, JSONMessage
from palan.engine.config import EngineConfig
from palan.engine.images import SCHEMA, Image, Images
from palan.engine.images.surroundings import CommitSource
from palan.store.database import Database


@dataclass
class FakeContainer:
    id: str
    image: str
    running: bool = False
    image_reference: str = ""


@dataclass
class FakePaths:
    root: Path

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def tmp(self) -> Path:
        return self.root / "tmp"


@dataclass
class FakeEvents:
    seen: list[tuple[str, str, str, dict[str, str]]] = field(default_factory=list)

    def publish(self, kind: str, action: str, actor: str, attributes: Mapping[str, str], /) -> None:
        self.seen.append((kind, action, actor, dict(attributes)))

    def actions(self) -> list[str]:
        return [action for _, action, _, _ in self.seen]


@dataclass
class FakeContainers:
    all: list[FakeContainer] = field(default_factory=list)
    layers: set[str] = field(default_factory=set)

    def use(self, image: Image, reference: str = "") -> None:
        self.all.append(FakeContainer("c" * 64, image.id, image_reference=reference or image.id))
        self.layers.update(image.record.layers)

    def using_image(self, image_id: str, /) -> list[FakeContainer]:
        return [container for container in self.all if container.image == image_id]

    def layers_in_use(self) -> set[str]:
        return self.layers if self.all else set()

    def commit_source(self, reference: str, /) -> CommitSource:
        raise NotFound(f"No such container: {reference}")


class ImagesEngine:
    """Enough of an engine for the room of images."""

    def __init__(self, root: Path) -> None:
        self.paths = FakePaths(root)
        for directory in (self.paths.images, self.paths.tmp):
            directory.mkdir(parents=True, exist_ok=True)
        self.config = EngineConfig()
        self.db = Database(root / "palan.db", SCHEMA)
        self.events = FakeEvents()
        self.containers = FakeContainers()
        self._tasks: set[asyncio.Future[Any]] = set()
        self.images = Images(self)
        self.images.load_state()

    def spawn(self, work: Any, /) -> Any:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def settle(self) -> None:
        """Wait for all background work."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def restart(self) -> "ImagesEngine":
        """Return another engine on the same files, as after a crash."""
        await self.settle()
        self.db.close()
        engine = ImagesEngine(self.paths.root)
        engine.containers = self.containers
        await engine.images.collect()
        return engine

    async def close(self) -> None:
        await self.settle()
        self.db.close()

    def blob(self, digest: str) -> Path:
        return self.paths.images / "blobs/sha256" / digest[7:]

    # ---- frequent steps --------------------------------------------------------------

    async def import_tar(self, data: bytes, **parameters: Any) -> str:
        request = ImageCreate(body=stream(data), from_src="-", **parameters)
        messages = await collect((await self.images.create(request)).messages)
        assert isinstance(messages[-1].status, str)
        return messages[-1].status

    async def load_tar(self, data: bytes, **parameters: Any) -> list[JSONMessage]:
        request = ImageLoad(body=stream(data), **({"quiet": True} | parameters))
        return await collect((await self.images.load(request)).messages)

    def files(self) -> tuple[set[str], set[str]]:
        """Return the names of the blobs and of the unpacked layers."""
        return (
            {file.name for file in (self.paths.images / "blobs/sha256").iterdir()},
            {file.name for file in (self.paths.images / "layers").iterdir()},
        )


async def stream(data: bytes, size: int = 5000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def collect(messages: AsyncIterator[Any]) -> list[Any]:
    return [message async for message in messages]


def texts(messages: Iterable[JSONMessage]) -> list[str]:
    """Return the texts that a client prints for messages."""
    return [m.error if isinstance(m.error, str) else str(m.stream) for m in messages]


# ---- archives --------------------------------------------------------------------


def member(name: str, data: bytes = b"", **attributes: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    for key, value in attributes.items():
        setattr(info, key, value)
    return info, data


def directory(name: str, **attributes: Any) -> tuple[tarfile.TarInfo, bytes]:
    return member(name, type=tarfile.DIRTYPE, **({"mode": 0o755} | attributes))


def make_tar(
    *members: tuple[tarfile.TarInfo, bytes], mode: str = "w", style: int = tarfile.PAX_FORMAT
) -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode=mode, format=style) as archive:  # type: ignore[call-overload] # the mode is a literal there
        for info, data in members:
            archive.addfile(info, io.BytesIO(data))
    return output.getvalue()


def small_tar(text: str = "small\n") -> bytes:
    return make_tar(member("file.txt", text.encode()))


def sha256(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def docker_archive(
    *layers: bytes,
    tags: list[str] | None = None,
    diff_ids: list[str] | None = None,
    config: dict[str, Any] | None = None,
    image: dict[str, Any] | None = None,
) -> bytes:
    """Return an archive as old versions of ``docker save`` wrote it: ``manifest.json`` last."""
    spec = {
        "architecture": "amd64",
        "os": "linux",
        "created": "2020-01-02T03:04:05.123456789Z",
        "config": {"Cmd": ["sh"], "Env": None, "Volumes": None} | (config or {}),
        "rootfs": {
            "type": "layers",
            "diff_ids": [*map(sha256, layers)] if diff_ids is None else diff_ids,
        },
        "history": [{"created_by": f"step {n}"} for n in range(len(layers))],
        **(image or {}),
    }
    data = json.dumps(spec).encode()
    name = sha256(data)[7:] + ".json"
    names = [f"layer{number}/layer.tar" for number in range(len(layers))]
    manifest = [{"Config": name, "RepoTags": tags, "Layers": names}]
    return make_tar(
        member(name, data),
        *(member(path, layer) for path, layer in zip(names, layers, strict=True)),
        member("manifest.json", json.dumps(manifest).encode()),
    )


def oci_archive(blobs: Iterable[bytes], manifests: list[dict[str, Any]]) -> bytes:
    """Return an OCI image layout as an archive."""
    index = {"schemaVersion": 2, "manifests": manifests}
    return make_tar(
        member("oci-layout", b'{"imageLayoutVersion":"1.0.0"}'),
        *(member(f"blobs/sha256/{sha256(blob)[7:]}", blob) for blob in blobs),
        member("index.json", json.dumps(index).encode()),
    )


def three_layers() -> tuple[bytes, bytes, bytes]:
    """Return layers that add, remove and hide files."""
    return (
        make_tar(
            directory("opt", mode=0o2750, uid=5, gid=6),
            directory("opt/dir"),
            member("opt/dir/file", b"1"),
            member("opt/kept", b"2"),
        ),
        make_tar(member("opt/.wh.dir")),
        make_tar(member("opt/new", b"3"), member("etc/.wh..wh..opq"), member("etc/x", b"4")),
    )


# ---- operations ------------------------------------------------------------------


async def listed(engine: ImagesEngine, **parameters: Any) -> Any:
    filters = Filters(parameters.pop("filters", None))
    return await engine.images.list(api.ImageList(filters=filters, **parameters))


async def removed(engine: ImagesEngine, name: str, **parameters: Any) -> list[tuple[str, object]]:
    items = await engine.images.remove(api.ImageRemove(name=name, **parameters))
    return [
        ("untagged", item.untagged) if isinstance(item.untagged, str) else ("deleted", item.deleted)
        for item in items
    ]


async def tagged(engine: ImagesEngine, name: str, repo: str, tag: str = "") -> None:
    await engine.images.tag(api.ImageTag(name=name, repo=repo, tag=tag))


async def saved(engine: ImagesEngine, *names: str, platform: Iterable[str] = ()) -> bytes:
    request = api.ImageGetMany(names=list(names), platform=list(platform))
    return b"".join(await collect((await engine.images.get_many(request)).chunks))


async def inspected(engine: ImagesEngine, name: str, **parameters: Any) -> Any:
    return await engine.images.inspect(api.ImageInspect(name=name, **parameters))


def zstd(data: bytes) -> bytes:
    return subprocess.run(["zstd", "-qc"], input=data, check=True, capture_output=True).stdout


def gnu_tar(*arguments: str) -> bytes:
    return subprocess.run(["tar", "-c", *arguments], check=True, capture_output=True).stdout


def read_json(archive: tarfile.TarFile, name: str) -> Any:
    file = archive.extractfile(name)
    assert file is not None
    return json.loads(file.read())


def is_whiteout(path: Path) -> bool:
    info = path.lstat()
    return stat.S_ISCHR(info.st_mode) and info.st_rdev == 0
