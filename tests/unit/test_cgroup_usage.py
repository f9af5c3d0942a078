"""The resource usage of a cgroup, read from plain files that imitate both generations."""

from pathlib import Path

import pytest

from palan.host.cgroup_usage import CgroupMeter, online_processors, system_processor_time
from palan.host.cgroups import detect
from palan.host.interface_counters import interface_counters, parse_interface_counters


V1 = {
    "cpu/cpu.stat": "nr_periods 10\nnr_throttled 3\nthrottled_time 4000\nnr_bursts 0\n",
    "cpuacct/cpuacct.usage_percpu": "100 250 \n",
    "cpuacct/cpuacct.stat": "user 7\nsystem 5\n",
    "memory/memory.usage_in_bytes": "4096\n",
    "memory/memory.max_usage_in_bytes": "8192\n",
    "memory/memory.limit_in_bytes": "9223372036854771712\n",
    "memory/memory.failcnt": "2\n",
    "memory/memory.stat": "cache 1\nrss 2\nshmem 3\ntotal_inactive_file 4\n"
    "hierarchical_memory_limit 5\n",
    "pids/pids.current": "3\n",
    "pids/pids.max": "max\n",
    "blkio/blkio.throttle.io_service_bytes_recursive": "8:0 Read 10\n8:0 Write 20\n8:0 Total 30\n"
    "Total 30\n",
    "blkio/blkio.bfq.io_service_bytes_recursive": "8:0 Read 1\nTotal 1\n",
    "blkio/blkio.bfq.sectors_recursive": "8:16 9\nTotal 9\n",
}
V2 = {
    "cpu.stat": "usage_usec 30\nuser_usec 20\nsystem_usec 10\nnr_periods 4\nnr_throttled 1\n"
    "throttled_usec 5\n",
    "memory.current": "4096\n",
    "memory.max": "1048576\n",
    "memory.events": "low 0\nhigh 0\nmax 6\noom 2\noom_kill 1\n",
    "memory.stat": "anon 1\nfile 2\nworkingset_refault_anon 3\nworkingset_refault_file 4\n"
    "percpu 99\n",
    "pids.current": "3\n",
    "pids.max": "20\n",
    "io.stat": "8:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n8:16 \n",
}


def tree(root: Path, files: dict[str, str], *, unified: bool) -> CgroupMeter:
    for path, text in files.items():
        controller, _, name = path.rpartition("/")
        directory = root / controller / "palan" / "c"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(text)
        if not unified:
            (root / controller / "cgroup.procs").touch()
    if unified:
        (root / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
    return CgroupMeter(detect(root), "/palan/c")


def test_v1(tmp_path):
    usage = tree(tmp_path, V1, unified=False).read()
    assert (usage.processor, usage.per_processor) == (350, [100, 250])
    assert (usage.user, usage.system) == (70_000_000, 50_000_000)
    assert (usage.periods, usage.throttled_periods, usage.throttled) == (10, 3, 4000)
    assert (usage.memory, usage.memory_peak, usage.memory_failures) == (4096, 8192, 2)
    assert usage.memory_limit == 9223372036854771712
    assert usage.memory_details == {
        "cache": 1, "rss": 2, "total_inactive_file": 4, "hierarchical_memory_limit": 5,
    }  # fmt: skip
    assert (usage.processes, usage.process_limit) == (3, None)
    # The bytes that pass the throttling layer, not the scheduler's count.
    assert usage.block_io["service_bytes"] == [
        (8, 0, "read", 10), (8, 0, "write", 20), (8, 0, "total", 30),
    ]  # fmt: skip
    assert usage.block_io["sectors"] == [(8, 16, "", 9)]
    assert usage.block_io["merged"] == []


def test_a_hybrid_machine_is_read_as_v1(tmp_path):
    (tmp_path / "unified").mkdir()
    (tmp_path / "unified" / "cgroup.controllers").touch()
    (tmp_path / "unified" / "cgroup.procs").touch()
    assert tree(tmp_path, V1, unified=False).read().processor == 350


def test_v2(tmp_path):
    usage = tree(tmp_path, V2, unified=True).read()
    assert (usage.processor, usage.per_processor) == (30_000, None)
    assert (usage.user, usage.system) == (20_000, 10_000)
    assert (usage.periods, usage.throttled_periods, usage.throttled) == (4, 1, 5000)
    assert (usage.memory, usage.memory_limit, usage.memory_failures) == (4096, 1048576, 2)
    assert usage.memory_details["anon"] == 1
    assert usage.memory_details["workingset_refault"] == 7
    assert "percpu" not in usage.memory_details
    assert (usage.processes, usage.process_limit) == (3, 20)
    assert usage.block_io == {
        "service_bytes": [(8, 0, "read", 10), (8, 0, "write", 20)],
        "serviced": [(8, 0, "read", 1), (8, 0, "write", 2)],
    }


@pytest.mark.parametrize("files", [V1, V2])
def test_missing_controllers(tmp_path, files):
    unified = files is V2
    some = {path: text for path, text in files.items() if "cpu" in path}
    tree(tmp_path, some, unified=unified)
    if unified:
        (tmp_path / "cgroup.controllers").write_text("cpu\n")
    usage = CgroupMeter(detect(tmp_path), "/palan/c").read()
    assert usage.processor
    assert (usage.memory, usage.processes, usage.block_io) == (None, None, {})


@pytest.mark.parametrize("files", [V1, V2])
def test_an_absent_cgroup(tmp_path, files):
    tree(tmp_path, files, unified=files is V2)
    with pytest.raises(OSError, match="No such file"):
        CgroupMeter(detect(tmp_path), "/palan/gone").read()


def test_processor_time_of_the_machine(tmp_path):
    (tmp_path / "stat").write_text("cpu  1 2 3 4 5 6 7 8 9 10\ncpu0 1 2 3 4 5 6 7 8 9 10\n")
    assert system_processor_time(tmp_path / "stat") == 28 * 10_000_000
    assert system_processor_time() > 0
    assert online_processors() >= 1


def test_interface_counters():
    text = (
        "Inter-|   Receive                                                |  Transmit\n"
        " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs"
        " drop fifo colls carrier compressed\n"
        "    lo:       1       1    0    0    0     0          0         0        1       1    0"
        "    0    0     0       0          0\n"
        "  eth0: 11 12 13 14 15 16 17 18 21 22 23 24 25 26 27 28\n"
    )
    (found,) = parse_interface_counters(text.encode()).items()
    assert found == ("eth0", (11, 12, 13, 14, 21, 22, 23, 24))
    assert "lo" not in interface_counters(1)
    with pytest.raises(OSError, match="No such file"):
        interface_counters(1 << 23)
