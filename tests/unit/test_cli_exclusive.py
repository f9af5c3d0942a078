"""Locks of the roots and the pid file, against real other processes."""

import os
import subprocess
import sys
import time

import pytest

from palan.cli.exclusive import InUseError, lock_roots, pid_file
from palan.engine.paths import Paths


HOLD = """
import sys
from pathlib import Path
from palan.cli.exclusive import lock_roots
from palan.engine.paths import Paths
with lock_roots(Paths(Path(sys.argv[1]), Path(sys.argv[2]))):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def paths(tmp_path):
    result = Paths(tmp_path / "data", tmp_path / "exec")
    for directory in (result.data_root, result.exec_root):
        directory.mkdir()
    return result


@pytest.fixture
def other(paths):
    """Start another process that locks the same roots."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, paths.data_root, paths.exec_root],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout
        assert process.stdout.readline() == b"held\n"
        yield process
        process.kill()


def test_a_held_data_root_is_refused_with_the_holders_id(paths, other):
    with (
        pytest.raises(
            InUseError, match=rf"data root {paths.data_root} is in use by process {other.pid}"
        ),
        lock_roots(paths),
    ):
        pass


@pytest.mark.usefixtures("other")
def test_a_held_exec_root_is_refused(paths, tmp_path):
    elsewhere = Paths(tmp_path, paths.exec_root)
    with (
        pytest.raises(InUseError, match=r"exec root .* is in use by process"),
        lock_roots(elsewhere),
    ):
        pass


def test_a_killed_holder_leaves_nothing_in_the_way(paths, other):
    other.kill()
    other.wait()
    with lock_roots(paths):
        assert paths.lock.read_text() == f"{os.getpid()}\n"
    with lock_roots(paths):
        pass


def test_the_pid_file_comes_and_goes(tmp_path):
    path = tmp_path / "deep" / "palan.pid"
    with pid_file(path):
        assert path.read_text() == f"{os.getpid()}\n"
        assert list(path.parent.iterdir()) == [path]
    assert not path.exists()


def test_no_pid_file_is_fine():
    with pid_file(None):
        pass


def test_a_live_process_is_in_the_way(tmp_path):
    path = tmp_path / "palan.pid"
    with subprocess.Popen(["/bin/sleep", "60"]) as process:
        path.write_text(str(process.pid))
        with (
            pytest.raises(
                InUseError, match=rf"process with PID {process.pid} is still running"
            ) as caught,
            pid_file(path),
        ):
            pass
        assert str(path) in str(caught.value)
        process.kill()
    with pid_file(path):
        assert path.read_text() == f"{os.getpid()}\n"


def test_a_process_that_is_younger_than_the_file_is_not_the_one(tmp_path):
    path = tmp_path / "palan.pid"
    with subprocess.Popen(["/bin/sleep", "60"]) as process:
        path.write_text(str(process.pid))
        old = time.time() - 3600
        os.utime(path, (old, old))
        with pid_file(path):
            assert path.read_text() == f"{os.getpid()}\n"
        process.kill()


@pytest.mark.parametrize("content", ["", "nonsense", "-4", "0", "4194399"])
def test_a_stale_pid_file_is_replaced(tmp_path, content):
    path = tmp_path / "palan.pid"
    path.write_text(content)
    with pid_file(path):
        assert path.read_text() == f"{os.getpid()}\n"


def test_a_pid_file_that_someone_else_took_over_is_left(tmp_path):
    path = tmp_path / "palan.pid"
    with pid_file(path):
        path.write_text("1\n")
    assert path.read_text() == "1\n"
