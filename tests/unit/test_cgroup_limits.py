"""Limits of devices and processes in cgroup v1 and v2, with ordinary files."""

import pytest

from palan.host.cgroup_limits import remove_cpu_quota, set_device_limits, set_process_limit
from palan.host.cgroups import detect


@pytest.fixture
def v1(tmp_path):
    for controller in ("blkio", "pids"):
        (tmp_path / controller / "c").mkdir(parents=True)
        (tmp_path / controller / "cgroup.procs").touch()
    return detect(tmp_path)


@pytest.fixture
def v2(tmp_path):
    (tmp_path / "c").mkdir()
    (tmp_path / "cgroup.controllers").write_text("io pids")
    return detect(tmp_path)


@pytest.fixture
def written(monkeypatch):
    """Record the lines in the order of writing, which the files would not show."""
    lines = []
    monkeypatch.setattr(
        "palan.host.cgroup_limits._write", lambda file, line: lines.append((file.name, line))
    )
    return lines


def test_rates_of_v1(v1, written):
    (v1.root / "blkio/c/blkio.throttle.read_bps_device").write_text("8:0 5\n8:16 6\n")
    set_device_limits(v1, "/c", "read_bps", {(8, 16): 7, (9, 0): 8})
    file = "blkio.throttle.read_bps_device"
    assert written == [(file, "8:0 0"), (file, "8:16 7"), (file, "9:0 8")]


def test_rates_of_v2(v2, written):
    (v2.root / "c/io.max").write_text("8:0 rbps=5 wbps=max riops=max wiops=9\n")
    set_device_limits(v2, "/c", "read_bps", {})
    set_device_limits(v2, "/c", "write_bps", {})
    set_device_limits(v2, "/c", "write_iops", {(8, 0): 3})
    assert written == [("io.max", "8:0 rbps=max"), ("io.max", "8:0 wiops=3")]


def test_weights(v1, written):
    (v1.root / "blkio/c/blkio.bfq.weight_device").write_text("default 100\n8:0 200\n")
    set_device_limits(v1, "/c", "weight", {(8, 16): 300})
    name = "blkio.bfq.weight_device"
    assert written == [(name, "8:0 0"), (name, "8:16 300")]


@pytest.mark.parametrize(
    ("file", "least", "most"), [("io.weight", "1", "10000"), ("io.bfq.weight", "10", "1000")]
)
def test_weights_of_v2(v2, written, file, least, most):
    (v2.root / "c" / file).write_text("default 100\n9:0 5\n")
    set_device_limits(v2, "/c", "weight", {(8, 0): 10, (8, 16): 1000})
    assert written == [(file, "9:0 default"), (file, f"8:0 {least}"), (file, f"8:16 {most}")]


def test_the_cpu_quota_is_removed(v1, v2, written):
    (v1.root / "cpu").mkdir()
    (v1.root / "cpu/cgroup.procs").touch()
    (v1.root / "cgroup.controllers").unlink()
    remove_cpu_quota(detect(v1.root), "/c")
    (v2.root / "cgroup.controllers").write_text("cpu")
    remove_cpu_quota(detect(v2.root), "/c")
    assert written == [("cpu.cfs_quota_us", "-1"), ("cpu.max", "max")]


def test_the_process_limit(v1, written):
    set_process_limit(v1, "/c", 5)
    set_process_limit(v1, "/c", 0)
    assert written == [("pids.max", "5"), ("pids.max", "max")]


def test_limits_that_the_kernel_rejects(v1, tmp_path):
    (tmp_path / "pids/c/pids.max").mkdir()
    with pytest.raises(OSError, match=r"'?[Ii]s a directory"):
        set_process_limit(v1, "/c", 5)
    (tmp_path / "pids/cgroup.procs").unlink()
    with pytest.raises(OSError, match="cannot be limited"):
        set_process_limit(detect(tmp_path), "/c", 5)
