import asyncio
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.commits import Commits
from tests.support.containers import FakeEvents
from tests.support.plugin import TestPlugin

from palan.api import Filters
from palan.api.errors import Conflict, InternalError, InvalidParameter, NotFound, Unavailable
from palan.api.volumes import (
    VolumeCreate,
    VolumeCreateRequest,
    VolumeInspect,
    VolumeList,
    VolumePrune,
    VolumeRemove,
    VolumeUpdate,
)
from palan.engine.events import SCHEMA as EVENTS
from palan.engine.events import EventJournal
from palan.engine.volumes.names import NAME
from palan.engine.volumes.room import SCHEMA, Volumes
from palan.plugins import PluginPaths, PluginRegistry
from palan.store.database import Database


HINT = "a volume of type tmpfs has its size in o=size="


class Room:
    """A room of volumes with only a database and directories."""

    def __init__(self, root: Path) -> None:
        paths = SimpleNamespace(
            volumes=root / "volumes", tmp=root / "tmp", set_aside=root / "set-aside"
        )
        for path in (paths.volumes, paths.tmp):
            path.mkdir(exist_ok=True)
        self.root = root
        self.sweeping: list[asyncio.Future[None]] = []
        engine: Any = SimpleNamespace(
            db=Database(root / "db", SCHEMA),
            paths=paths,
            events=FakeEvents(),
            slowly=asyncio.to_thread,
            spawn=self._spawn,
            drivers=PluginRegistry(PluginPaths((root / "plugins",), ())),
        )
        self.engine = engine
        self.volumes = Volumes(engine)
        self.volumes.load()

    def _spawn(self, work: Any) -> None:
        self.sweeping.append(asyncio.ensure_future(work))

    async def make(self, name: str = "", **fields: Any) -> str:
        body = VolumeCreateRequest(name=name, **fields)
        return (await self.volumes.create(VolumeCreate(body=body))).name

    async def names(self, **filters: list[str]) -> list[str]:
        answer = await self.volumes.list(VolumeList(filters=Filters(filters)))
        return [volume.name for volume in answer.volumes or []]

    async def remove(self, name: str, *, force: bool = False) -> None:
        await self.volumes.remove(VolumeRemove(name=name, force=force))

    async def prune(self, **filters: list[str]) -> tuple[list[str], int]:
        answer = await self.volumes.prune(VolumePrune(filters=Filters(filters)))
        return answer.volumes_deleted or [], answer.space_reclaimed

    def actions(self) -> list[tuple[str, str]]:
        return [(action, actor) for _, action, actor, _ in self.engine.events.seen]

    def again(self) -> "Room":
        """Return a room on the same files, as after a start of the engine."""
        self.engine.db.close()
        return Room(self.root)


@pytest.fixture
def room(tmp_path: Path):
    room = Room(tmp_path)
    yield room
    room.engine.db.close()


async def test_events_are_committed_with_the_rows_that_they_report(room):
    for statement in EVENTS:
        room.engine.db.read(lambda connection, sql=statement: connection.execute(sql))
    room.engine.events = EventJournal(room.engine.db)
    commits = Commits(room.engine.db)
    await room.make("data")
    assert commits.together("insert volumes", "event volume create")
    await room.remove("data")
    assert commits.together("delete volumes", "event volume destroy")
    assert len(commits.transactions) == 2


async def test_a_volume_is_a_directory_and_a_row(room):
    assert await room.make("data", labels={"a": "b"}) == "data"
    path = room.volumes.path("data")
    assert path.is_dir()
    assert path.parent.stat().st_mode & 0o777 == 0o701
    shown = await room.volumes.inspect(VolumeInspect(name="data"))
    assert (shown.driver, shown.mountpoint, shown.labels) == ("local", str(path), {"a": "b"})
    assert (shown.scope, shown.options) == ("local", None)
    assert room.actions() == [("create", "data")]


async def test_one_that_exists_is_answered_as_it_is(room):
    await room.make("data", labels={"a": "b"})
    body = VolumeCreateRequest(name="data", labels={"c": "d"})
    assert (await room.volumes.create(VolumeCreate(body=body))).labels == {"a": "b"}
    assert room.actions() == [("create", "data")]


async def test_two_at_once_make_one(room):
    made = await asyncio.gather(*(room.volumes.ensure("data") for _ in range(5)))
    assert sorted(new for _, new in made) == [False] * 4 + [True]
    assert room.actions() == [("create", "data")]


async def test_a_volume_whose_directory_was_deleted_gets_a_new_one(room):
    await room.make("data")
    path = room.volumes.path("data")
    path.rmdir()
    path.parent.rmdir()
    record, made = await room.volumes.ensure("data")
    assert (record.name, made) == ("data", False)
    assert path.is_dir()


async def test_without_a_name_it_is_anonymous(room):
    name = await room.make(labels={"a": "b"})
    assert len(name) == 64
    labels = (await room.volumes.inspect(VolumeInspect(name=name))).labels
    assert labels == {"a": "b", "com.docker.volume.anonymous": ""}


@pytest.mark.parametrize("name", ["x", "../x", "a/b", ".hidden", "-x", "a b", "a\n", "é" * 2, "/x"])
async def test_names_that_are_no_names(room, name):
    with pytest.raises(
        InvalidParameter, match=r"invalid characters for a local volume name|too short"
    ):
        await room.make(name)
    assert await room.names() == []


@given(st.text(max_size=10))
def test_a_name_never_leads_out_of_the_directory(name):
    if NAME.fullmatch(name):
        assert Path("/volumes", name).parent == Path("/volumes")
        assert Path("/volumes", name).name == name
        assert name.isascii()


async def test_other_drivers_and_options(room):
    with pytest.raises(NotFound, match='plugin "nfs" not found'):
        await room.make("data", driver="nfs")
    made = await room.make("mem", driver_opts={"type": "tmpfs", "device": "tmpfs"})
    assert (await room.volumes.inspect(VolumeInspect(name=made))).options == {
        "type": "tmpfs", "device": "tmpfs",
    }  # fmt: skip
    with (
        TestPlugin(room.root / "plugins/nfs.sock", ("VolumeDriver",), {}),
        pytest.raises(Conflict, match="driver 'local' already has volume 'mem'"),
    ):
        await room.make("mem", driver="nfs")
    assert await room.make("data", driver="local", driver_opts={}) == "data"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bogus": "1"}, 'invalid option: "bogus"'),
        ({"type": "tmpfs"}, 'missing required option: "device"'),
        ({"device": "/x"}, 'missing required option: "type"'),
        ({"o": "ro", "device": "/x"}, 'missing required option: "type"'),
        ({"type": "tmpfs", "device": ""}, "missing device in volume options"),
        (
            {"type": "cifs", "device": "//host:445/share"},
            "port not allowed in CIFS device URL, include 'port' in 'o='",
        ),
        (
            {"size": "1g"},
            f"quota size requested but no quota support; {HINT}",
        ),
        ({"size": "big"}, "invalid size: 'big'"),
        ({"size": "9" * 400}, f"invalid size: '{'9' * 400}'"),
    ],
)
async def test_options_that_make_no_sense(room, options, message):
    with pytest.raises(InvalidParameter) as caught:
        await room.make("data", driver_opts=options)
    assert caught.value.message == f"create data: {message}"


async def test_options_of_one_that_exists_do_not_matter(room):
    await room.make("data")
    assert await room.make("data", driver_opts={"type": "tmpfs", "device": "tmpfs"}) == "data"


async def test_lists(room):
    for name, labels in (("two", {"a": "1"}), ("one", {"a": "2", "b": ""}), ("three", None)):
        await room.make(name, labels=labels)
    room.volumes.use("two", "c" * 64)
    assert await room.names() == ["one", "three", "two"]
    assert await room.names(name=["t"]) == ["three", "two"]
    assert await room.names(label=["a"]) == ["one", "two"]
    assert await room.names(label=["a=1"]) == ["two"]
    assert await room.names(label=["a", "b"]) == ["one"]
    assert await room.names(driver=["local"]) == ["one", "three", "two"]
    assert await room.names(driver=["nfs"]) == []
    assert await room.names(dangling=["true"]) == ["one", "three"]
    assert await room.names(dangling=["0"]) == ["two"]


async def test_removal(room):
    await room.make("data")
    (room.volumes.path("data") / "file").write_text("x")
    await room.remove("data")
    assert await room.names() == []
    assert list(room.root.glob("volumes/*")) == list(room.root.glob("tmp/*")) == []
    assert room.actions() == [("create", "data"), ("destroy", "data")]
    with pytest.raises(NotFound, match="get data: no such volume"):
        await room.remove("data")
    await room.remove("data", force=True)


async def test_one_in_use_stays(room):
    await room.make("data")
    room.volumes.use("data", "b" * 64)
    room.volumes.use("data", "a" * 64)
    for force in (False, True):
        with pytest.raises(Conflict) as caught:
            await room.remove("data", force=force)
        assert caught.value.message == (f"remove data: volume is in use - [{'a' * 64}, {'b' * 64}]")
    room.volumes.release("a" * 64)
    with pytest.raises(Conflict):
        await room.remove("data")
    room.volumes.release("b" * 64)
    await room.remove("data")


async def test_a_volume_whose_directory_was_deleted_can_be_removed(room):
    await room.make("data")
    shutil.rmtree(room.root / "volumes/data")
    await room.remove("data")
    assert await room.names() == []
    assert room.actions()[-1] == ("destroy", "data")


async def test_prune_removes_unused_anonymous_volumes(room):
    anonymous, used = await room.make(), await room.make()
    await room.make("named")
    (room.volumes.path(anonymous) / "file").write_bytes(bytes(1000))
    room.volumes.use(used, "c" * 64)
    assert await room.prune() == ([anonymous], 1000)
    assert room.actions()[-1] == ("prune", "")
    assert await room.prune(all=["true"]) == (["named"], 0)
    assert await room.names() == [used]


async def test_prune_by_label(room):
    for name in ("keep", "drop"):
        await room.make(name, labels={name: ""})
    assert await room.prune(all=["1"], **{"label!": ["keep"]}) == (["drop"], 0)
    assert await room.prune(all=["1"], label=["absent"]) == ([], 0)


async def test_prune_spares_what_a_container_takes_meanwhile(room, monkeypatch):
    name = await room.make()

    def measure(_path: Path) -> int:
        room.volumes.use(name, "c" * 64)
        return 1

    monkeypatch.setattr("palan.engine.volumes.remove.directory_size", measure)
    assert await room.prune() == ([], 0)
    assert await room.names() == [name]


async def test_an_anonymous_volume_goes_with_its_last_container(room):
    anonymous = await room.make()
    await room.make("named")
    for name in (anonymous, "named"):
        room.volumes.use(name, "a" * 64)
        room.volumes.use(name, "b" * 64)
    room.volumes.release("a" * 64)
    await room.volumes.remove_anonymous(anonymous)
    assert anonymous in await room.names()
    room.volumes.release("b" * 64)
    for name in (anonymous, "named", "absent"):
        await room.volumes.remove_anonymous(name)
    assert await room.names() == ["named"]


async def test_sizes_and_users(room):
    await room.make("data")
    (room.volumes.path("data") / "file").write_bytes(bytes(123))
    room.volumes.use("data", "a" * 64)
    (volume,) = await room.volumes.usage()
    assert (volume.usage_data.size, volume.usage_data.ref_count) == (123, 1)


async def test_a_start_keeps_directories_with_a_row_and_removes_others(room):
    await room.make("data", labels={"a": "b"})
    (room.volumes.path("data") / "file").write_text("kept")
    (room.root / "volumes/stray/_data").mkdir(parents=True)
    later = room.again()
    assert await later.names(label=["a=b"]) == ["data"]
    assert (later.volumes.path("data") / "file").read_text() == "kept"
    assert not (room.root / "volumes/stray").exists()
    later.engine.db.close()
    await asyncio.gather(*later.sweeping)
    assert list(room.root.glob("tmp/*")) == []


async def test_a_row_that_could_not_be_written_is_no_obstacle_the_next_time(room, monkeypatch):
    async def full(*_arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("palan.store.documents.Documents.put", full)
        with pytest.raises(OSError, match="No space"):
            await room.make("data")
    assert await room.names() == []
    assert await room.make("data") == "data"


async def test_only_plain_directories_are_pruned_and_measured(room):
    await room.make("plain")
    await room.make("mem", driver_opts={"type": "tmpfs", "device": "tmpfs"})
    assert [volume.name for volume in await room.volumes.usage()] == ["plain"]
    assert (await room.prune(all=["1"]))[0] == ["plain"]
    assert await room.names() == ["mem"]
    with pytest.raises(InvalidParameter, match="only one value is expected"):
        await room.prune(all=["1", "0"])


async def test_a_volume_can_be_updated_in_a_swarm_only(room):
    with pytest.raises(Unavailable, match="only valid for cluster volumes"):
        await room.volumes.update(VolumeUpdate(name="data", version=1))


async def test_the_holder_of_a_plain_volume_is_known_until_it_releases_it(room):
    await room.make("data")
    assert await room.volumes.mount("data", "one") == str(room.volumes.path("data"))
    assert await room.volumes.unmount("data", "one")
    assert not await room.volumes.unmount("data", "one")
    with pytest.raises(NotFound):
        await room.volumes.mount("missing", "one")


class Vols:
    """A driver that keeps names in memory."""

    def __init__(self) -> None:
        self.volumes: dict[str, dict[str, Any]] = {}
        self.fail = ""

    def methods(self) -> dict[str, Any]:
        return {
            f"VolumeDriver.{name}": getattr(self, name.lower())
            for name in ("Create", "Remove", "Get", "List", "Mount", "Unmount", "Capabilities")
        }

    def create(self, asked: dict[str, Any]) -> dict[str, Any]:
        if self.fail:
            return {"Err": self.fail}
        self.volumes[asked["Name"]] = asked["Opts"] or {}
        return {}

    def remove(self, asked: dict[str, Any]) -> dict[str, Any]:
        if self.fail:
            return {"Err": self.fail}
        del self.volumes[asked["Name"]]
        return {}

    def _volume(self, name: str) -> dict[str, Any]:
        return {"Name": name, "Mountpoint": f"/mnt/{name}", "Status": {"options": 1}}

    def get(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["Name"] not in self.volumes:
            return {"Err": "no such volume"}
        return {"Volume": self._volume(asked["Name"])}

    def list(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"Err": self.fail, "Volumes": [self._volume(name) for name in self.volumes]}

    def mount(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"Mountpoint": f"/mnt/{asked['Name']}", "Err": self.fail}

    def unmount(self, _: dict[str, Any]) -> dict[str, Any]:
        return {}

    def capabilities(self, _: dict[str, Any]) -> dict[str, Any]:
        return {"Capabilities": {"Scope": "Global"}}


@pytest.fixture
def vols(room):
    driver = Vols()
    with TestPlugin(room.root / "plugins/vols.sock", ("VolumeDriver",), driver.methods()) as plugin:
        driver.plugin = plugin  # type: ignore[attr-defined]
        yield driver


async def test_volumes_of_a_driver_are_made_shown_and_removed_there(room, vols):
    await room.make("theirs", driver="vols", driver_opts={"a": "b"}, labels={"x": "y"})
    assert vols.volumes == {"theirs": {"a": "b"}}
    shown = await room.volumes.inspect(VolumeInspect(name="theirs"))
    assert (shown.driver, shown.scope, shown.mountpoint) == ("vols", "global", "/mnt/theirs")
    assert (shown.status, shown.options, shown.labels) == ({"options": 1}, {"a": "b"}, {"x": "y"})
    assert await room.make("theirs") == "theirs"
    assert await room.names(driver=["vols"]) == ["theirs"]
    await room.remove("theirs")
    assert vols.volumes == {}
    assert room.actions() == [("create", "theirs"), ("destroy", "theirs")]


async def test_volumes_that_only_the_driver_knows_are_found(room, vols):
    vols.volumes["before"] = {}
    assert await room.names() == ["before"]
    assert (await room.volumes.inspect(VolumeInspect(name="before"))).driver == "vols"
    record, made = await room.volumes.ensure("before")
    assert (record.driver, made) == ("vols", True)
    await room.remove("before")
    vols.volumes["other"] = {}
    await room.remove("other")
    assert vols.volumes == {}


async def test_an_unsupported_operation_of_a_driver_is_a_clear_error(room, vols):
    await room.make("theirs", driver="vols")
    vols.fail = "out of order"
    with pytest.raises(InternalError, match=r"^create more: out of order$"):
        await room.make("more", driver="vols")
    with pytest.raises(InternalError, match=r"^remove theirs: out of order$"):
        await room.remove("theirs")
    with pytest.raises(
        InternalError, match=r"^error while mounting volume 'theirs': out of order$"
    ):
        await room.volumes.mount("theirs", "holder")
    answer = await room.volumes.list(VolumeList())
    assert answer.warnings == ["list vols: out of order"]
    assert [volume.name for volume in answer.volumes] == ["theirs"]
    with pytest.raises(InternalError):
        await room.remove("theirs", force=True)
    vols.fail = ""
    vols.volumes.clear()
    assert await room.names() == []


async def test_a_driver_learns_the_holders_of_a_volume_even_after_a_crash(room, vols):
    await room.make("theirs", driver="vols")
    assert await room.volumes.mount("theirs", "gone") == "/mnt/theirs"
    assert await room.volumes.mount("theirs", "alive") == "/mnt/theirs"
    again = room.again()
    again.volumes.use("theirs", "alive")
    await again.volumes.unmount_stale({"alive"})
    assert vols.plugin.called("VolumeDriver.Unmount") == [{"Name": "theirs", "ID": "gone"}]
    assert await again.volumes.unmount("theirs", "alive")
    assert not await again.volumes.unmount("theirs", "gone")
    again.engine.db.close()


async def test_one_that_its_driver_has_lost_is_made_anew_unless_it_is_in_use(room, vols):
    await room.make("theirs", driver="vols")
    vols.volumes.clear()
    room.volumes.use("theirs", "c" * 64)
    with pytest.raises(Conflict, match="the volume was not found in the driver"):
        await room.make("theirs", driver="vols")
    room.volumes.release("c" * 64)
    assert await room.make("theirs", driver="vols") == "theirs"
    assert list(vols.volumes) == ["theirs"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, ["db-1", "db-2", "web"]),
        ({"name": ["db"]}, ["db-1", "db-2"]),
        ({"name": ["^web$"]}, ["web"]),
        ({"name": ["1$", "web"]}, ["db-1", "web"]),
        ({"name": ["("]}, []),
        ({"name": ["(d+)+$"]}, []),
        ({"driver": ["local"]}, ["db-1", "db-2", "web"]),
        ({"driver": ["loc"]}, []),
        ({"label": ["a"]}, ["db-1", "db-2"]),
        ({"label": ["a=1"]}, ["db-1"]),
        ({"label": ["a", "b"]}, ["db-2"]),
        ({"dangling": ["true"]}, ["db-1", "db-2"]),
        ({"dangling": ["0"]}, ["web"]),
    ],
)
async def test_filters_of_the_list(room, filters, expected):
    await room.make("db-1", labels={"a": "1"})
    await room.make("db-2", labels={"a": "2", "b": "3"})
    await room.make("web")
    room.volumes.use("web", "container")
    assert await room.names(**filters) == expected


async def test_several_unwanted_labels_exclude_together(room):
    await room.make("one", labels={"a": "1"})
    await room.make("both", labels={"a": "1", "b": "2"})
    deleted, _ = await room.prune(**{"all": ["1"], "label!": ["a", "b"]})
    assert deleted == ["one"]


async def test_a_directory_with_files_but_without_a_row_is_set_aside(room):
    await room.make("kept")
    for name in ("lost", "empty"):
        (room.root / "volumes" / name / "_data").mkdir(parents=True)
    (room.root / "volumes/lost/_data/file").write_text("precious")
    again = room.again()
    await asyncio.gather(*again.sweeping)
    assert [path.name for path in (room.root / "volumes").iterdir()] == ["kept"]
    (kept,) = (room.root / "set-aside").iterdir()
    assert kept.name.startswith("volume-lost-")
    assert (kept / "_data/file").read_text() == "precious"
    again.engine.db.close()
