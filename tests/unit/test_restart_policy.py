import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.containers import fake_engine, make_container

from palan.api.containers import HostConfig
from palan.api.errors import InternalError
from palan.engine.containers import restart
from palan.engine.containers import start as starting
from palan.engine.containers.restart import (
    FIRST_DELAY,
    LONGEST_DELAY,
    RESET_AFTER,
    give_up,
    resume_policy,
    schedule_restart,
    wants_restart,
)


def make(policy="always", retries=0, **fields):
    host = HostConfig(network_mode="bridge")
    host.restart_policy.name = policy
    host.restart_policy.maximum_retry_count = retries
    return make_container(1, host_config=host, **fields)


@pytest.mark.parametrize(
    ("policy", "retries", "fields", "wanted"),
    [
        ("", 0, {}, False),
        ("no", 0, {"exit_code": 1}, False),
        ("always", 0, {}, True),
        ("always", 0, {"stopped_by_user": True}, False),
        ("unless-stopped", 0, {"exit_code": 0}, True),
        ("unless-stopped", 0, {"stopped_by_user": True}, False),
        ("on-failure", 0, {"exit_code": 0}, False),
        ("on-failure", 0, {"exit_code": 137, "restart_count": 1000}, True),
        ("on-failure", 3, {"exit_code": 1, "restart_count": 2}, True),
        ("on-failure", 3, {"exit_code": 1, "restart_count": 3}, False),
        ("on-failure", 3, {"exit_code": 1, "stopped_by_user": True}, False),
    ],
)
async def test_what_a_policy_says(policy, retries, fields, wanted):
    assert wants_restart(make(policy, retries, **fields)) is wanted


@pytest.fixture
def delays(monkeypatch):
    """Record the delays of scheduled starts instead of starting."""
    found = []

    async def note(_engine, _container, delay):
        found.append(delay)

    monkeypatch.setattr(restart, "_restart", note)
    return found


async def test_delays_double_up_to_a_minute(delays):
    container = make()
    engine = fake_engine(container)
    for _ in range(14):
        assert schedule_restart(engine, container)
    await asyncio.gather(*engine.spawned)
    assert delays[:4] == [FIRST_DELAY, 0.2, 0.4, 0.8]
    assert delays == sorted(delays)
    assert delays[-2:] == [LONGEST_DELAY, LONGEST_DELAY]
    assert container.record.restart_count == 14


async def test_a_container_that_ran_for_a_while_begins_anew(delays):
    container = make()
    engine = fake_engine(container)
    for _ in range(5):
        schedule_restart(engine, container)
    container.record.started, container.record.finished = 1, RESET_AFTER
    schedule_restart(engine, container)
    container.record.finished = 1 + RESET_AFTER
    schedule_restart(engine, container)
    await asyncio.gather(*engine.spawned)
    assert delays[-2:] == [FIRST_DELAY * 2**5, FIRST_DELAY]


async def test_how_long_it_ran_is_known_although_the_clock_was_set_back(delays):
    container = make()
    engine = fake_engine(container)
    for _ in range(3):
        schedule_restart(engine, container)
    container.ran, container.record.started, container.record.finished = RESET_AFTER, 50, 50
    schedule_restart(engine, container)
    await asyncio.gather(*engine.spawned)
    assert delays == [FIRST_DELAY, FIRST_DELAY * 2, FIRST_DELAY * 4, FIRST_DELAY]


async def test_what_is_not_wanted_is_not_scheduled(delays):
    container = make("no")
    container.restart_delay = 5
    engine = fake_engine(container)
    assert not schedule_restart(engine, container)
    assert engine.spawned == delays == []
    assert container.restart_delay == 0


async def test_giving_up_ends_the_waiting_once():
    container = make(status="restarting", exit_code=7)
    engine = fake_engine(container)
    waiting = container.exit
    assert await give_up(engine, container)
    assert (container.record.status, container.record.stopped_by_user) == ("exited", True)
    assert engine.saved == ["exited"]
    assert await waiting == 7
    assert not container.exit.done()
    assert not await give_up(engine, container)


@pytest.mark.parametrize(
    ("policy", "fields", "restarts"),
    [
        ("always", {"status": "exited", "started": 1}, True),
        ("always", {"status": "exited", "started": 1, "stopped_by_user": True}, True),
        ("always", {"status": "created"}, False),
        ("unless-stopped", {"status": "exited", "started": 1}, True),
        ("unless-stopped", {"status": "exited", "started": 1, "stopped_by_user": True}, False),
        ("on-failure", {"status": "exited", "started": 1, "exit_code": 1}, False),
        ("on-failure", {"status": "restarting", "started": 1, "exit_code": 1}, True),
        ("no", {"status": "exited", "started": 1}, False),
        ("always", {"status": "running", "started": 1}, False),
    ],
)
async def test_what_a_start_of_the_engine_starts(delays, policy, fields, restarts):
    container = make(policy, **fields)
    engine = fake_engine(container)
    await resume_policy(engine, container)
    await asyncio.gather(*engine.spawned)
    assert bool(delays) is restarts
    if restarts:
        assert delays == [0]
        assert container.record.status == "restarting"
        assert not container.record.stopped_by_user


async def test_a_restart_waits_and_starts(monkeypatch):
    started = []

    async def start(_engine, container, *, by_policy):
        started.append((container.id, by_policy))

    monkeypatch.setattr(starting, "start", start)
    monkeypatch.setattr(restart, "FIRST_DELAY", 0.01)
    container = make()
    engine = fake_engine(container)
    schedule_restart(engine, container)
    await asyncio.sleep(0)
    assert started == []
    await asyncio.gather(*engine.spawned)
    assert started == [(container.id, True)]


async def test_an_engine_that_stops_starts_nothing_more(monkeypatch):
    async def start(*_args, **_options):
        raise AssertionError

    monkeypatch.setattr(starting, "start", start)
    container = make()
    engine = fake_engine(container)
    container.restart_delay = 30.0
    schedule_restart(engine, container)
    await asyncio.sleep(0)
    engine.stopping.set()
    await asyncio.wait_for(asyncio.gather(*engine.spawned), 5)


async def test_a_start_that_fails_is_logged(monkeypatch):
    async def start(*_args, **_options):
        raise InternalError("no")

    warnings = []
    monkeypatch.setattr(starting, "start", start)
    monkeypatch.setattr(restart, "FIRST_DELAY", 0.0)
    container = make()
    engine = fake_engine(container)
    engine.log = type(
        "Log", (), {"warning": lambda _, text, **more: warnings.append((text, more))}
    )()
    schedule_restart(engine, container)
    await asyncio.gather(*engine.spawned)
    assert warnings == [("restart failed", {"container": container.id, "reason": "no"})]


@given(st.integers(1, 5), st.lists(st.integers(0, 2), max_size=20))
def test_on_failure_never_restarts_more_often_than_it_may(retries, codes):
    async def check() -> None:
        container = make("on-failure", retries)
        restarts = 0
        for code in codes:
            container.record.exit_code = code
            if not wants_restart(container):
                break
            restarts += 1
            container.record.restart_count += 1
        assert restarts <= retries

    asyncio.run(check())
