"""Preparation for moves between cgroups: the file that is written, and tolerance of errors."""

import pytest

from palan.host.cgroup_moves import CgroupMoves
from palan.host.cgroups import Cgroups, Layout


def machine(tmp_path, layout, *trees):
    root = tmp_path / "cgroup"
    found = [root / tree for tree in trees] or [root]
    for tree in found:
        (tree / "own").mkdir(parents=True)
        (tree / "own" / "cgroup.procs").touch()
    return Cgroups(layout, root, {}, tuple(found))


@pytest.mark.parametrize(
    ("layout", "trees", "membership", "written"),
    [
        (Layout.V2, (), "0::/own\n", "own"),
        (Layout.V1, ("memory", "systemd"), "2:name=systemd:/own\n1:memory:/x\n", "systemd/own"),
        (
            Layout.HYBRID,
            ("cpu,cpuacct", "unified"),
            "3:cpu,cpuacct:/own\n0::/\n",
            "cpu,cpuacct/own",
        ),
        (Layout.V1, ("pids", "memory"), "4:pids:/../own\n3:rdma:/own\n1:memory:/own", "memory/own"),
    ],
)
def test_the_engine_is_moved_to_its_own_cgroup(tmp_path, layout, trees, membership, written):
    cgroups = machine(tmp_path, layout, *trees)
    (tmp_path / "membership").write_text(membership)
    CgroupMoves(cgroups, tmp_path / "membership").prepare()
    files = {str(f.parent.relative_to(cgroups.root)): f.read_text()
             for f in cgroups.root.rglob("cgroup.procs")}  # fmt: skip
    assert files.pop(written) == "0"
    assert not any(files.values())


@pytest.mark.parametrize("membership", [None, "", "0::/gone\n", "5:name=other:/own\n"])
def test_without_a_visible_cgroup_nothing_is_written(tmp_path, membership):
    cgroups = machine(tmp_path, Layout.V2)
    if membership is not None:
        (tmp_path / "membership").write_text(membership)
    CgroupMoves(cgroups, tmp_path / "membership").prepare()
    assert not (cgroups.root / "own" / "cgroup.procs").read_text()
