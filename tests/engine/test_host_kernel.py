"""Mounts, overlays, views and cgroups of the real kernel."""

import json
import os
import shutil
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from palan.engine.containers import merged_root
from palan.host import cgroups, filesystem, mounts, overlay, processes, spawn
from palan.host.namespaces import run_in_thread
from palan.host.rootview import Bind, RootView


pytestmark = pytest.mark.root

UNIFIED = spawn.HYBRID_CGROUP2


@pytest.fixture(autouse=True)
def nothing_stays_mounted(tmp_path):
    yield
    left = mounts.unmount_below(tmp_path)
    assert left == []


# ---- mounts -----------------------------------------------------------------


@pytest.fixture
def places(tmp_path):
    source, target = tmp_path / "sou rce", tmp_path / "target"
    source.mkdir()
    target.mkdir()
    (source / "file").touch()
    yield source, target
    mounts.unmount_below(target)
    mounts.unmount_below(source)


@pytest.mark.parametrize("recursive", [True, False])
def test_a_readonly_bind(places, recursive):
    source, target = places
    mounts.bind(source, target, readonly=True, recursive=recursive, propagation="rprivate")
    assert mounts.is_mount_point(target)
    assert not mounts.is_mount_point(source)
    assert (target / "file").exists()
    with pytest.raises(OSError, match="Read-only"):
        (target / "new").touch()
    (source / "new").touch()
    assert mounts.unmount(target)
    assert not mounts.unmount(target)


def test_a_recursive_bind_includes_mounts_below(places):
    source, target = places
    (source / "sub").mkdir()
    mounts.mount("tmpfs", source / "sub", "tmpfs", data="size=64k")
    (source / "sub/x").touch()
    mounts.bind(source, target, readonly=True)
    with pytest.raises(OSError, match="Read-only"):
        (target / "sub/x").unlink()
    assert mounts.unmount_below(target) == [f"{target}/sub", str(target)]


def test_a_file_can_be_bound(places):
    source, target = places
    (target / "file").touch()
    (source / "file").write_text("seen")
    mounts.bind(source / "file", target / "file")
    assert (target / "file").read_text() == "seen"


def test_shared_once_and_for_all(places):
    source, _ = places
    mounts.ensure_shared(source)
    mounts.ensure_shared(source)
    entries = [entry for entry in mounts.mountinfo() if entry.mount_point == str(source)]
    assert len(entries) == 1
    assert entries[0].shared
    mounts.make_private(source)
    assert not any(e.shared for e in mounts.mountinfo() if e.mount_point == str(source))


def test_a_tree_with_a_mount_is_not_removed(places):
    source, target = places
    mounts.bind(source, target)
    with pytest.raises(OSError, match="mounted"):
        filesystem.remove_tree(target.parent)
    assert (source / "file").exists()


@pytest.mark.skipif(shutil.which("chattr") is None, reason="needs chattr")
def test_immutable_files_are_removed(tmp_path):
    (tmp_path / "tree/sub").mkdir(parents=True)
    (tmp_path / "tree/sub/file").touch()
    for name in ("tree/sub/file", "tree/sub"):
        if subprocess.run(["chattr", "+i", tmp_path / name], check=False).returncode:
            pytest.skip("no such flags on this file system")
    filesystem.remove_tree(tmp_path / "tree")
    assert not (tmp_path / "tree").exists()


# ---- overlays ---------------------------------------------------------------


def layers(directory, count, mark="x" * 60):
    made = []
    for number in range(count):
        layer = directory / f"{mark}{number}"
        layer.mkdir()
        (layer / f"file{number}").touch()
        (layer / "top").write_text(str(number))
        made.append(layer)
    return made


@pytest.mark.parametrize("one_by_one", [True, False])
@pytest.mark.parametrize("mark", ["x" * 60, "a:b,c\\d" + "x" * 60, "long" * 60])
@pytest.mark.parametrize("count", [1, 127])
def test_many_layers_with_odd_names(tmp_path, monkeypatch, count, mark, one_by_one):
    if not one_by_one:
        monkeypatch.setattr(overlay, "_mount_one_by_one", lambda *_: False)
    upper, work, target = tmp_path / "up:per,", tmp_path / "wo\\rk", tmp_path / "merged"
    for place in (upper, work, target):
        place.mkdir()
    lowers = layers(tmp_path, count, mark)
    overlay.mount_overlay(lowers, upper, work, target, options=overlay.plain_options())
    try:
        assert len(list(target.iterdir())) == count + 1
        assert (target / "top").read_text() == "0"
        (target / "top").write_text("changed")
        assert (upper / "top").read_text() == "changed"
    finally:
        mounts.unmount(target)


@pytest.mark.parametrize("count", [1, 3])
def test_without_upper_directory_nothing_can_be_written(tmp_path, count):
    target = tmp_path / "merged"
    target.mkdir()
    overlay.mount_overlay(layers(tmp_path, count), None, None, target)
    try:
        assert (target / "top").read_text() == "0"
        with pytest.raises(OSError, match="Read-only"):
            (target / "new").touch()
    finally:
        mounts.unmount(target)


def test_support_is_found_out_by_trying(tmp_path):
    support = overlay.supports_overlay(tmp_path)
    assert support.usable
    assert support.reason == ""
    assert support.d_type
    assert support.native_diff
    assert list(tmp_path.iterdir()) == []


# ---- views ------------------------------------------------------------------


@pytest.fixture
def view():
    if not UNIFIED.exists():
        pytest.skip("not a machine with hybrid cgroups")
    made = spawn.RuntimeView(UNIFIED)
    yield made
    made.close()


def test_the_second_generation_is_hidden_from_programs_only(view):
    result = spawn.run(["sh", "-c", f"ls -A {UNIFIED} | grep cgroup; ls /sys/fs/cgroup"], view=view)
    assert b"cgroup.procs" not in result.stdout
    assert b"memory" in result.stdout
    assert (UNIFIED / "cgroup.procs").exists()


def test_later_mounts_are_seen_and_earlier_ones_not_held(view, tmp_path):
    (tmp_path / "m").mkdir()
    look = ["grep", "-c", f"{tmp_path}/m", "/proc/self/mountinfo"]
    assert spawn.run(look, view=view).stdout == b"0\n"
    mounts.mount("tmpfs", tmp_path / "m", "tmpfs")
    assert spawn.run(look, view=view).stdout == b"1\n"
    mounts.unmount(tmp_path / "m")
    assert spawn.run(look, view=view).stdout == b"0\n"


@pytest.mark.skipif(not UNIFIED.exists(), reason="not a machine with hybrid cgroups")
async def test_a_view_that_is_kept_has_what_is_mounted_below_shared_mounts(tmp_path):
    mounts.ensure_shared(tmp_path)
    (tmp_path / "m").mkdir()
    spawner = spawn.Spawner(spawn.RuntimeView(UNIFIED))
    look = ["grep", "-c", f"{tmp_path}/m", "/proc/self/mountinfo"]
    try:
        spaces = [
            (await spawner.run(["readlink", "/proc/self/ns/mnt"], cached_view=kept)).stdout
            for kept in (True, True, False)
        ]
        assert spaces[0] == spaces[1] != spaces[2]
        seen = (await spawner.run(["ls", UNIFIED], cached_view=True)).stdout
        assert b"cgroup.procs" not in seen
        mounts.mount("tmpfs", tmp_path / "m", "tmpfs")
        assert (await spawner.run(look, cached_view=True)).stdout == b"1\n"
        mounts.unmount(tmp_path / "m")
        assert (await spawner.run(look, cached_view=True)).stdout == b"0\n"
    finally:
        spawner.close()
        mounts.unmount(tmp_path)


def test_unmounting_below_a_shared_mount_reaches_programs_in_the_view(view, tmp_path):
    mounts.ensure_shared(tmp_path)
    (tmp_path / "m").mkdir()
    mounts.mount("tmpfs", tmp_path / "m", "tmpfs")
    with spawn.spawn(["sleep", "60"], view=view) as process:
        try:
            points = {entry.mount_point for entry in mounts.mountinfo(process.pid)}
            assert f"{tmp_path}/m" in points
            mounts.unmount(tmp_path / "m")
            points = {entry.mount_point for entry in mounts.mountinfo(process.pid)}
            assert f"{tmp_path}/m" not in points
        finally:
            process.kill()
            process.wait()
            mounts.unmount_below(tmp_path)


@pytest.fixture
def plain_view():
    made = spawn.RuntimeView()
    yield made
    made.close()


@pytest.mark.parametrize("cached", [True, False])
async def test_the_null_device_of_a_view_is_its_own_and_cannot_be_changed(cached):
    before = os.stat(os.devnull)  # noqa: PTH116
    spawner = spawn.Spawner(spawn.RuntimeView())
    try:
        seen = await spawner.run(["stat", "-L", "-c", "%d:%i", os.devnull], cached_view=cached)
        # No attempt to change it: a failing test must not change the host's.
        script = (
            "grep -c ' /dev/null ro,' /proc/self/mountinfo; echo x > /dev/null; ls -l /dev/null"
        )
        result = await spawner.run(["sh", "-c", script], cached_view=cached)
    finally:
        spawner.close()
    assert seen.stdout.decode().strip() != f"{before.st_dev}:{before.st_ino}"
    assert result.stdout.startswith(b"1\ncrw-rw-rw- 1 root root 1, 3 ")
    assert result.stderr == b""
    assert not any(mount.mount_point == os.devnull for mount in mounts.mountinfo())


def test_programs_in_a_view_do_not_have_our_keys(plain_view):
    script = "import ctypes; print(ctypes.CDLL(None).syscall(250, 0, -3, 0))"
    if os.uname().machine != "x86_64":
        pytest.skip("the number of keyctl(2) is another one")
    keys = {
        spawn.run([sys.executable, "-c", script], view=view).stdout
        for view in (None, plain_view, plain_view)
    }
    assert len(keys) == 3


def own_mounts():
    return Path("/proc/thread-self/ns/mnt").readlink()


async def test_the_threads_of_a_spawner_stay_at_home(view):
    spawner = spawn.Spawner(view, workers=1)
    threads = spawner._threads
    home = own_mounts()
    for _ in range(3):
        await spawner.run(["true"])
        with pytest.raises(FileNotFoundError):
            await spawner.run(["no-such-program"])
    assert threads.submit(own_mounts).result() == home
    assert threads.submit(os.getcwd).result() == "/"
    result = await spawner.run(["readlink", "/proc/self/ns/mnt"])
    assert result.stdout.decode().strip() != str(home)
    threads.shutdown()


@pytest.mark.skipif(shutil.which("crun") is None, reason="needs crun")
@pytest.mark.skipif(not Path("/bin/busybox").exists(), reason="needs a static busybox")
async def test_crun_runs_on_a_hybrid_machine(view, tmp_path):
    base = tmp_path / "base"
    for name in ("bin", "proc", "sys", "dev"):
        (base / name).mkdir(parents=True)
    shutil.copy("/bin/busybox", base / "bin/busybox")
    rootfs, upper, work = (tmp_path / name for name in ("rootfs", "upper", "work"))
    for place in (rootfs, upper, work):
        place.mkdir()
    name = f"palan-test-{os.getpid()}"
    spec = json.loads(make_spec(tmp_path))
    spec["process"]["terminal"] = False
    spec["process"]["args"] = ["/bin/busybox", "cat", "/proc/self/cgroup"]
    spec["linux"]["cgroupsPath"] = f"/{name}/one"
    spec["linux"]["resources"] = {"memory": {"limit": 64 << 20}}
    (tmp_path / "config.json").write_text(json.dumps(spec))

    crun = ["crun", f"--root={tmp_path}/state", "--cgroup-manager=cgroupfs"]
    command = [*crun, "run", "--bundle", str(tmp_path), name]
    spawner, direct = spawn.Spawner(view), spawn.Spawner()
    try:
        await spawner.run(["true"])  # the view's threads are older than the mount
        overlay.mount_overlay([base], upper, work, rootfs)
        refused = await direct.run(command)
        assert b"hybrid" in refused.stderr
        await direct.run([*crun, "delete", "--force", name])
        result = await spawner.run(command, timeout=30)
        assert result.stderr == b""
        assert f"memory:/{name}/one" in result.stdout.decode()
    finally:
        spawner._threads.shutdown()
        direct.close()
        mounts.unmount_below(tmp_path)
        assert cgroups.remove(cgroups.detect().directories(name)) == []


def make_spec(directory):
    subprocess.run(["crun", "spec"], cwd=directory, check=True)
    return (directory / "config.json").read_text()


# ---- files of containers, read by us -----------------------------------------


def has_effect(device):
    try:
        os.close(os.open(device, os.O_RDONLY))
    except PermissionError:
        return False
    return True


@pytest.mark.parametrize("mounted", [True, False])
def test_devices_of_containers_have_no_effect_in_our_views(tmp_path, mounted):
    # A container could put one in the place of a file that is about to be opened.
    for name in ("layer", "upper", "work", "volume", "place", "merged"):
        (tmp_path / name).mkdir()
    for name in ("layer", "volume"):
        os.mknod(tmp_path / name / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    assert has_effect(tmp_path / "layer/null")
    view = RootView(
        tmp_path / "place",
        mounted=tmp_path / "layer" if mounted else None,
        lowers=[tmp_path / "layer"],
        upper=tmp_path / "upper",
        work=tmp_path / "work",
        binds=[Bind(str(tmp_path / "volume"), "/volume")],
    )

    def look():
        with view.entered():
            return [has_effect(view.root / name) for name in ("null", "volume/null")]

    assert run_in_thread(look) == [False, False]
    live = tmp_path / "place" if mounted else None
    if live is not None:
        mounts.bind(tmp_path / "layer", live)
    merged = tmp_path / "merged" / "one"
    merged_root._mount(merged, live, [tmp_path / "layer", tmp_path / "upper"])
    try:
        assert not has_effect(merged / "null")
        assert has_effect(tmp_path / "layer/null")
    finally:
        merged_root._unmount(merged)
        if live is not None:
            mounts.unmount(live)


# ---- cgroups ----------------------------------------------------------------


@pytest.fixture
def cgroup():
    found = cgroups.detect()
    name = f"palan-test-{os.getpid()}/inner"
    directories = found.directories(name)
    for directory in directories:
        directory.mkdir(parents=True)
    yield found.paths(name).get("freezer", directories[0])
    parents = [directory.parent for directory in directories]
    assert cgroups.remove(parents) == []


def test_processes_are_found_frozen_and_killed(cgroup):
    process = subprocess.Popen(["sleep", "60"])
    threading.Thread(target=process.wait).start()
    (cgroup / "cgroup.procs").write_text(str(process.pid))
    assert cgroups.processes(cgroup.parent) == {process.pid}
    cgroups.freeze(cgroup)
    cgroups.thaw(cgroup)
    cgroups.freeze(cgroup)
    assert processes.is_alive(process.pid)
    assert cgroups.remove([cgroup], timeout=0.02) == [cgroup]
    assert cgroups.kill_all(cgroup)
    assert not processes.is_alive(process.pid)
