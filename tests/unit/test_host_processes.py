"""The identity of processes: pid and start time."""

import os
import select
import signal
import subprocess

import pytest

from palan.host import processes


@pytest.fixture
def sleeper():
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


def test_a_name_may_contain_any_characters():
    fields = b" S 7 8 9 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 4711 0 0"
    found = processes.parse_stat(b"42 (a) b (c" + b")" + fields)
    assert (found.pid, found.name, found.state) == (42, "a) b (c", "S")
    assert (found.ppid, found.session, found.start_time) == (7, 9, 4711)


def test_our_own_process():
    me = os.getpid()
    found = processes.status(me)
    assert found is not None
    assert found.ppid == processes.ppid(me) == os.getppid()
    assert processes.is_alive(me, found.start_time)
    assert not processes.is_alive(me, found.start_time + 1)
    assert processes.cmdline(me)
    assert processes.environment(me)


def test_a_child_is_found(sleeper):
    assert sleeper.pid in processes.children(os.getpid())
    assert sleeper.pid in processes.descendants(os.getpid())


def test_a_process_with_another_start_time_gets_no_signal(sleeper):
    started = processes.start_time(sleeper.pid)
    assert started is not None
    assert not processes.kill(sleeper.pid, signal.SIGKILL, started=started + 1)
    assert sleeper.poll() is None
    assert processes.kill(sleeper.pid, signal.SIGKILL, started=started)
    assert sleeper.wait() == -signal.SIGKILL
    assert not processes.kill(sleeper.pid, started=started)


def test_a_process_that_ends(sleeper, tmp_path, monkeypatch):
    assert not processes.is_ending(sleeper.pid)
    sleeper.kill()
    sleeper.wait()
    assert processes.is_ending(sleeper.pid)
    monkeypatch.setattr(processes, "_PROC", tmp_path)
    (tmp_path / "7").mkdir()
    for flags, killed, expected in [
        (4194560, 0, False),
        (4194560, 1 << 14, False),  # SIGTERM
        (4194564, 0, True),
        (4194560, 1 << 8, True),
    ]:
        (tmp_path / "7/stat").write_text(f"7 (a) b) S 1 2 3 0 -1 {flags} 0 0 0\n")
        (tmp_path / "7/status").write_text(f"SigPnd:\t{killed:016x}\nShdPnd:\t{0:016x}\n")
        assert processes.is_ending(7) is expected


def test_the_kernel_knows_the_exit_code_of_a_reaped_process(sleeper):
    fd = processes.open_pidfd(sleeper.pid)
    assert processes.exit_code(fd) is None
    sleeper.kill()
    sleeper.wait()
    release = tuple(map(int, os.uname().release.split(".")[:2]))
    assert processes.exit_code(fd) == (137 if release >= (6, 15) else None)
    os.close(fd)


def test_a_zombie_is_not_alive(sleeper):
    fd = processes.open_pidfd(sleeper.pid, processes.start_time(sleeper.pid))
    processes.kill(sleeper.pid)
    assert select.select([fd], [], [], 5)[0]
    os.close(fd)
    assert not processes.is_alive(sleeper.pid)


def test_no_descriptor_for_another_start_time(sleeper):
    with pytest.raises(ProcessLookupError):
        processes.open_pidfd(sleeper.pid, 1)


def test_an_absent_process():
    nobody = 2**22 + 1  # beyond the largest process id
    assert processes.status(nobody) is None
    assert not processes.is_alive(nobody)
    assert not processes.is_alive(0)
    assert processes.children(nobody) == []
    assert processes.cmdline(nobody) == []
    assert not processes.kill(nobody)


@pytest.mark.parametrize("pid", [0, -1])
def test_process_groups_are_never_killed(pid):
    with pytest.raises(ValueError, match="single"):
        processes.kill(pid)


def test_boot_id():
    assert len(processes.boot_id()) == 36


def test_the_age_of_a_process():
    started = processes.start_time(os.getpid())
    assert started is not None
    assert 0 < processes.age(started) < 24 * 3600 * 10**9
    assert processes.age(1 << 60) == 0
