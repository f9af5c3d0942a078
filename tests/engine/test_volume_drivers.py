"""Volumes that are no plain directories: options of the local driver, and plugins."""

import json
import re
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from tests.support.crash import eventually
from tests.support.engine import TestEngine
from tests.support.tar import TAR, entry, members, tarball
from tests.support.volume_plugin import BindingDriver


pytestmark = pytest.mark.root

SLEEP = ("sleep", "600")


def make(engine: TestEngine, name: str, driver: str = "local", **options: str) -> Any:
    body = {"Name": name, "Driver": driver, "DriverOpts": options}
    answer = engine.api.post("/volumes/create", body)
    assert answer.status == 201, answer.body
    return answer.json


def mounts_of(engine: TestEngine) -> list[str]:
    text = Path("/proc/self/mountinfo").read_text()
    return [line.split()[4] for line in text.splitlines() if f"{engine.data_root}/volumes" in line]


def run_in(engine: TestEngine, container: str, *command: str) -> str:
    made = engine.api.post(
        f"/containers/{container}/exec", {"Cmd": command, "AttachStdout": True, "Tty": True}
    ).json["Id"]
    return engine.api.post(f"/exec/{made}/start", {"Tty": True}).body.decode().strip()


def volume_events(engine: TestEngine, since: float) -> list[tuple[str, Any]]:
    filters = quote(json.dumps({"type": ["volume"]}))
    target = f"/events?since={since}&until={time.time()}&filters={filters}"
    events = [json.loads(line) for line in engine.api.get(target).body.splitlines()]
    return [(event["Action"], event["Actor"]["Attributes"]) for event in events]


@pytest.fixture
def own(engine):
    """Yield an engine, and remove all volumes at the end."""
    yield engine
    engine.remove_all()
    for volume in engine.api.get("/volumes").json["Volumes"]:
        assert engine.api.delete(f"/volumes/{volume['Name']}").status == 204


# ---- options of the local driver ------------------------------------------------


def test_a_tmpfs_exists_while_a_container_uses_it(own):
    make(own, "mem", type="tmpfs", device="tmpfs", o="size=1m,uid=1000,noexec")
    assert mounts_of(own) == []
    since = time.time()
    one = own.run(*SLEEP, host={"Binds": ["mem:/mem"]})
    two = own.run(*SLEEP, host={"Binds": ["mem:/mem:ro"]})
    line = run_in(own, one, "grep", " /mem ", "/proc/mounts")
    assert "tmpfs /mem tmpfs rw" in line
    assert "size=1024k" in line
    assert "uid=1000" in line
    assert "noexec" in line
    run_in(own, one, "sh", "-c", "echo shared >/mem/file")
    assert run_in(own, two, "cat", "/mem/file") == "shared"
    own.remove(one)
    assert run_in(own, two, "cat", "/mem/file") == "shared"
    assert len(mounts_of(own)) == 2
    own.remove(two)
    assert mounts_of(own) == []
    attributes = {"driver": "local", "container": one}
    assert volume_events(own, since)[:1] == [
        ("mount", attributes | {"destination": "/mem", "read/write": "true", "propagation": ""})
    ]
    assert ("unmount", attributes) in volume_events(own, since)


def test_a_directory_of_the_host_is_bound(own, tmp_path):
    (tmp_path / "file").write_text("of the host")
    make(own, "bound", type="none", device=str(tmp_path), o="bind,ro")
    container = own.run(*SLEEP, host={"Binds": ["bound:/in"]})
    assert run_in(own, container, "cat", "/in/file") == "of the host"
    assert "Read-only" in run_in(own, container, "touch", "/in/new")
    own.remove(container)
    assert (tmp_path / "file").exists()
    assert own.api.delete("/volumes/bound").status == 204
    assert (tmp_path / "file").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"type": "tmpfs", "device": "tmpfs", "o": "bogus=1"}, "invalid argument"),
        ({"type": "none", "device": "/no/where", "o": "bind"}, "no such file or directory"),
        ({"type": "bogusfs", "device": "x"}, "no such device"),
        ({"type": "ext4", "device": "/dev/null", "o": "password=secret"}, "password=\\*\\*\\*\\*"),
    ],
    ids=["option", "device", "type", "secret"],
)
def test_a_volume_that_cannot_be_mounted_fails_the_start(own, options, words):
    make(own, "broken", **options)
    container = own.create(*SLEEP, host={"Binds": ["broken:/x"]})
    answer = own.api.post(f"/containers/{container}/start")
    assert answer.status == 400
    assert "error while mounting volume" in answer.message
    assert "failed to mount local volume" in answer.message
    assert re.search(words, answer.message)
    assert "secret" not in answer.message
    assert mounts_of(own) == []
    assert own.inspect(container)["State"]["Status"] == "created"


def test_an_empty_one_is_filled_from_the_image(own, tmp_path):
    make(own, "bound", type="none", device=str(tmp_path), o="bind")
    own.create(*SLEEP, host={"Binds": ["bound:/etc"]})
    assert (tmp_path / "passwd").exists()
    assert mounts_of(own) == []


def test_files_are_copied_into_an_unmounted_volume(own, tmp_path):
    make(own, "bound", type="none", device=str(tmp_path), o="bind")
    container = own.create(*SLEEP, host={"Binds": ["bound:/in"]})
    target = f"/containers/{container}/archive?path=/in"
    answer = own.api.call("PUT", target, tarball(entry("file", b"x")), headers=TAR)
    assert answer.status == 200, answer.body
    assert (tmp_path / "file").read_bytes() == b"x"
    assert list(members(own.api.get(f"{target}/file").body)) == ["file"]
    assert mounts_of(own) == []


def test_a_crash_leaves_no_unused_mounts(own_engine):
    engine = own_engine
    make(engine, "mem", type="tmpfs", device="tmpfs")
    make(engine, "other", type="tmpfs", device="tmpfs")
    goes_on = engine.run(*SLEEP, host={"Binds": ["mem:/mem"]})
    ends = engine.run(*SLEEP, host={"Binds": ["mem:/mem", "other:/other"]})
    run_in(engine, goes_on, "sh", "-c", "echo kept >/mem/file")
    pid = engine.inspect(ends)["State"]["Pid"]
    engine.kill()
    subprocess.run(["kill", "-9", str(pid)], check=True)
    time.sleep(0.3)
    engine.start()
    eventually(lambda: not any("/other" in place for place in mounts_of(engine)))
    assert run_in(engine, goes_on, "cat", "/mem/file") == "kept"
    assert len(mounts_of(engine)) == 2
    engine.remove(goes_on)
    eventually(lambda: mounts_of(engine) == [])
    for name in ("mem", "other"):
        assert engine.api.delete(f"/volumes/{name}?force=1").status in (204, 409)


# ---- other drivers --------------------------------------------------------------


@pytest.fixture
def driver(own, tmp_path):
    with BindingDriver(own.exec_root / "plugins/binder.sock", tmp_path / "binder") as driver:
        yield driver
        own.remove_all()
        for volume in own.api.get("/volumes").json["Volumes"]:
            own.api.delete(f"/volumes/{volume['Name']}")
        assert not any(driver.mounted.values())


def test_a_driver_mounts_for_each_container(own, driver):
    shown = make(own, "theirs", "binder")
    assert (shown["Driver"], shown["Scope"], shown["Mountpoint"]) == ("binder", "global", "")
    one = own.run(*SLEEP, host={"Binds": ["theirs:/in"]})
    two = own.run(
        *SLEEP,
        host={
            "Mounts": [{"Type": "volume", "Source": "theirs", "Target": "/in", "ReadOnly": True}]
        },
    )
    run_in(own, one, "sh", "-c", "echo through >/in/file")
    assert (driver.data("theirs") / "file").read_text() == "through\n"
    assert run_in(own, two, "cat", "/in/file") == "through"
    assert driver.mounted["theirs"] == [one, two]
    (mount,) = own.inspect(one)["Mounts"]
    assert (mount["Driver"], mount["Name"]) == ("binder", "theirs")
    assert mount["Source"] == str(driver.place("theirs"))
    answer = own.api.get("/volumes/theirs").json
    assert answer["Mountpoint"] == str(driver.place("theirs"))
    assert answer["Status"]
    assert own.api.delete("/volumes/theirs").status == 409
    own.remove(one)
    own.remove(two)
    assert driver.mounted["theirs"] == []
    assert own.api.delete("/volumes/theirs").status == 204
    assert not driver.data("theirs").exists()


def test_a_container_s_volume_driver_makes_its_volumes(own, driver):
    host = {"VolumeDriver": "binder", "Binds": ["made:/in"]}
    container = own.create(*SLEEP, host=host, Volumes={"/anonymous": {}})
    assert sorted(path.name == "made" for path in (driver.base / "data").iterdir()) == [False, True]
    mounts = own.inspect(container)["Mounts"]
    assert {mount["Driver"] for mount in mounts} == {"binder"}
    own.remove(container)
    assert [path.name for path in (driver.base / "data").iterdir()] == ["made"]
    config = {"VolumeOptions": {"DriverConfig": {"Name": "binder", "Options": {"a": "b"}}}}
    mount = {"Type": "volume", "Source": "long", "Target": "/in", **config}
    own.create(*SLEEP, host={"Mounts": [mount]})
    assert driver.called("VolumeDriver.Create")[-1] == {"Name": "long", "Opts": {"a": "b"}}


def test_a_new_one_is_filled_from_the_image(own, driver):
    own.create(*SLEEP, host={"VolumeDriver": "binder", "Binds": ["filled:/etc"]})
    assert (driver.data("filled") / "passwd").exists()
    own.create(*SLEEP, host={"VolumeDriver": "binder", "Binds": ["bare:/etc:nocopy"]})
    assert not list(driver.data("bare").iterdir())
    assert not any(driver.mounted.values())


def test_a_driver_that_fails_keeps_the_container_from_starting(own, driver):
    make(own, "theirs", "binder")
    container = own.create(*SLEEP, host={"Binds": ["theirs:/in"]})
    driver.fail["Mount"] = "the disk is on fire"
    answer = own.api.post(f"/containers/{container}/start")
    assert answer.status == 500
    assert answer.message == "error while mounting volume 'theirs': the disk is on fire"
    driver.fail.clear()
    assert own.api.post(f"/containers/{container}/start").status == 204


def test_an_absent_driver_is_the_caller_s_mistake(own):
    answer = own.api.post("/volumes/create", {"Name": "data", "Driver": "bogus"})
    assert (answer.status, answer.message) == (
        404, 'create data: error looking up volume plugin bogus: plugin "bogus" not found',
    )  # fmt: skip


def test_a_driver_is_notified_after_a_crash(own_engine, tmp_path):
    engine = own_engine
    with BindingDriver(engine.exec_root / "plugins/binder.sock", tmp_path / "binder") as driver:
        make(engine, "theirs", "binder")
        goes_on = engine.run(*SLEEP, host={"Binds": ["theirs:/in"]})
        ends = engine.run(*SLEEP, host={"Binds": ["theirs:/in"]})
        pid = engine.inspect(ends)["State"]["Pid"]
        engine.kill()
        subprocess.run(["kill", "-9", str(pid)], check=True)
        time.sleep(0.3)
        engine.start()
        eventually(lambda: driver.mounted["theirs"] == [goes_on])
        engine.remove(goes_on)
        engine.remove(ends)
        eventually(lambda: driver.mounted["theirs"] == [])
        assert engine.api.delete("/volumes/theirs").status == 204
