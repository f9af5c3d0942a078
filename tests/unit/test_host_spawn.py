"""Starting of programs in the engine's own mount namespace."""

import asyncio
import os
import signal
import subprocess
import time

import pytest

from palan.host import processes, spawn


@pytest.fixture
def spawner():
    made = spawn.Spawner(workers=2)
    yield made
    made.close()


def test_output_and_exit_code():
    result = spawn.run(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert result == spawn.Completed(3, b"out\n", b"err\n")


def test_input_and_environment():
    result = spawn.run(["sh", "-c", 'cat; echo "$X"; pwd'], input=b"in ", env={"X": "y"})
    assert result.stdout == b"in y\n/\n"


def test_without_input_stdin_is_empty():
    assert spawn.run(["cat"], timeout=10) == spawn.Completed(0, b"", b"")


def test_an_absent_program():
    with pytest.raises(FileNotFoundError):
        spawn.run(["no-such-program-at-all"])


def test_a_program_is_killed_at_the_timeout():
    with pytest.raises(TimeoutError, match="sleep took over"):
        spawn.run(["sleep", "60"], timeout=0.05)


def test_only_named_descriptors_are_inherited():
    ours, passed = os.memfd_create("a"), os.memfd_create("b")
    os.set_inheritable(ours, True)
    result = spawn.run(["sh", "-c", "echo /proc/self/fd/*"], pass_fds=[passed])
    os.close(ours)
    os.close(passed)
    names = result.stdout.split()
    assert f"/proc/self/fd/{passed}".encode() in names
    assert f"/proc/self/fd/{ours}".encode() not in names


def test_a_daemon_left_behind_does_not_delay_the_end():
    before = time.monotonic()
    result = spawn.run(["sh", "-c", "sleep 5 & echo $!"])
    assert time.monotonic() - before < 3
    processes.kill(int(result.stdout))


def test_programs_are_started_with_vfork():
    # With some arguments, subprocess uses the slow fork; none of them may be used.
    assert subprocess._USE_VFORK


async def test_run(spawner):
    result = await spawner.run(["sh", "-c", "cat; exit 4"], input=b"hello")
    assert result == spawn.Completed(4, b"hello", b"")


async def test_many_programs_at_the_same_time(spawner):
    results = await asyncio.gather(*(spawner.run(["true"]) for _ in range(20)))
    assert {result.returncode for result in results} == {0}


async def test_timeout(spawner):
    with pytest.raises(TimeoutError, match="sleep took over"):
        await spawner.run(["sleep", "60"], timeout=0.05)


async def test_failure_to_start(spawner):
    with pytest.raises(FileNotFoundError):
        await spawner.run(["no-such-program-at-all"])


@pytest.mark.parametrize("delay", [0, 0.1])
async def test_cancellation_leaves_no_program_behind(spawner, delay):
    mark = f"60.{os.getpid()}{int(delay * 10)}"
    task = asyncio.create_task(spawner.run(["sleep", mark]))
    await asyncio.sleep(delay)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.1)
    ours = processes.children(os.getpid())
    assert not [pid for pid in ours if mark in processes.cmdline(pid)]


async def test_spawn_and_signal(spawner):
    process = await spawner.spawn(["sleep", "60"])
    before = process.returncode
    assert before is None
    assert processes.is_alive(process.pid)
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == -signal.SIGTERM
    assert process.returncode == -signal.SIGTERM
    process.kill()  # without effect after the end


async def test_spawn_with_pipes(spawner):
    process = await spawner.spawn(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b"through")
    process.stdin.close()
    assert await process.wait() == 0
    assert process.stdout.read() == b"through"
    process.stdout.close()


async def test_several_tasks_can_wait_for_a_program(spawner):
    process = await spawner.spawn(["sh", "-c", "exit 5"])
    assert list(await asyncio.gather(process.wait(), process.wait())) == [5, 5]
