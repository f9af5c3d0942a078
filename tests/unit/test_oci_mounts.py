import pytest
from hypothesis import given
from hypothesis import strategies as st

from palan.api.containers import TmpfsOptions
from palan.api.errors import InvalidParameter
from palan.engine.oci.mounts import (
    MountPlan,
    bind_mount,
    default_masked_paths,
    oci_mounts,
    rootfs_propagation,
    tmpfs_mount,
)
from palan.engine.oci.tmpfs import merge_tmpfs_options, tmpfs_options_text


def make(*plans, **changes):
    options = {
        "shm_size": 67108864,
        "ipc_mode": "private",
        "privileged": False,
        "writable_cgroups": None,
        **changes,
    }
    return {mount["destination"]: mount for mount in oci_mounts(plans, **options)}


def test_the_defaults():
    mounts = make()
    assert list(mounts) == [
        "/proc",
        "/dev",
        "/dev/pts",
        "/sys",
        "/sys/fs/cgroup",
        "/dev/mqueue",
        "/dev/shm",
    ]
    assert "ro" in mounts["/sys"]["options"]
    assert "ro" in mounts["/sys/fs/cgroup"]["options"]
    assert mounts["/dev/shm"]["options"][-2:] == ["mode=1777", "size=67108864"]


def test_privileged_containers_may_write():
    mounts = make(privileged=True)
    assert "ro" not in mounts["/sys"]["options"]
    assert "ro" not in mounts["/sys/fs/cgroup"]["options"]
    kept = make(privileged=True, writable_cgroups=False)
    assert "ro" in kept["/sys/fs/cgroup"]["options"]
    assert "ro" not in make(writable_cgroups=True)["/sys/fs/cgroup"]["options"]


def test_ipc_modes():
    assert "/dev/shm" not in make(ipc_mode="none")
    host = make(ipc_mode="host")["/dev/shm"]
    assert (host["type"], host["source"]) == ("bind", "/dev/shm")
    shared = make(bind_mount("/run/x/shm", "/dev/shm"), ipc_mode="shareable")["/dev/shm"]
    assert shared["source"] == "/run/x/shm"


def test_the_users_mounts_take_the_defaults_places():
    mounts = make(bind_mount("/dev", "/dev"))
    assert not any(path.startswith("/dev/") for path in mounts)
    assert make(bind_mount("/x", "/sys"))["/sys"]["source"] == "/x"


def test_outer_mounts_come_first():
    plans = [bind_mount("/x", path) for path in ("/a/b/c", "/z", "/a/b", "/a")]
    assert list(make(*plans))[-4:] == ["/z", "/a", "/a/b", "/a/b/c"]


def test_the_init_program():
    assert make(init_path="/usr/bin/tini")["/sbin/docker-init"] == {
        "destination": "/sbin/docker-init",
        "type": "bind",
        "source": "/usr/bin/tini",
        "options": ["bind", "ro"],
    }


def test_binds():
    assert bind_mount("/a", "/b").options == ("rbind",)
    assert bind_mount("/a", "/b", read_only=True, propagation="rslave").options == (
        "rbind",
        "ro",
        "rslave",
    )
    assert bind_mount(
        "/a", "/b", read_only=True, recursive=False, recursive_read_only=True
    ).options == ("bind", "rro")


def test_propagation_of_the_root():
    plans = [bind_mount("/a", "/b", propagation="rprivate")]
    assert rootfs_propagation(plans) == ""
    plans.append(bind_mount("/a", "/c", propagation="rslave"))
    assert rootfs_propagation(plans) == "rslave"
    plans.append(bind_mount("/a", "/d", propagation="shared"))
    assert rootfs_propagation(plans) == "shared"


def test_masked_paths_of_this_machine():
    assert default_masked_paths([0, 3])[-2:] == [
        "/sys/devices/system/cpu/cpu0/thermal_throttle",
        "/sys/devices/system/cpu/cpu3/thermal_throttle",
    ]


def test_tmpfs():
    assert tmpfs_mount("/run") == MountPlan(
        "/run", "tmpfs", "tmpfs", ("noexec", "nosuid", "nodev", "rprivate")
    )
    assert tmpfs_mount("/run", "rw,exec,size=64k,mode=1770").options == (
        "nosuid",
        "nodev",
        "rprivate",
        "rw",
        "exec",
        "size=64k",
        "mode=1770",
    )


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("bogus", 'invalid tmpfs option "bogus"'),
        ("size", 'invalid tmpfs option "size"'),
        ("huge=always", 'invalid tmpfs option "huge"'),
        ("", 'invalid tmpfs option ""'),
        ("size=lots", 'invalid value of tmpfs option "size": "lots"'),
        ("mode=rwx", 'invalid value of tmpfs option "mode": "rwx"'),
    ],
)
def test_invalid_tmpfs_options(option, message):
    with pytest.raises(InvalidParameter) as caught:
        merge_tmpfs_options([option])
    assert caught.value.message == message


@given(st.lists(st.sampled_from(["ro", "rw", "exec", "noexec", "size=1k", "size=2k", "private"])))
def test_the_last_of_a_kind_counts(options):
    merged = merge_tmpfs_options(options)
    assert merge_tmpfs_options(merged) == merged
    assert not {"ro", "rw"} <= set(merged)
    assert not {"size=1k", "size=2k"} <= set(merged)
    if options:
        assert merged[-1] == options[-1]


def test_tmpfs_options_of_the_long_form():
    options = TmpfsOptions(size_bytes=1048576, mode=0o1777, options=[["exec"]])
    assert tmpfs_options_text(options, read_only=True) == "ro,mode=1777,size=1m,exec"
    assert tmpfs_options_text(TmpfsOptions(size_bytes=1000), read_only=False) == "size=1000"
    assert tmpfs_options_text(None, read_only=False) == ""
    wrong: list[list[list[str]]] = [[["uid", "1"]], [[]], [["exec", "no"]]]
    for given_options in wrong:
        with pytest.raises(InvalidParameter, match="invalid option"):
            tmpfs_options_text(TmpfsOptions(options=given_options), read_only=False)
