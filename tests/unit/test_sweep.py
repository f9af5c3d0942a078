"""The things that a start of the engine removes, and those that it must not touch."""

from types import SimpleNamespace

import pytest

from palan.engine.containers.sweep import sweep
from palan.engine.paths import Paths
from palan.host import cgroups
from palan.host.cgroups import Cgroups, Layout, is_frozen


MINE, ENDED, HALF_MADE, FOREIGN = (letter * 64 for letter in "abcd")


@pytest.fixture
def context(tmp_path, monkeypatch):
    """The context of one running container, one that has ended, and leftovers of a third."""
    monkeypatch.setattr(cgroups, "kill_all", lambda _path: True)  # it makes files where none are
    paths = Paths(tmp_path / "data", tmp_path / "exec")
    paths.prepare()
    tree = tmp_path / "cgroups"
    for name in (MINE, ENDED, HALF_MADE, FOREIGN):
        (tree / "palan" / name).mkdir(parents=True)
    for name in (MINE, ENDED, HALF_MADE):
        (paths.bundle(name) / "rootfs").mkdir(parents=True)
        paths.container(name).mkdir()
        (paths.exits / name).write_text("0")
    return SimpleNamespace(
        paths=paths,
        tree=tree,
        config=SimpleNamespace(cgroup_root="/palan", cgroup_parent=""),
        machine=SimpleNamespace(cgroups=Cgroups(Layout.V2, tree, {}, (tree,))),
        log=SimpleNamespace(warning=print),
        registry=[
            SimpleNamespace(id=MINE, running=True),
            SimpleNamespace(id=ENDED, running=False),
        ],
    )


def names(directory):
    return {path.name for path in directory.iterdir()}


def test_leftovers_of_no_container_are_removed(context):
    (context.paths.exec_root / "probe-0123").mkdir()
    (context.paths.data_root / "runtimes.json.77").touch()
    trash = sweep(context, {HALF_MADE})
    assert names(context.paths.bundles) == {MINE}
    assert names(context.paths.exits) == {MINE}
    assert names(context.paths.containers) == {MINE, ENDED}
    assert [path.parent for path in trash] == [context.paths.tmp]
    assert not (context.paths.exec_root / "probe-0123").exists()
    assert not (context.paths.data_root / "runtimes.json.77").exists()


def test_below_our_own_cgroup_all_is_ours(context):
    sweep(context, set())
    assert names(context.tree / "palan") == {MINE}


def test_below_a_given_cgroup_only_what_we_came_across_is(context):
    context.config.cgroup_parent = "/palan"
    sweep(context, {HALF_MADE})
    assert names(context.tree / "palan") == {MINE, FOREIGN}


def test_sweeping_twice_is_as_once(context):
    sweep(context, {HALF_MADE})
    assert sweep(context, {HALF_MADE}) == []


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("freezer.state", "FROZEN\n", True),
        ("freezer.state", "FREEZING\n", True),
        ("freezer.state", "THAWED\n", False),
        ("cgroup.freeze", "1\n", True),
        ("cgroup.freeze", "0\n", False),
        ("cgroup.procs", "", False),
    ],
)
def test_is_frozen(tmp_path, name, text, expected):
    (tmp_path / name).write_text(text)
    assert is_frozen(tmp_path) is expected


def test_an_absent_cgroup_is_not_frozen(tmp_path):
    assert not is_frozen(tmp_path / "absent")
