"""Devices of the host for containers, and the errors for devices that do not exist."""

import os
import stat
from pathlib import Path

import pytest

from palan.api.containers import DeviceMapping, Resources, ThrottleDevice, WeightDevice
from palan.api.errors import InvalidParameter
from palan.engine.containers.devices import all_devices, asked_devices, block_devices


def test_a_device():
    (null,) = asked_devices(DeviceMapping(path_on_host="/dev/null"))
    assert (null.path, null.kind, null.major, null.minor) == ("/dev/null", "c", 1, 3)
    assert null.mode == stat.S_IMODE(Path("/dev/null").stat().st_mode)
    assert null.permissions == "rwm"


def test_under_another_name_and_through_a_link(tmp_path):
    (tmp_path / "link").symlink_to("/dev/zero")
    (zero,) = asked_devices(
        DeviceMapping(
            path_on_host=str(tmp_path / "link"),
            path_in_container="/dev/mine",
            cgroup_permissions="r",
        )
    )
    assert (zero.path, zero.minor, zero.permissions) == ("/dev/mine", 5, "r")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("none", "no such file or directory"),
        ("file", "not a device node"),
        ("directory", "no devices in directory"),
        ("file/below", "not a directory"),
    ],
)
def test_invalid_devices(tmp_path, name, why):
    (tmp_path / "file").touch()
    (tmp_path / "directory" / "deeper").mkdir(parents=True)
    (tmp_path / "directory" / "plain").touch()
    (tmp_path / "directory" / "link").symlink_to("/dev/null")
    path = tmp_path / name
    with pytest.raises(InvalidParameter) as raised:
        asked_devices(DeviceMapping(path_on_host=str(path)))
    assert raised.value.message == (
        f'error gathering device information while adding custom device "{path}": {why}'
    )


def test_a_directory(monkeypatch, tmp_path):
    # Creating device nodes needs root; these are links to the machine's own.
    null = Path("/dev/null").stat()
    (tmp_path / "below").mkdir()
    for name in ("one", "below/two"):
        (tmp_path / name).touch()
    really = os.lstat
    monkeypatch.setattr(os, "lstat", lambda path: null if Path(path).is_file() else really(path))
    mapping = DeviceMapping(path_on_host=str(tmp_path), path_in_container="/dev/mine")
    found = {node.path: node.host_path for node in asked_devices(mapping)}
    assert found == {
        "/dev/mine/one": str(tmp_path / "one"),
        "/dev/mine/below/two": str(tmp_path / "below" / "two"),
    }


def test_all_devices():
    found = {node.path: node for node in all_devices()}
    assert found["/dev/null"].minor == 3
    assert "/dev/console" not in found
    assert not any(path.startswith(("/dev/pts/", "/dev/shm/", "/dev/mqueue/")) for path in found)


def test_block_devices(tmp_path, monkeypatch):
    assert block_devices(Resources()) == {}
    gone = Resources(blkio_weight_device=[WeightDevice(path=f"{tmp_path}/gone", weight=10)])
    with pytest.raises(InvalidParameter, match=r"^stat .*/gone: no such file or directory$"):
        block_devices(gone)
    limit = ThrottleDevice(path="/dev/null", rate=1)
    with pytest.raises(InvalidParameter, match="/dev/null is not a block device"):
        block_devices(Resources(blkio_device_read_bps=[limit]))
    disk = os.stat_result((stat.S_IFBLK | 0o600, *[0] * 9), {"st_rdev": os.makedev(8, 17)})
    monkeypatch.setattr(os, "stat", lambda _path: disk)
    assert block_devices(Resources(blkio_device_read_bps=[limit])) == {"/dev/null": (8, 17)}
