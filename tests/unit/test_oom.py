"""Containers that run out of memory, with directories that look like cgroups."""

import asyncio
import os

import pytest
from tests.support.containers import fake_context, make_container

from palan.engine.containers.oom import MemoryWatches, note_out_of_memory


@pytest.fixture
async def noted():
    return []


@pytest.fixture
async def watches(noted):
    made = MemoryWatches(noted.append)
    yield made
    made.close()


def v2(tmp_path, kills=0):
    (tmp_path / "memory.events").write_text(f"low 0\noom 0\noom_kill {kills}\n")
    return tmp_path


def v1(tmp_path, kills=0):
    control = f"oom_kill_disable 0\nunder_oom 0\noom_kill {kills}\n"
    (tmp_path / "memory.oom_control").write_text(control)
    (tmp_path / "cgroup.event_control").touch()
    return tmp_path


def signal(cgroup):
    """Signal the registered eventfd, as the kernel does."""
    os.eventfd_write(int((cgroup / "cgroup.event_control").read_text().split()[0]), 1)


async def test_each_kill_is_noted_once_with_cgroup_v2(watches, noted, tmp_path):
    container = make_container(status="running")
    watches.begin(container, v2(tmp_path))
    assert noted == []
    for number in (1, 2):
        v2(tmp_path, kills=number)
        v2(tmp_path, kills=number)  # another change of the file
        await asyncio.sleep(0.02)
        assert len(noted) == number
    v2(tmp_path, kills=3)
    watches.end(container)  # the event was not read yet
    watches.end(container)
    await asyncio.sleep(0.02)
    assert noted == [container] * 3


async def test_each_signal_is_noted_with_cgroup_v1(watches, noted, tmp_path):
    container = make_container(status="running")
    watches.begin(container, v1(tmp_path))
    assert noted == []
    for number in (1, 2):
        signal(tmp_path)
        await asyncio.sleep(0.02)
        assert len(noted) == number
    signal(tmp_path)
    watches.end(container)
    assert noted == [container] * 3


async def test_the_removal_of_a_v1_cgroup_is_not_noted(watches, noted, tmp_path):
    cgroup = tmp_path / "cgroup"
    cgroup.mkdir()
    watches.begin(make_container(status="running"), v1(cgroup))
    fd = int((cgroup / "cgroup.event_control").read_text().split()[0])
    for file in cgroup.iterdir():
        file.unlink()
    cgroup.rmdir()
    os.eventfd_write(fd, 1)
    await asyncio.sleep(0.02)
    assert noted == []


async def test_what_happened_before_is_noted_unless_it_was(watches, noted, tmp_path):
    """By an earlier engine, which was killed."""
    first, second = make_container(1), make_container(2)
    second.record.oom_killed = True
    for container in (first, second):
        watches.begin(container, v1(tmp_path, kills=1))
    assert noted == [first]


async def test_a_container_without_a_memory_controller_is_not_watched(watches, noted, tmp_path):
    container = make_container()
    watches.begin(container, None)
    watches.begin(container, tmp_path / "absent")
    watches.end(container)
    assert noted == []


async def test_lack_of_memory_is_published_and_saved_while_the_container_runs():
    container = make_container(status="running")
    context = fake_context(container)
    note_out_of_memory(context, container)
    assert [action for _, action, _, _ in context.events.seen] == ["oom"]
    await asyncio.gather(*context.spawned)
    assert context.saved == ["running"]
    container.record.status = "exited"
    note_out_of_memory(context, container)
    await asyncio.gather(*context.spawned)
    assert context.saved == ["running"]
