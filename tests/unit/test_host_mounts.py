"""Parsing of mountinfo, without mounting anything."""

import pytest

from palan.host import mounts


SAMPLE = r"""22 27 0:21 / /proc rw,relatime - proc proc rw
36 35 98:0 /mnt1 /mnt\0402 rw,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue
40 27 0:30 / /data/a rw - overlay overlay rw,lowerdir=/x\134:y,upperdir=/u
41 40 0:31 / /data/a/b rw shared:3 - tmpfs tmpfs rw
42 27 0:32 / /data/ab rw - tmpfs tmpfs rw
"""


def test_a_line_is_parsed():
    entry = mounts.parse_mountinfo(SAMPLE)[1]
    assert (entry.id, entry.parent, entry.device, entry.root) == (36, 35, "98:0", "/mnt1")
    assert entry.mount_point == "/mnt 2"
    assert entry.options == ("rw", "noatime")
    assert entry.propagation == ("master:1", "shared:7")
    assert entry.shared
    assert (entry.fstype, entry.source) == ("ext3", "/dev/root")
    assert entry.super_options == ("rw", "errors=continue")


def test_escapes_are_decoded():
    assert "lowerdir=/x\\:y" in mounts.parse_mountinfo(SAMPLE)[2].super_options


def test_a_mount_without_propagation_fields_is_private():
    assert not mounts.parse_mountinfo(SAMPLE)[0].shared


def test_unmount_below_detaches_the_latest_mounts_first(monkeypatch):
    undone = []

    def unmount(point, *, lazy):
        undone.append(point)
        return lazy

    monkeypatch.setattr(mounts, "unmount", unmount)
    entries = mounts.parse_mountinfo(SAMPLE)
    assert mounts.unmount_below("/data/a/", mounts=entries) == ["/data/a/b", "/data/a"]
    assert undone == ["/data/a/b", "/data/a"]


def test_an_unknown_propagation_is_refused_before_mounting(tmp_path):
    with pytest.raises(ValueError, match="propagation"):
        mounts.bind(tmp_path, tmp_path, propagation="wild")


def test_our_own_mounts_can_be_read():
    assert any(entry.mount_point == "/proc" for entry in mounts.mountinfo())
    assert mounts.is_mount_point("/proc")


def test_an_absent_path_is_not_a_mount_point(tmp_path):
    assert not mounts.is_mount_point(tmp_path / "nothing")
    assert not mounts.is_mount_point(tmp_path)
