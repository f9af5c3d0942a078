"""Cgroups, with ordinary directories as hierarchies."""

from pathlib import Path

import pytest

from palan.host import cgroups
from palan.host.cgroups import Layout


def make(root: Path, *files: str) -> None:
    for name in files:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.fixture
def first(tmp_path):
    make(
        tmp_path,
        "memory/cgroup.procs",
        "memory/memory.limit_in_bytes",
        "memory/memory.oom_control",
        "cpu,cpuacct/cgroup.procs",
        "cpu,cpuacct/cpu.shares",
        "blkio/cgroup.procs",
        "blkio/some/blkio.bfq.weight",
        "pids/cgroup.procs",
        "systemd/cgroup.procs",
    )
    (tmp_path / "cpu").symlink_to("cpu,cpuacct")
    return tmp_path


@pytest.fixture
def second(tmp_path):
    make(tmp_path, "cgroup.procs", "system.slice/memory.max", "system.slice/memory.swap.max")
    (tmp_path / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    return tmp_path


def test_v1(first):
    found = cgroups.detect(first)
    assert found.layout is Layout.V1
    assert found.version == "1"
    assert set(found.controllers) == {"memory", "cpu", "cpuacct", "blkio", "pids"}
    assert found.controllers["cpu"] == found.controllers["cpuacct"] == first / "cpu,cpuacct"
    assert first / "systemd" in found.trees
    assert len(found.trees) == 5


def test_v1_with_a_v2_hierarchy_is_hybrid(first):
    (first / "unified").mkdir()
    (first / "unified/cgroup.controllers").write_text("hugetlb\n")
    found = cgroups.detect(first)
    assert found.layout is Layout.HYBRID
    assert found.version == "1"
    assert "hugetlb" not in found.controllers
    assert first / "unified" in found.trees


def test_v2(second):
    found = cgroups.detect(second)
    assert found.layout is Layout.V2
    assert found.version == "2"
    assert found.paths("/docker/abc")["memory"] == second / "docker/abc"
    assert found.directories("docker/abc") == [second / "docker/abc"]


def test_nothing_mounted(tmp_path):
    found = cgroups.detect(tmp_path)
    assert found.controllers == {}
    assert not found.features().memory_limit
    assert cgroups.detect(tmp_path / "absent").trees == ()


def test_features_of_v1(first):
    features = cgroups.detect(first).features()
    assert features.memory_limit
    assert features.oom_kill_disable
    assert features.cpu_shares
    assert features.pids_limit
    assert features.blkio_weight  # found in a cgroup below only
    assert not features.swap_limit
    assert not features.cpuset
    assert not features.devices


def test_features_of_v2(second):
    features = cgroups.detect(second).features()
    assert features.memory_limit
    assert features.swap_limit
    assert features.cpu_cfs_quota
    assert features.cpuset
    assert features.devices
    assert not features.oom_kill_disable
    assert not features.kernel_memory


def test_swap_cannot_be_limited_without_swap_accounting(second):
    (second / "system.slice/memory.swap.max").unlink()
    assert not cgroups.detect(second).features().swap_limit


@pytest.mark.parametrize("name", ["", "/", "..", "a/../b", "a//b", "./a"])
def test_only_cgroups_below_the_root_have_paths(second, name):
    with pytest.raises(ValueError, match="cgroup"):
        cgroups.detect(second).paths(name)


def test_processes_of_a_cgroup_and_below(tmp_path):
    make(tmp_path, "a/b/c/cgroup.procs")
    (tmp_path / "a/cgroup.procs").write_text("10\n11\n")
    (tmp_path / "a/b/c/cgroup.procs").write_text("12\n")
    assert cgroups.processes(tmp_path / "a") == {10, 11, 12}
    assert cgroups.processes(tmp_path / "absent") == set()


def test_descendants_are_removed_first(tmp_path):
    (tmp_path / "a/b/c").mkdir(parents=True)
    (tmp_path / "a/d").mkdir()
    assert cgroups.remove([tmp_path / "a", tmp_path / "absent"]) == []
    assert not (tmp_path / "a").exists()


def test_freezing_waits_until_the_timeout(tmp_path):
    (tmp_path / "cgroup.freeze").touch()
    (tmp_path / "cgroup.events").write_text("populated 1\nfrozen 0\n")
    with pytest.raises(TimeoutError, match="freeze"):
        cgroups.freeze(tmp_path, timeout=0.01)
    assert (tmp_path / "cgroup.freeze").read_text() == "0"
    (tmp_path / "cgroup.events").write_text("populated 1\nfrozen 1\n")
    cgroups.freeze(tmp_path)
    assert (tmp_path / "cgroup.freeze").read_text() == "1"


def test_freezing_with_v1(tmp_path):
    (tmp_path / "freezer.state").touch()
    cgroups.freeze(tmp_path)
    assert (tmp_path / "freezer.state").read_text() == "FROZEN"
    cgroups.thaw(tmp_path)
    assert (tmp_path / "freezer.state").read_text() == "THAWED"


def test_values_and_keyed_files(tmp_path):
    (tmp_path / "max").write_text("max\n")
    (tmp_path / "number").write_text("-1\n")
    (tmp_path / "stat").write_text("anon 12\nfile 3\nweird x\n")
    assert cgroups.read_value(tmp_path / "max") is None
    assert cgroups.read_value(tmp_path / "number") == -1
    assert cgroups.read_value(tmp_path / "absent") is None
    assert cgroups.read_keyed(tmp_path / "stat") == {"anon": 12, "file": 3}
    assert cgroups.read_keyed(tmp_path / "absent") == {}


def test_killing_an_absent_cgroup_does_nothing(tmp_path):
    assert cgroups.kill_all(tmp_path / "absent")


def test_this_machine_can_be_detected():
    found = cgroups.detect()
    assert isinstance(found.features().memory_limit, bool)


@pytest.mark.parametrize(
    ("name", "unified"),
    [("cpuset.{}.effective", True), ("cpuset.effective_{}", False), ("cpuset.{}", False)],
)
def test_available_cpus_and_memory_nodes(tmp_path, name, unified):
    tree = tmp_path if unified else tmp_path / "cpuset"
    tree.mkdir(exist_ok=True)
    if unified:
        (tree / "cgroup.controllers").write_text("cpuset")
    (tree / "cgroup.procs").touch()
    (tree / name.format("cpus")).write_text("2-3\n")
    (tree / name.format("mems")).write_text("0-1\n")
    assert cgroups.detect(tmp_path).available() == ("2-3", "0-1")
    assert cgroups.detect(tmp_path / "absent").available() == ("", "")
